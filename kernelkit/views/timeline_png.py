"""The picture of a timeline, drawn by matplotlib: the whole run, a moment of it, and shares by rank."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kernelkit.views.palette import COLOURS

# They differ in brightness too, for any colour vision and for print.
_COLOURS = (COLOURS["blue"], COLOURS["orange"], COLOURS["green"], "#dcdcdc", "#222222")
_INK, _SOFT, _LINE = "#222222", "#666666", "#bbbbbb"
_SMALL, _TEXT = 8.5, 10.0
# Inches.
_WIDTH, _LEFT, _PLOT, _BARS_LEFT, _BARS = 10.2, 0.6, 7.3, 8.1, 1.55
_HEAD, _KEYS, _TITLE, _AXIS, _FOOT_LINE = 0.34, 0.3, 0.3, 0.42, 0.17
_WRAP = 150
# With more rows there is no room for a number at each, or for a gap.
_NUMBERED = 16

_Look = dict[str, Any]


def figure(scene: dict[str, Any]) -> Figure:
    """The picture of a scene of `kernelkit.views.timeline`."""
    rows, near = scene["rows"], scene["near"]
    tall = max(0.4, len(rows) * min(0.26, max(0.05, 2.0 / len(rows))))
    notes = [line for said in scene["conditions"] for line in textwrap.wrap(said, _WRAP)]
    panel = _TITLE + tall + _AXIS
    height = _HEAD + _KEYS + panel * (1 if near is None else 2) + _FOOT_LINE * len(notes) + 0.08
    drawn = Figure(figsize=(_WIDTH, height))

    def place(left: float, top: float, width: float) -> Axes:
        return drawn.add_axes((left / _WIDTH, (height - top - tall) / height, width / _WIDTH, tall / height))

    def write(top: float, words: str, **look: Any) -> None:
        common: _Look = {"ha": "left", "va": "top", "fontsize": _SMALL, "color": _SOFT}
        drawn.text(0.08 / _WIDTH, 1 - top / height, words, **{**common, **look})

    write(0.05, scene["title"], fontweight="bold", fontsize=_TEXT, color=_INK)
    _legend(drawn, scene, height)
    top = _HEAD + _KEYS + _TITLE
    whole = place(_LEFT, top, _PLOT)
    _run(whole, scene, scene["whole"], f"the whole run, {scene['whole']['length']}")
    _ticks(whole, scene)
    _shares(place(_BARS_LEFT, top, _BARS), rows)
    if near is not None:
        _mark(whole, scene, near)
        below = place(_LEFT, top + panel, _PLOT)
        _run(below, scene, near, f"a moment of it, {near['length']}")
        _ticks(below, scene, near)
    for number, line in enumerate(notes):
        write(height - 0.05 - _FOOT_LINE * (len(notes) - number), line)
    return drawn


def _legend(drawn: Figure, scene: dict[str, Any], height: float) -> None:
    """Only what there is, with its share of all ranks' time."""
    entries = [
        (Patch(facecolor=colour), f"{kind} {share:.1%}")
        for kind, share, colour in zip(scene["kinds"], scene["shares"], _COLOURS, strict=True)
        if share > 0
    ]
    drawn.legend(
        [handle for handle, _ in entries], [words for _, words in entries], loc="upper left", frameon=False,
        bbox_to_anchor=(0.02 / _WIDTH, 1 - _HEAD / height), ncols=len(_COLOURS), fontsize=_SMALL, borderpad=0,
        labelcolor=_INK, borderaxespad=0.3, handletextpad=0.5, columnspacing=1.4, handlelength=1.4,
    )  # fmt: skip


