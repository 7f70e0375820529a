"""The picture of a plan, drawn by matplotlib: times by cause side by side, then memory, then the reasons."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kernelkit.views.links_names import names_within, width_points
from kernelkit.views.palette import COLOURS

FILL = {
    "weights": COLOURS["blue"],
    "kv": COLOURS["orange"],
    "compute": COLOURS["green"],
    "overhead": COLOURS["grey"],
    "latency": COLOURS["vermillion"],
    "transfer": COLOURS["purple"],
    "activations": COLOURS["purple"],
}
_INK, _SOFT, _LINE = "#222222", "#666666", "#bbbbbb"
_SMALL, _TEXT, _LARGE = 8.5, 10.0, 14.0
# Inches.
_WIDTH, _EDGE, _HEAD, _FIGURES, _TITLE, _ROW, _BAR, _FOOT_LINE = 9.4, 0.1, 0.36, 0.62, 0.3, 0.25, 0.15, 0.18
# Of the halves, in which charts of times stand, and of the machines' lines; between columns, at least, a gap.
_HALF, _MEMORY, _LEFT, _GAP = 4.65, 2.75, 1.75, 0.1
_WRAP = 138
# Bold letters are at most so much wider.
_BOLD = 1.16


def figure(scene: dict[str, Any]) -> Figure:
    """The picture of a scene of `kernelkit.views.plan`."""
    times, machines = scene["times"], scene["memory"]
    notes = [line for said in scene["reasons"] for line in textwrap.wrap(said, _WRAP)]
    rows = max((1 + len(chart["rows"]) for chart in times), default=0)
    deep = _TITLE + rows * _ROW + 0.12 if times else 0.0
    head = _HEAD + (_FIGURES if scene["figures"] else 0)
    memory = _TITLE + 2 * _ROW * len(machines) + 0.1
    height = head + deep + memory + _FOOT_LINE * (len(notes) + bool(scene["left_out"])) + 0.1
    drawn = Figure(figsize=(_WIDTH, height))

    def place(left: float, top: float, width: float, tall: float) -> Axes:
        box = (left / _WIDTH, (height - top - tall) / height, width / _WIDTH, tall / height)
        axes = drawn.add_axes(box)
        axes.axis("off")
        return axes

    _write(drawn, _EDGE, 0.06, scene["title"], weight="bold", size=_TEXT)
    for number, one in enumerate(scene["figures"]):
        left = _EDGE + number * _WIDTH / 3
        _write(drawn, left, _HEAD, f"{one['name']} {one['likely']}", size=_LARGE, weight="bold")
        _write(drawn, left, _HEAD + 0.27, one["range"], color=_SOFT)
    for number, chart in enumerate(times):
        left = _EDGE + number * _HALF
        _write(drawn, left, head, chart["title"], weight="bold")
        tall = _ROW * (1 + len(chart["rows"]))
        names, likely, ranges = _columns(chart)
        axes = place(left + names, head + _TITLE, max(_GAP, likely - _GAP - names), tall)
        _time(drawn, axes, chart, (left, head + _TITLE), (likely, ranges))
    top = head + deep
    _write(drawn, _EDGE, top, "Memory", weight="bold")
    named = _wide([one["ranks"] for one in machines], _BOLD)
    room = 72 * (_MEMORY - _EDGE - named - 2 * _GAP)
    short = names_within([one["machine"] for one in machines], room, _SMALL)
    for number, (machine, name) in enumerate(zip(machines, short, strict=True)):
        at = top + _TITLE + 2 * _ROW * number
        axes = place(_MEMORY, at, _WIDTH - _LEFT - _MEMORY - 0.1, _ROW)
        _machine(axes, machine, _widest(machines))
        _told(drawn, machine, name, named + _GAP, at + _ROW / 2)
    top += memory
    if scene["left_out"]:
        notes.insert(0, f"{scene['left_out']} more machines have more left.")
    for number, line in enumerate(notes):
        _write(drawn, _EDGE, top + _FOOT_LINE * number, line)
    for text in drawn.findobj(Text):
        text.set_parse_math(False)  # a dollar in a model's name is a dollar
    return drawn


def _write(drawn: Figure, left: float, top: float, words: str, **look: Any) -> None:
    _, height = drawn.get_size_inches()
    common: dict[str, Any] = {"ha": "left", "va": "top", "size": _SMALL, "color": _INK}
    drawn.text(left / _WIDTH, 1 - top / height, words, **{**common, **look})


def _wide(texts: list[str], scale: float = 1.0) -> float:
    """Inches that the widest of them takes, in small letters or in others so much wider."""
    return scale * max((width_points(text, _SMALL) for text in texts), default=0.0) / 72


def _columns(chart: dict[str, Any]) -> tuple[float, float, float]:
    """In inches from the chart's left: where bars begin, and where likely figures and ranges do."""
    rows = [chart["whole"], *chart["rows"]]
    names, likely, ranges = (_wide([row[key] for row in rows]) for key in ("name", "likely", "range"))
    likely = max(likely, _wide([chart["whole"]["likely"]], _BOLD))
    right = _HALF - 2 * _GAP - ranges * (_SMALL - 1) / _SMALL
    return names + _GAP, right - _GAP - likely, right


