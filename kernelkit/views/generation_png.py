"""The static twin of a generation's picture: the same course, flags and bars, drawn by matplotlib."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelkit.views.palette import COLOURS

# Inches: the plot, and beside it the panels, with a row for each rank.
_WIDTH, _LEFT, _PLOT, _PANEL_LEFT, _PANEL = 10.2, 0.5, 5.75, 8.05, 1.4
_HEAD, _FLAGS, _FOOT, _LEAST_PLOT = 0.34, 0.4, 0.66, 1.75
_ROW, _BAR, _BETWEEN, _KEYS = 0.19, 0.12, 0.44, 0.4
_INK, _SOFT, _LINE = "#222222", "#666666", "#bbbbbb"
_SMALL, _TEXT = 8.0, 9.5
# With more dots than this the smoothed line is drawn over them.
_MANY = 150

_Look = dict[str, Any]


def figure(scene: dict[str, Any]) -> Figure:
    """The picture of a scene of `kernelkit.views.generation`; without ranks, the course alone."""
    ranks = scene["ranks"]
    rows = _ROW * len(ranks)
    panels = _HEAD + 0.2 + 2 * rows + _BETWEEN + _KEYS
    height = max(_HEAD + _FLAGS + _LEAST_PLOT + _FOOT, panels)
    drawn = Figure(figsize=(_WIDTH, height))

    def place(left: float, top: float, width: float, tall: float) -> Axes:
        box = (left / _WIDTH, (height - top - tall) / height, width / _WIDTH, tall / height)
        return drawn.add_axes(box)

    title: _Look = {"ha": "left", "va": "top", "fontweight": "bold", "fontsize": _TEXT, "color": _INK}
    drawn.text(0.08 / _WIDTH, 1 - 0.05 / height, scene["title"], **title)
    tall = height - _HEAD - _FLAGS - _FOOT
    _course(place(_LEFT, _HEAD + _FLAGS, _PLOT, tall), scene, tall)
    if ranks:
        _memory(place(_PANEL_LEFT, _HEAD + 0.2, _PANEL, rows), ranks)
        _communication(place(_PANEL_LEFT, _HEAD + 0.2 + rows + _BETWEEN, _PANEL, rows), scene)
    return drawn


def _course(axes: Axes, scene: dict[str, Any], tall: float) -> None:
    end_s, top, first = scene["elapsed_s"] or 1.0, scene["top_tokens_per_s"], scene["first"]
    axes.set(xlim=(0, end_s), ylim=(0, top or 1))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("seconds since the call", labelpad=2)
    axes.axvspan(
        0, first["time_s"] if first else end_s, color=COLOURS["sky"], alpha=0.22, lw=0, label="prompt"
    )
    if top is None:
        axes.set_yticks([])
        middle: _Look = {"ha": "center", "color": _SOFT, "fontsize": _SMALL, "transform": axes.transAxes}
        axes.text(0.5, 0.5, scene["mean"]["words"] if first else "", **middle)
    else:
        _dots(axes, scene)
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.grid(axis="y", color=_LINE, alpha=0.45, lw=0.7)
        _words(axes, "tokens/s", (0, 1), (-30, 8), color=_SOFT)
        if scene["mean"]["tokens_per_s"]:
            _mean(axes, scene)
    _flags(axes, scene, end_s, tall)
    _bare(axes)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] == "prompt")
    axes.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="upper left", ncols=4, frameon=False,
        bbox_to_anchor=(0, -0.42 / tall), fontsize=_SMALL, labelcolor=_SOFT, borderaxespad=0, borderpad=0,
        handletextpad=0.5, columnspacing=1.6,
    )  # fmt: skip


def _dots(axes: Axes, scene: dict[str, Any]) -> None:
    top = scene["top_tokens_per_s"]
    rated = [(time_s, rate) for _, time_s, rate, _ in scene["points"] if rate is not None]
    inside = [point for point in rated if point[1] <= top]
    above = [time_s for time_s, rate in rated if rate > top]
    line = [(time_s, smooth) for _, time_s, _, smooth in scene["points"] if smooth is not None]
    if inside:
        look: _Look = {"ms": 3.2, "mew": 0, "color": COLOURS["sky"], "zorder": 3, "clip_on": False}
        axes.plot(*zip(*inside, strict=True), "o", label=scene["dots"], **look)
    if above:
        look = {"ms": 4, "mew": 0, "color": COLOURS["sky"], "clip_on": False}
        axes.plot(above, [top] * len(above), "^", label="faster than the axis", **look)
    over = len(scene["points"]) > _MANY
    if over:
        axes.plot(*zip(*line, strict=True), lw=2.8, color="white", zorder=3.5)
    axes.plot(
        *zip(*line, strict=True), lw=1.5, color=COLOURS["blue"], label=scene["line"], zorder=4 if over else 2
    )


def _mean(axes: Axes, scene: dict[str, Any]) -> None:
    mean = scene["mean"]["tokens_per_s"]
    span = [scene["first"]["time_s"], scene["elapsed_s"]]
    axes.plot(span, [mean, mean], color=_INK, lw=1.0, dashes=(5, 3), zorder=5)
    word, _, rate = scene["mean"]["words"].partition(" ")
    where: _Look = {"xycoords": ("axes fraction", "data")}
    _words(axes, word, (1, mean), (6, 2), color=_SOFT, **where)
    _words(axes, rate, (1, mean), (6, -9), color=_INK, fontweight="bold", **where)


def _flags(axes: Axes, scene: dict[str, Any], end_s: float, tall: float) -> None:
    """The moments that have a name, over the plot: the first token, and the end."""
    first, points = scene["first"], scene["points"]
    if first:
        side = "right" if first["time_s"] > 0.6 * end_s else "left"
        _flag(axes, first["time_s"], (first["words"], first["prompt"]), side, tall)
    if points and not scene["running"]:
        _flag(axes, points[-1][1], (scene["finish"], ""), "left", tall)


def _flag(axes: Axes, time_s: float, lines: tuple[str, str], side: str, tall: float) -> None:
    pole: _Look = {"color": _INK, "lw": 0.9, "clip_on": False, "transform": axes.get_xaxis_transform()}
    axes.plot([time_s, time_s], [0, 1 + 0.38 / tall], **pole)
    where: _Look = {"ha": side, "xycoords": ("data", "axes fraction")}
    shift = 4 if side == "left" else -4
    _words(axes, lines[0], (time_s, 1), (shift, 18), color=_INK, fontweight="bold", **where)
    _words(axes, lines[1], (time_s, 1), (shift, 7), color=_SOFT, **where)


def _words(axes: Axes, words: str, at: tuple[float, float], shift: tuple[float, float], **look: Any) -> None:
    """Text that stands `shift` points away from a place of the plot, in it or not."""
    common: _Look = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(words, at, shift, **{**common, "fontsize": _SMALL, "va": "bottom", **look})


def _memory(axes: Axes, ranks: list[dict[str, Any]]) -> None:
    sizes_bytes = [one["peak_memory_bytes"] for one in ranks]
    bars = axes.barh(_names(ranks), sizes_bytes, color=COLOURS["green"], height=_BAR / _ROW)
    axes.bar_label(bars, [one["peak"] for one in ranks], padding=4, fontsize=_SMALL, color=_INK)
    _rows(axes, "Peak memory per rank", len(ranks), max(1, *sizes_bytes))


def _communication(axes: Axes, scene: dict[str, Any]) -> None:
    ranks, names = scene["ranks"], _names(scene["ranks"])
    shares = [one["share"] or 0 for one in ranks]
    if scene["recorded"]:
        inside: _Look = {"color": COLOURS["orange"], "hatch": "//////", "edgecolor": "white", "lw": 0}
        axes.barh(
            names, shares, height=_BAR / _ROW, label="in collectives, waiting for others included", **inside
        )
        rest: _Look = {"left": shares, "color": COLOURS["grey"], "alpha": 0.35, "height": _BAR / _ROW}
        others = axes.barh(names, [1 - share for share in shares], label="computing, and all else", **rest)
        axes.bar_label(others, [one["share_words"] for one in ranks], padding=4, fontsize=_SMALL, color=_INK)
        axes.legend(
            loc="upper left", frameon=False, fontsize=_SMALL, labelcolor=_SOFT, borderpad=0, borderaxespad=0,
            bbox_to_anchor=(-0.34, -0.06 / (_ROW * len(ranks))), handletextpad=0.5, labelspacing=0.3,
        )  # fmt: skip
    else:
        look: _Look = {"va": "top", "color": _SOFT, "xycoords": "axes fraction"}
        _words(axes, scene["communication"], (0, 1), (-34, -2), **look)
    _rows(axes, "Time in communication per rank", len(ranks), 1)
    axes.yaxis.set_visible(scene["recorded"])


def _names(ranks: list[dict[str, Any]]) -> list[str]:
    return [f"rank {one['rank']}" for one in ranks]


def _rows(axes: Axes, title: str, count: int, most: float) -> None:
    """A row per rank from the top down, without an axis."""
    _words(axes, title, (0, 1), (-34, 5), color=_INK, fontweight="bold", fontsize=_SMALL + 0.5)
    axes.set(xlim=(0, most), ylim=(count - 0.5, -0.5), xticks=[])
    _bare(axes)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _bare(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_INK, labelsize=_SMALL)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.label.set(color=_SOFT, fontsize=_SMALL)
