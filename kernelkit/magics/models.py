"""What each command of `%model` does: a function for each, and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelkit.errors import NoModelError
from kernelkit.magics import show, writing
from kernelkit.magics.grammar import Parsed

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster
    from kernelkit.generation import Generation
    from kernelkit.model import ShardedModel
    from kernelkit.model.pushing import Pushed
    from kernelkit.sharding.check import ModelCheck
    from kernelkit.sharding.shardmap import ShardMap
    from kernelkit.views import Picture


@dataclass(frozen=True)
class Desk:
    """What a command works with: the notebook's cluster, and the notebook's own variables."""

    cluster: Cluster
    shell: InteractiveShell

    @property
    def model(self) -> ShardedModel:
        """The model on the ranks.

        Raises:
            NoModelError: there is none.
        """
        if self.cluster.model is None:
            cure = "%model load PATH_OR_HF_ID, such as %model load smollm2"
            raise NoModelError("no model is loaded", cure=cure)
        return self.cluster.model


def run(desk: Desk, parsed: Parsed) -> Any:
    """Do what a line of `%model` asks for, by the table below.

    Returns:
        What the cell shows as its value.
    """
    return _COMMANDS[parsed.command.name](desk, parsed.argument, parsed.flags)


def _load(desk: Desk, name: str, flags: Mapping[str, Any]) -> ShardedModel:
    """Load a model with a bar per rank, and bind it as `model`."""
    try:
        with show.bars() as draw:
            return desk.cluster.load(name, on_event=draw, **flags)
    finally:  # after a load that was broken off the ranks hold none, and the name must not say otherwise
        if (model := desk.cluster.model) is not None:
            desk.shell.push({"model": model})
        else:
            desk.shell.user_ns.pop("model", None)


def _shards(desk: Desk, argument: str, flags: Mapping[str, Any]) -> ShardMap:
    """Which rank holds what."""
    return desk.model.shards


def _memory(desk: Desk, argument: str, flags: Mapping[str, Any]) -> Picture:
    """What the ranks' memory holds at a context length, as a picture with a slider."""
    from kernelkit.views import memory as draw

    return draw(desk.model.memory, **flags)


def _check(desk: Desk, argument: str, flags: Mapping[str, Any]) -> ModelCheck:
    """Hold the model against the unsharded one, with a bar per rank; save the result if a file is named."""
    settings = {name.replace("-", "_"): value for name, value in flags.items() if name != "save"}
    with show.bars() as draw:
        found = desk.model.check(on_event=draw, **settings)
    show.save(found, flags)
    return found


def _generate(desk: Desk, prompt: str, flags: Mapping[str, Any]) -> Generation:
    """Generate for the prompt on the line."""
    return writing.generate(desk, prompt, flags)


def _push(desk: Desk, name: str, flags: Mapping[str, Any]) -> Pushed:
    """Send a model to other hosts; the bar of the rank that sends says how fast."""
    from kernelkit.units import format_bytes
    from kernelkit.views.live import progress_html, progress_text

    fractions: dict[int, tuple[str, float]] = {}
    with show.new_slot() as slot:

        def draw(rank: int, event: dict[str, Any]) -> None:
            rate = f", {format_bytes(event['bytes_per_s'])}/s," if "bytes_per_s" in event else ""
            fractions[rank] = (event["phase"] + rate, event["fraction"])
            slot.show(progress_html(fractions), progress_text(fractions))

        return desk.cluster.push_model(name, flags.get("to"), flags.get("from"), on_event=draw)


def _unload(desk: Desk, argument: str, flags: Mapping[str, Any]) -> None:
    """Free the weights, and take `model` out of the notebook."""
    desk.model.unload()
    desk.cluster.model = None
    desk.shell.user_ns.pop("model", None)
    show.say("unloaded")


_COMMANDS: dict[str, Callable[[Desk, str, Mapping[str, Any]], Any]] = {
    "load": _load,
    "shards": _shards,
    "memory": _memory,
    "check": _check,
    "generate": _generate,
    "chat": writing.chat,
    "push": _push,
    "unload": _unload,
}
