"""The memory of each rank by matplotlib: bars at one context, their figures, and what is free over all."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kernelkit.units import format_bytes
from kernelkit.views.links_names import names_within, width_points
from kernelkit.views.memory import beyond, kv_bytes, lacking, limit_words, need_bytes
from kernelkit.views.memory_bars_png import FILL, INK, RULE, Line, draw_bars, lines_of
from kernelkit.views.memory_free_png import draw_free

# Heights in inches; what lies side by side, as parts of the width.
_WIDTH, _HEAD, _LINE, _CHART = 10.0, 0.62, 0.2, 1.9
_NAMED, _LABELS, _BARS, _COLUMNS = 0.035, 0.16, 0.46, (0.69, 0.775, 0.88, 0.985)
_SOFT = "#666666"


def figure(scene: dict[str, Any]) -> Figure:
    """Draw what `memory.scene` gave, at its context."""
    context = scene["context"]
    lines, deep = lines_of(scene)
    lacks = [*lacking(scene, context), *filter(None, [beyond(scene, context)])]
    words = [scene["fits_words"] or f"KV cache not known: {scene['kv_words']}", limit_words(scene)]
    chart = _CHART + 0.95 if scene["kv_known"] else 0.0
    height = _HEAD + deep + 0.2 + _LINE * (len(lacks) + len(words)) + chart
    drawn = Figure(figsize=(_WIDTH, height))
    title = f"{scene['title']}, context {context:,} tokens"
    if scene["batch"] > 1:
        title += f" in each of {scene['batch']} sequences"
    drawn.text(0.01, 1 - 0.08 / height, title, va="top", weight="bold", size=11, color=INK)

    draw_bars(
        drawn.add_axes((_LABELS, 1 - (_HEAD + deep) / height, _BARS, deep / height)), scene, lines, deep
    )
    _draw_heads(drawn, scene)
    hosts = [group["host"] for group in scene["groups"]]
    short = dict(zip(hosts, names_within(hosts, 72 * _WIDTH * (_LABELS - _NAMED) - 6, 8.5), strict=True))
    for line in lines:
        _draw_figures(drawn, scene, line, 1 - (_HEAD + line.middle) / height, short[line.group["host"]])
    at = _HEAD + deep + 0.1
    for text in (*lacks, *words):
        weight = "bold" if text in lacks else "normal"
        drawn.text(0.01, 1 - at / height, text, va="top", size=9, weight=weight, color=INK)
        at += _LINE
    if chart:
        draw_free(drawn.add_axes((_LABELS, 0.45 / height, 0.62, _CHART / height)), scene)
    for text in drawn.findobj(Text):
        text.set_parse_math(False)  # a dollar in a model's name is a dollar
    return drawn


def _draw_heads(drawn: Figure, scene: dict[str, Any]) -> None:
    """Names of the columns of figures, which are the bars' key as well."""
    wide, high = drawn.get_size_inches()
    y = 1 - (_HEAD + 0.02) / high
    heads = (["weights"], ["KV cache"], scene.get("used_words", ["used by", "others"]), scene["free_words"])
    for x, head, kind in zip(_COLUMNS, heads, (*FILL, "free"), strict=True):
        for i, text in enumerate(reversed(head)):
            drawn.text(x, y + i * 0.15 / high, text, ha="right", va="baseline", size=8.5, color=INK)
        left = x - (max(width_points(text, 8.5) for text in head) / 72 + 0.16) / wide
        face, edge = (FILL[kind], FILL[kind]) if kind in FILL else ("white", RULE)
        size = 0.1 / wide, 0.1 / high
        swatch = Rectangle((left, y), *size, facecolor=face, edgecolor=edge, transform=drawn.transFigure)
        drawn.add_artist(swatch)


def _draw_figures(drawn: Figure, scene: dict[str, Any], line: Line, y: float, host: str) -> None:
    label = host if line.nth is None else str(line.group["ranks"][line.nth]["rank"])
    left = 0.01 if line.heads else 0.025
    drawn.text(left, y, label, va="center", size=9, weight="bold", color=INK)
    if line.alone:
        drawn.text(_NAMED, y, host, va="center", size=8.5, color=_SOFT)
    for x, text in zip(_COLUMNS, _figures(scene, line), strict=True):
        weight = "bold" if text.startswith("lacks") else "normal"
        drawn.text(x, y, text, ha="right", va="center", size=9, weight=weight, color=INK)


def _figures(scene: dict[str, Any], line: Line) -> tuple[str, str, str, str]:
    """Weights and KV cache of a rank; what others use and what is free where the limit is told."""
    weights = kv = used = free = ""
    if line.nth is not None:
        rank = line.group["ranks"][line.nth]
        weights = format_bytes(rank["weight_bytes"])
        size_bytes = kv_bytes(rank, scene["context"])
        kv = "?" if size_bytes is None else format_bytes(size_bytes)
    if line.heads:
        used = "?" if line.group["used_bytes"] is None else format_bytes(line.group["used_bytes"])
        left = line.group["limit_bytes"] - need_bytes(line.group, scene["context"])
        free = format_bytes(left) if left >= 0 else f"lacks {format_bytes(-left)}"
    return weights, kv, used, free
