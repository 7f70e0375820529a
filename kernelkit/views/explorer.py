"""A plan with controls: what is asked for is changed by sliders and menus, and the picture follows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, display

from kernelkit.catalog import links, parse_nodes
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.perf.planning import plan
from kernelkit.perf.result import Plan
from kernelkit.views.plan import plan as picture_of

_CONTEXTS = [2**power for power in range(7, 21)]
# A menu shows nothing as chosen that has None for its value.
_DEFAULT = ""
# Wide enough for the longest, `quantization`.
_LABELS = "6.5em"
_QUANTIZATIONS = ("3bit", "4bit", "6bit", "8bit", "bfloat16")


def explore(
    model: str | Path | Mapping[str, Any], on: str = "4xm3-ultra-512", most_nodes: int = 16, **settings: Any
) -> Explorer:
    """A panel of controls over the picture of a plan, which is made anew with each change.

    The controls need a live kernel. The picture is an output of its own: a saved notebook, and a page without
    widgets, keep what it showed last.

    Args:
        model, on: as `kernelkit.plan` takes them; machines of several kinds keep their number.
        most_nodes: where the slider of machines ends.
        settings: all else that `kernelkit.plan` takes, at first.

    Raises:
        ArgumentError, ModelShardError: there is no such plan.
    """
    return Explorer(model, on, most_nodes, settings)


class Explorer:
    """What `explore` gives.

    Attributes:
        plan: of the settings now; where they allow none, of those before.
        controls: by what they set: `nodes`, `context`, `quantization`, `link`, `strategy`.
        refusal: why there is no plan of the settings; empty where there is.
    """

    def __init__(
        self, model: str | Path | Mapping[str, Any], on: str, most_nodes: int, settings: dict[str, Any]
    ) -> None:
        self._model, self._on = model, on
        self.plan: Plan = plan(model, on, **settings)
        self.controls = _controls(self.plan, on, most_nodes, settings)
        if "nodes" in self.controls:  # the slider says how many
            self._on = re.sub(r"^\d+\s*[x×*]\s*", "", on)
        self._fixed = {name: value for name, value in settings.items() if name not in self.controls}
        self._words = ipywidgets.HTML()
        self._shown: DisplayHandle | None = None
        for control in self.controls.values():
            control.observe(self._changed, "value")

    @property
    def refusal(self) -> str:
        """See the class."""
        said: str = self._words.value
        return said

    def _changed(self, _: Any) -> None:
        chosen: dict[str, Any] = {name: control.value or None for name, control in self.controls.items()}
        if chosen.get("nodes") == 1:
            chosen["link"] = None
        try:
            self.plan = plan(self._model, self._on, **chosen, **self._fixed)
        except (ArgumentError, ModelShardError) as error:
            self._words.value = f"{error.what}. The picture is of the settings before."
            return
        self._words.value = ""
        if self._shown is not None:
            self._shown.update(picture_of(self.plan))

    def __repr__(self) -> str:
        return repr(self.plan)

    def _ipython_display_(self) -> None:
        """Two outputs, so that the picture stays where the controls are gone."""
        row = ipywidgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        panel = ipywidgets.VBox([row, self._words])
        display({**panel._repr_mimebundle_(), "text/plain": ""}, raw=True)
        self._shown = display(picture_of(self.plan), display_id=True)


def _controls(planned: Plan, on: str, most_nodes: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "," not in on:
        most = max(most_nodes, planned.nodes)
        found["nodes"] = ipywidgets.IntSlider(
            planned.nodes, 1, most, description="machines", continuous_update=False
        )
    found["context"] = ipywidgets.SelectionSlider(
        options=[(f"{tokens:,}", tokens) for tokens in sorted({*_CONTEXTS, planned.context})],
        value=planned.context,
        description="context",
        continuous_update=False,
    )
    asked = settings.get("quantization") or _DEFAULT
    first = (
        []
        if asked in _QUANTIZATIONS
        else [(planned.quantization if asked == _DEFAULT else "as given", asked)]
    )
    options = {
        "quantization": ([*first, *((name, name) for name in _QUANTIZATIONS)], asked),
        "link": (
            [("fastest built in", _DEFAULT), *((key, key) for key in _links(on))],
            settings.get("link") or _DEFAULT,
        ),
        "strategy": ([(name, name) for name in ("tensor", "pipeline")], planned.strategy),
    }
    for name, (offered, value) in options.items():
        found[name] = ipywidgets.Dropdown(options=offered, value=value, description=name)
    for control in found.values():
        control.style.description_width = _LABELS  # one below the other on a narrow page, so all alike
    return found


def _links(on: str) -> list[str]:
    """What can join these machines: ports that all have, and what any machine can be given."""
    machines = parse_nodes(on)
    return [
        key
        for key in links()
        if not key.startswith(("tb", "nvlink")) or all(key in node.chip.links for node in machines)
    ]
