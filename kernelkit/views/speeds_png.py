"""Speed over the number of machines by matplotlib: lines with bands, crosses where it does not fit, turns."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from kernelkit.views.palette import COLOURS

_COLOURS = [COLOURS[name] for name in ("blue", "vermillion", "green", "orange", "purple", "sky", "grey")]
_MARKERS = "osD^vPX"
_INK, _SOFT, _LINE = "#222222", "#666666", "#bbbbbb"
_SMALL = 8.5
# Inches.
_WIDTH, _HEAD, _PLOT, _CROSSES, _AXIS, _FOOT_LINE, _LEFT, _RIGHT = 8.9, 0.56, 2.8, 0.16, 0.5, 0.18, 0.5, 2.5
_WRAP = 138


def figure(scene: dict[str, Any]) -> Figure:
    """The picture of a scene of `kernelkit.views.speeds`."""
    lines = scene["lines"]
    notes = [row for said in scene["sentences"] for row in textwrap.wrap(said, _WRAP)]
    gaps = [line for line in lines if any(not point["tokens_per_s"] for point in line["points"])]
    under = _CROSSES * len(gaps) + (0.12 if gaps else 0)
    height = _HEAD + _PLOT + under + _AXIS + _FOOT_LINE * len(notes) + 0.1
    drawn = Figure(figsize=(_WIDTH, height))
    look: dict[str, Any] = {"ha": "left", "va": "top", "size": _SMALL, "color": _INK}
    drawn.text(0.1 / _WIDTH, 1 - 0.06 / height, scene["title"], **{**look, "weight": "bold", "size": 10})
    bottom = _AXIS + _FOOT_LINE * len(notes) + 0.1 + under
    axes = drawn.add_axes(
        (_LEFT / _WIDTH, bottom / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _PLOT / height)
    )
    for number, line in enumerate(lines):
        _draw(axes, line, number)
    _crosses(axes, lines, gaps)
    _bare(axes, under)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        frameon=False,
        fontsize=_SMALL,
        labelcolor=_INK,
        borderaxespad=0,
    )
    for number, note in enumerate(notes):
        drawn.text(0.1 / _WIDTH, (_FOOT_LINE * (len(notes) - number) + 0.03) / height, note, **look)
    for text in drawn.findobj(Text):
        text.set_parse_math(False)
    return drawn


def _draw(axes: Axes, line: dict[str, Any], number: int) -> None:
    """A point that is not known breaks the line."""
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    nodes = [point["nodes"] for point in line["points"]]
    unknown = [math.nan] * 3
    low, mid, high = zip(*(point["tokens_per_s"] or unknown for point in line["points"]), strict=True)
    style = "--" if line["strategy"] == "pipeline" else "-"
    axes.fill_between(nodes, low, high, color=colour, alpha=0.13, lw=0)
    axes.plot(nodes, mid, style, marker=marker, color=colour, ms=5, lw=1.6, label=line["name"])
    if line["turn"] is not None:
        at = nodes.index(line["turn"])
        axes.plot(nodes[at], mid[at], marker="o", ms=13, mfc="none", mec=colour, mew=1.6)


def _crosses(axes: Axes, lines: list[dict[str, Any]], gaps: list[dict[str, Any]]) -> None:
    """A row under the plot for each line with gaps."""
    for row, line in enumerate(gaps):
        number = lines.index(line)
        lacking = [point["nodes"] for point in line["points"] if not point["tokens_per_s"]]
        colour = _COLOURS[number % len(_COLOURS)]
        y = -(row + 0.75) * _CROSSES / _PLOT
        axes.plot(
            lacking, [y] * len(lacking), "x", color=colour, ms=6, mew=1.8, clip_on=False,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        fits = all(point["fits"] for point in line["points"])
        word = "not known" if fits else "does not fit"
        axes.annotate(
            f"× {line['name']}: {word}", (1.02, y), xycoords="axes fraction", va="center", color=_SOFT,
            fontsize=_SMALL, annotation_clip=False,
        )  # fmt: skip


def _bare(axes: Axes, under: float) -> None:
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("machines", color=_SOFT, fontsize=_SMALL)
    axes.set_title(
        "decoded tokens/s; ringed: with more machines slower", loc="left", fontsize=_SMALL, color=_SOFT
    )
    axes.grid(axis="y", color=_LINE, alpha=0.45, lw=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_INK, labelsize=_SMALL)
    axes.tick_params(axis="x", pad=3 + 72 * under)