def _time(
    drawn: Figure,
    axes: Axes,
    chart: dict[str, Any],
    corner: tuple[float, float],
    columns: tuple[float, float],
) -> None:
    rows = [chart["whole"], *chart["rows"]]
    axes.set(xlim=(0, chart["whole"]["time_s"][2] * 1.02), ylim=(len(rows) - 0.5, -0.5))
    left, top = corner
    for number, row in enumerate(rows):
        low, mid, high = row["time_s"]
        thick = _BAR / _ROW
        if row["cause"]:
            axes.barh(number, mid, thick, color=FILL[row["cause"]])
        else:
            at = 0.0
            for piece in chart["rows"]:
                axes.barh(number, piece["time_s"][1], thick, left=at, color=FILL[piece["cause"]])
                at += piece["time_s"][1]
        axes.errorbar(mid, number, xerr=[[mid - low], [high - mid]], color=_INK, lw=1.1, capsize=2.5)
        y = top + _ROW * (number + 0.5)
        weight = "normal" if row["cause"] else "bold"
        _write(drawn, left, y, row["name"], va="center_baseline", weight=weight)
        likely, ranges = columns
        _write(drawn, left + likely, y, row["likely"], va="center_baseline", weight=weight)
        _write(drawn, left + ranges, y, row["range"], va="center_baseline", color=_SOFT, size=_SMALL - 1)


def _widest(machines: list[dict[str, Any]]) -> float:
    """The end of the scale, in bytes: what is needed or may be used, whichever is more."""
    return 1.01 * float(max(one["limit_bytes"] - min(0, one["left_bytes"]) for one in machines))


def _machine(axes: Axes, machine: dict[str, Any], most: float) -> None:
    axes.set(xlim=(0, most), ylim=(1, 0))
    at, limit = 0.0, machine["limit_bytes"]
    axes.add_patch(Rectangle((0, 0.2), limit, 0.6, facecolor="none", edgecolor=_LINE, lw=0.8))
    for part in machine["parts"]:
        axes.add_patch(Rectangle((at, 0.2), part["bytes"], 0.6, color=FILL[part["kind"]], lw=0))
        at += part["bytes"]
    if at > limit:
        look: dict[str, Any] = {"facecolor": "white", "edgecolor": COLOURS["vermillion"], "hatch": "//////"}
        axes.add_patch(Rectangle((limit, 0.2), at - limit, 0.6, **look))
    axes.plot([limit, limit], [0.08, 0.88], color=_INK, lw=1.6)


def _told(drawn: Figure, machine: dict[str, Any], name: str, column: float, middle: float) -> None:
    """Before the bar whose it is, behind it what is left, and under it what fills it."""
    _write(drawn, _EDGE, middle, machine["ranks"], va="center_baseline", weight="bold")
    _write(drawn, _EDGE + column, middle, name, va="center_baseline", color=_SOFT)
    weight = "bold" if machine["left_bytes"] < 0 else "normal"
    _write(drawn, _WIDTH - _LEFT, middle, machine["left"], va="center_baseline", weight=weight)
    _write(drawn, _MEMORY, middle + 0.11, machine["words"], color=_SOFT)