def _run(axes: Axes, scene: dict[str, Any], panel: dict[str, Any], title: str) -> None:
    rows = scene["rows"]
    unit, name = _unit(panel)
    box = (0, (panel["end_s"] - panel["start_s"]) * unit, len(rows) - 0.5, -0.5)
    look: _Look = {"aspect": "auto", "interpolation": "nearest", "extent": box}
    axes.imshow(_image(panel["cells"]), **look)
    since = f"after {panel['start_s']:,.4g} s" if panel["start_s"] else "since the start"
    axes.set_xlabel(f"{name} {since}", labelpad=1, color=_SOFT, fontsize=_SMALL)
    axes.set_title(title, loc="left", fontsize=_SMALL, color=_INK, pad=4)
    every = max(1, -(-len(rows) // 16))
    axes.set_yticks(range(0, len(rows), every), [row["label"] for row in rows[::every]])
    axes.set_ylabel("rank", labelpad=2, color=_SOFT, fontsize=_SMALL)
    axes.xaxis.set_major_formatter("{x:,g}")
    if len(rows) <= _NUMBERED:
        axes.hlines([i - 0.5 for i in range(1, len(rows))], *axes.get_xlim(), color="white", lw=2.5)
    _bare(axes)


def _image(cells: list[list[list[int]]]) -> NDArray[np.float64]:
    """Each row as many lines as make its shares visible, filled from below in the order of the kinds."""
    shares = np.array(cells) / 1000  # [rows, bins, kinds]
    lines = 24 if len(cells) <= _NUMBERED else 8
    tops = np.concatenate([shares.cumsum(axis=2), np.full((*shares.shape[:2], 1), np.inf)], axis=2)
    levels = 1 - (np.arange(lines) + 0.5) / lines
    which = (tops[:, None] < levels[None, :, None, None]).sum(axis=3)  # [rows, lines, bins]
    palette = np.array([to_rgb(colour) for colour in (*_COLOURS, "white")])
    image: NDArray[np.float64] = palette[which].reshape(len(cells) * lines, shares.shape[1], 3)
    return image


def _ticks(axes: Axes, scene: dict[str, Any], panel: dict[str, Any] | None = None) -> None:
    """A mark over the plot for each token."""
    shown = panel or scene["whole"]
    unit, _ = _unit(shown)
    inside = [t for t in scene["token_times_s"] if shown["start_s"] <= t <= shown["end_s"]]
    times = [(t - shown["start_s"]) * unit for t in inside]
    look: _Look = {"marker": "v", "ms": 4, "ls": "", "color": _INK, "clip_on": False, "mew": 0}
    axes.plot(times, [1.0] * len(times), transform=axes.get_xaxis_transform(), **look)
    if times and panel is None:
        where: _Look = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
        axes.annotate("▾ a token", (1, 1), (0, 5), fontsize=_SMALL, color=_SOFT, **where)


def _unit(panel: dict[str, Any]) -> tuple[float, str]:
    """Milliseconds where seconds would be all zeros."""
    return (1e3, "ms") if panel["end_s"] - panel["start_s"] < 0.5 else (1.0, "s")


def _mark(axes: Axes, scene: dict[str, Any], near: dict[str, Any]) -> None:
    """Where the moment below lies."""
    unit, _ = _unit(scene["whole"])
    at = (near["start_s"] + near["end_s"]) / 2 * unit
    look: _Look = {
        "marker": "^",
        "ms": 6,
        "ls": "",
        "color": COLOURS["vermillion"],
        "clip_on": False,
        "mew": 0,
    }
    axes.plot([at], [0.0], transform=axes.get_xaxis_transform(), zorder=5, **look)


def _shares(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Of the whole run."""
    places = range(len(rows))
    left = np.zeros(len(rows))
    thick = 0.82 if len(rows) <= _NUMBERED else 1.0
    for number, colour in enumerate(_COLOURS):
        width = np.array([row["shares"][number] for row in rows])
        axes.barh(places, width, left=left, height=thick, color=colour, lw=0)
        left += width
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), yticks=[], xticks=[])
    if len(rows) <= _NUMBERED:
        for place, row in zip(places, rows, strict=True):
            axes.annotate(row["idle"], (1.03, place), va="center", fontsize=_SMALL, color=_INK,
                          annotation_clip=False)  # fmt: skip
    title = "each rank's time" + (", and idle in all" if len(rows) <= _NUMBERED else "")
    axes.set_title(title, loc="left", fontsize=_SMALL, color=_INK, pad=4)
    _bare(axes)
    axes.spines["bottom"].set_visible(False)


def _bare(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_INK, labelsize=_SMALL)
    axes.tick_params(axis="y", length=0)
