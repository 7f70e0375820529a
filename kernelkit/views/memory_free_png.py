"""What is free over all contexts by matplotlib: one line for each limit, and where the first is reached."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kernelkit.units import format_bytes
from kernelkit.views.memory import need_bytes, rank_names
from kernelkit.views.palette import COLOURS

_INKS = [COLOURS[name] for name in ("blue", "orange", "green", "purple", "vermillion", "sky")]
_DASHES = ("-", "--", "-.", ":")
_SOFT = "#666666"
_STEPS = 96
_FIRST = 128


def draw_free(axes: Axes, scene: dict[str, Any]) -> None:
    """Draw the bytes that are left of each limit from a short context to the longest."""
    longest = max(scene["longest_context"], 2 * _FIRST)
    contexts = [_FIRST * (longest / _FIRST) ** (i / _STEPS) for i in range(_STEPS + 1)]
    alike: dict[tuple[float, ...], list[int]] = {}
    for group in scene["groups"]:
        free = tuple(group["limit_bytes"] - need_bytes(group, round(context)) for context in contexts)
        alike.setdefault(free, []).extend(rank["rank"] for rank in group["ranks"])
    for i, (free, ranks) in enumerate(alike.items()):
        (line,) = axes.plot(contexts, free, linewidth=1.6, label=rank_names(sorted(ranks)))
        line.set(color=_INKS[i % len(_INKS)], linestyle=_DASHES[i % len(_DASHES)])
    _mark(axes, scene, (_FIRST, longest))
    _dress(axes, (_FIRST, longest))


def _mark(axes: Axes, scene: dict[str, Any], ends: tuple[int, int]) -> None:
    """What does not fit is hatched; the two contexts that matter are named."""
    lowest, high = axes.dataLim.y0, axes.dataLim.y1
    red = COLOURS["vermillion"]
    axes.set_ylim(1.1 * min(0.0, lowest), max(1.1 * high, 1.0))
    if lowest < 0:
        axes.axhspan(1.1 * lowest, 0, facecolor="none", edgecolor=red, hatch="///", linewidth=0, alpha=0.35)
        axes.axhline(0, color=red, linewidth=1)
    largest = scene["largest_context"]
    marks = {"shown above": (scene["context"], ":", 3)}
    if largest is not None and largest != scene["longest_context"]:
        marks["largest that fits"] = (largest, "-", 14)
    for words, (context, style, up) in marks.items():
        if not ends[0] <= context <= ends[1]:
            continue
        axes.axvline(context, color=_SOFT, linewidth=0.9, linestyle=style)
        axes.annotate(
            f"{words}: {context:,}",
            (context, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, up),
            textcoords="offset points",
            ha="center",
            size=7.5,
            color=_SOFT,
        )


def _dress(axes: Axes, ends: tuple[int, int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(*ends)
    axes.xaxis.set_major_locator(FixedLocator([2**power for power in range(7, 31)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(round(value))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    axes.tick_params(labelsize=8, length=2)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("context, tokens", size=8, color=_SOFT)
    axes.set_ylabel("free", size=8, color=_SOFT)
    axes.spines[:].set_color("#bbbbbb")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=8)


def _short(context: int) -> str:
    """`4096 -> 4K`, as contexts are called."""
    return (
        f"{context // 2**20}M"
        if context >= 2**20
        else f"{context // 1024}K"
        if context >= 1024
        else str(context)
    )
