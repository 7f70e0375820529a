"""The bars of memory by matplotlib: a line for each rank, in inches from the top, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kernelkit.units import format_bytes
from kernelkit.views.memory import kv_bytes, need_bytes, rank_names
from kernelkit.views.palette import COLOURS

INK, RULE = "#222222", "#bbbbbb"
FILL = {"weights": COLOURS["blue"], "kv": COLOURS["orange"], "used": COLOURS["grey"]}
# Inches. Above the first line of a limit stands its name.
_NAME, _BAR, _BETWEEN = 0.17, 0.17, 0.06
# Beyond its limit a bar is shown for so much more of it.
_BEYOND = 1.2


@dataclass(frozen=True)
class Line:
    """One line of the picture.

    Attributes:
        group: of the scene: ranks that share a limit.
        nth: which of its ranks; None for the line of a host whose ranks share its limit.
        top: of the bar, in inches from the top of the bars.
    """

    group: dict[str, Any]
    nth: int | None
    top: float

    @property
    def alone(self) -> bool:
        """Whether its rank has its limit to itself."""
        return len(self.group["ranks"]) == 1

    @property
    def heads(self) -> bool:
        """Whether it is the first of its group: there stands what is said of the limit."""
        return self.alone or self.nth is None

    @property
    def middle(self) -> float:
        return self.top + _BAR / 2


def lines_of(scene: dict[str, Any]) -> tuple[list[Line], float]:
    """A line for each rank, before those that share a limit one for their host, and the height of all."""
    found: list[Line] = []
    at = 0.0
    for group in scene["groups"]:
        shared = len(group["ranks"]) > 1
        at += _NAME
        for nth in [*([None] if shared else []), *range(len(group["ranks"]))]:
            found.append(Line(group, nth, at))
            at += _BAR + _BETWEEN
        at += _BETWEEN if shared else 0.0
    return found, at


def draw_bars(axes: Axes, scene: dict[str, Any], lines: list[Line], deep: float) -> None:
    """Draw all bars at the scene's context on axes that are `deep` inches high."""
    context = scene["context"]
    ends = [
        max(group["limit_bytes"], min(need_bytes(group, context), _BEYOND * group["limit_bytes"]))
        for group in scene["groups"]
    ]
    most = 1.01 * max([1, *ends])
    axes.set(xlim=(0, most), ylim=(deep, 0))
    axes.axis("off")
    for line in lines:
        parts = list(_pieces(line, context))
        if parts and not line.heads:
            start = parts[0][1]
            axes.plot(
                [start, start], [line.top - _BETWEEN, line.top], color=INK, linewidth=0.8, linestyle=":"
            )
        for kind, start, end in parts:
            _draw_piece(axes, kind, (start, end), line)
        if line.heads:
            _draw_limit(axes, line)


def _pieces(line: Line, context: int) -> Iterator[tuple[str, float, float]]:
    """Kind, start and end in bytes; ranks that share a limit begin where the one before them ends."""
    group = line.group
    at = group["used_bytes"] or 0
    if line.heads:
        yield "used", 0, at
    for nth, rank in enumerate(group["ranks"]):
        sizes = (rank["weight_bytes"], kv_bytes(rank, context) or 0)
        for kind, size in zip(("weights", "kv"), sizes, strict=True):
            if nth == line.nth:
                yield kind, at, at + size
            at += size
    if line.nth == len(group["ranks"]) - 1 and at < group["limit_bytes"]:
        yield "free", at, group["limit_bytes"]


def _draw_piece(axes: Axes, kind: str, ends: tuple[float, float], line: Line) -> None:
    (start, end), limit = ends, line.group["limit_bytes"]
    inside, beyond = min(end, limit) - start, end - max(start, limit)
    if kind == "free":
        free = Rectangle((start, line.top), inside, _BAR, facecolor="none", edgecolor=RULE, linewidth=0.8)
        axes.add_patch(free)
    elif inside > 0:
        axes.add_patch(Rectangle((start, line.top), inside, _BAR, color=FILL[kind], linewidth=0))
    if beyond > 0:
        place = (max(start, limit), line.top)
        red = COLOURS["vermillion"]
        axes.add_patch(
            Rectangle(place, beyond, _BAR, facecolor="white", edgecolor=red, hatch="//////", linewidth=1.2)
        )


def _draw_limit(axes: Axes, line: Line) -> None:
    """Its line through all bars that share it, and its name on top."""
    limit, ranks = line.group["limit_bytes"], [rank["rank"] for rank in line.group["ranks"]]
    more = 0 if line.alone else len(ranks)
    bottom = line.top + _BAR + more * (_BAR + _BETWEEN) + 0.03
    axes.plot([limit, limit], [line.top - 0.03, bottom], color=INK, linewidth=1.6, zorder=5)
    shared = "" if line.alone else f", shared by {rank_names(ranks)}"
    left = limit < 0.4 * axes.get_xlim()[1]
    place = (0 if left else limit, line.top - 0.035)
    text = f"limit {format_bytes(limit)}{shared}"
    axes.text(*place, text, ha="left" if left else "right", va="bottom", size=7.5, color=INK)
