"""The link matrix by matplotlib: bandwidth and latency as heat maps, slowest and fastest pair as curves."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kernelkit.views.links_curve_png import draw_curve, key_lines
from kernelkit.views.links_names import names_within
from kernelkit.views.ramp import ink_on, ramp

# All in inches: the cells keep their size, and the figure grows with the ranks.
_WIDTH, _EDGE, _GAP, _NAMED = 10.0, 0.15, 0.55, 0.95
_HALF = (_WIDTH - 2 * _EDGE - _GAP) / 2
_HEAD, _CURVE, _LINE, _KEY_LINE = 1.1, 3.0, 0.19, 0.17
_INK, _SOFT, _RULE = "#222222", "#666666", "#bbbbbb"
_NAMES = {"bandwidth": "Bandwidth", "latency": "Latency"}
_LETTERS = 130
_ASIDE = 20  # points from the cells to the names of hosts


def figure(scene: dict[str, Any]) -> Figure:
    """Draw what `links.scene` gave."""
    count = max(1, len(scene["ranks"]))
    matrix = count * min(0.62, (_HALF - _NAMED) / count)
    lines = [line for words in scene["sentences"] for line in wrap(words, _LETTERS, subsequent_indent="    ")]
    pairs = {name: scene[name] for name in ("slowest", "fastest") if scene[name]}
    if len(pairs) == 2 and pairs["fastest"] == pairs["slowest"]:
        del pairs["fastest"]
    key = max((key_lines(scene, pair) for pair in pairs.values()), default=0)
    curves = _CURVE + 0.9 + _KEY_LINE * (key + 0.6) if pairs else 0.0
    height = _HEAD + matrix + 0.75 + curves + _LINE * (len(lines) + 1)
    drawn = Figure(figsize=(_WIDTH, height))
    title = f"{scene['title']}, {scene['when']}"
    drawn.text(_EDGE / _WIDTH, 1 - 0.12 / height, title, va="top", weight="bold", size=11, color=_INK)
    if scene["ranks"]:
        _draw_matrices(drawn, scene, matrix, height)
        for i, (name, pair) in enumerate(pairs.items()):
            left = _EDGE + i * (_HALF + _GAP) + 0.72
            box = (left, height - _HEAD - matrix - 1.2 - _CURVE, _HALF - 0.72, _CURVE)
            draw_curve(drawn.add_axes(_part(box, height)), scene, pair, name)
    place = (_EDGE / _WIDTH, _LINE / height / 2)
    drawn.text(*place, "\n".join(lines), va="bottom", size=8.5, color=_INK, linespacing=1.35)
    for text in drawn.findobj(Text):
        text.set_parse_math(False)  # a dollar in a host's name is a dollar
    return drawn


def _draw_matrices(drawn: Figure, scene: dict[str, Any], matrix: float, height: float) -> None:
    """Side by side, the measure that was asked for first; under each its scale."""
    bottom = height - _HEAD - matrix
    for i, measure in enumerate(sorted(_NAMES, key=lambda name: name != scene["show"])):
        left = _EDGE + i * (_HALF + _GAP) + _NAMED
        axes = drawn.add_axes(_part((left, bottom, matrix, matrix), height))
        _heat_map(axes, scene, measure, names=i == 0)
        if measure in scene["scales"]:
            box = (left, bottom - 0.28, max(matrix, 1.6), 0.11)
            _scale(drawn.add_axes(_part(box, height)), scene["scales"][measure])
    _legend(drawn, scene, (_EDGE + _NAMED, bottom - 0.62), height)


def _part(box: tuple[float, float, float, float], height: float) -> tuple[float, float, float, float]:
    """Inches from the lower left corner, as parts of the figure."""
    left, bottom, wide, high = box
    return left / _WIDTH, bottom / height, wide / _WIDTH, high / height


def _heat_map(axes: Axes, scene: dict[str, Any], measure: str, *, names: bool) -> None:
    ranks = scene["ranks"]
    order = [entry["rank"] for entry in ranks]
    by = scene["by"][0] if scene["by"] else "mlx"
    for cell in scene["cells"]:
        at = order.index(cell["receiver"]), order.index(cell["sender"])
        _draw_cell(axes, cell, cell["figures"].get(by, {}).get(measure), at, 9 if len(ranks) <= 6 else 7.5)
    axes.set(xlim=(0, len(ranks)), ylim=(len(ranks), 0))
    axes.spines[:].set_visible(False)
    _name_ranks(axes, ranks, names=names)
    means = f"MLX ({scene['backend']})" if by == "mlx" else "plain TCP"
    unit = f", {scene['scales'][measure]['unit']}" if measure in scene["scales"] else ""
    axes.set_title(f"{_NAMES[measure]}{unit}, over {means}", size=9.5, loc="left", color=_INK, pad=8)


def _draw_cell(
    axes: Axes, cell: dict[str, Any], shown: dict[str, Any] | None, at: tuple[int, int], size: float
) -> None:
    x, y = at
    if shown is None:
        axes.add_patch(
            Rectangle(
                (x + 0.02, y + 0.02), 0.96, 0.96, fill=False, edgecolor=_RULE, hatch="/////", linewidth=0.6
            )
        )
        return
    colour = ramp(shown["shade"])
    ink = ink_on(colour)
    axes.add_patch(Rectangle((x + 0.02, y + 0.02), 0.96, 0.96, facecolor=colour, linewidth=0))
    axes.text(x + 0.5, y + 0.53, shown["text"], ha="center", va="center", size=size, color=ink)
    if shown.get("low"):
        axes.plot([x + 0.85], [y + 0.15], marker="v", markersize=5, color=ink, linestyle="none")


def _name_ranks(axes: Axes, ranks: list[dict[str, Any]], *, names: bool) -> None:
    middles, numbers = [i + 0.5 for i in range(len(ranks))], [str(entry["rank"]) for entry in ranks]
    axes.set_xticks(middles, numbers, weight="bold", size=9)
    axes.set_yticks(middles, numbers, weight="bold", size=9)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("to rank", size=8, color=_SOFT)
    beside = [(0.0, "from rank", 9.0)]
    if names:
        room = 72 * (_EDGE + _NAMED) - _ASIDE - 2
        hosts = names_within([entry["host"] for entry in ranks], room, 8)
        beside += [(middle, host, 0.0) for middle, host in zip(middles, hosts, strict=True)]
    for y, words, up in beside:
        axes.annotate(
            words,
            (0, y),
            xytext=(-_ASIDE, up),
            textcoords="offset points",
            ha="right",
            va="center",
            size=8,
            color=_SOFT,
        )
    axes.tick_params(length=0, colors=_INK, pad=3)


def _scale(axes: Axes, scale: dict[str, Any]) -> None:
    colours = ListedColormap([ramp((i + 0.5) / 64) for i in range(64)])
    axes.imshow([[i / 63 for i in range(64)]], aspect="auto", cmap=colours, extent=(0, 1, 0, 1))
    axes.set_yticks([])
    words = {0: "{} slow", 1: "fast {}"}
    ticks = sorted(scale["ticks"], key=lambda tick: float(tick["shade"]))
    axes.set_xticks(
        [tick["shade"] for tick in ticks],
        [words.get(tick["shade"], "{}").format(tick["text"]) for tick in ticks],
    )
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.tick_params(length=0, labelsize=8, colors=_INK, pad=2)
    axes.spines[:].set_visible(False)


def _legend(drawn: Figure, scene: dict[str, Any], place: tuple[float, float], height: float) -> None:
    x, y = place
    words = []
    if any(not cell["figures"] for cell in scene["cells"]):
        words.append("hatched: not measured")
    by = scene["by"][0] if scene["by"] else "mlx"
    if any(cell["figures"].get(by, {}).get("bandwidth", {}).get("low") for cell in scene["cells"]):
        words.append("▼ low, see below")
    drawn.text(x / _WIDTH, y / height, "     ".join(words), va="top", size=8, color=_SOFT)
