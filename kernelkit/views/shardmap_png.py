"""The shard map on paper: the overview of each map, and one of its layers magnified, with all shapes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from matplotlib.figure import Figure

from kernelkit.views.shardmap_ink import FONT, LINE, LOOKS, SOFT, Box, Ink, text_width
from kernelkit.views.shardmap_png_grid import BAR, draw_bars, draw_grid, least_width
from kernelkit.views.shardmap_png_layer import draw_layer

_INCH = 72.0
_ALONE, _EACH = (400.0, 330.0), 380.0  # widths: overview and layer of one map; of each map beside others
_GAP, _MARGIN = 26.0, 8.0


def figure(scene: dict[str, Any]) -> Figure:
    """Draw it on white; one map with its layer at its side, several in a row with theirs below."""
    maps = scene["maps"]
    alone = len(maps) == 1
    each = max(_ALONE[0] if alone else _EACH, *map(least_width, maps))
    width = (each + _ALONE[1] + _GAP if alone else len(maps) * (each + _GAP) - _GAP) + 2 * _MARGIN
    made = Figure(figsize=(width / _INCH, 1), facecolor="white")
    axes = made.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    ink = Ink(axes)
    lefts = [_MARGIN + i * (each + _GAP) for i in range(len(maps))]
    grids = [draw_grid(ink, drawn, maps, x, each) for drawn, x in zip(maps, lefts, strict=True)]
    # All bars on one line and to one scale.
    baseline = max(grid.bottom for grid in grids) + BAR + 8 + LINE
    most = max(rank["size_bytes"] for drawn in maps for rank in drawn["ranks"])
    below = max(draw_bars(ink, drawn, grid, baseline, most) for drawn, grid in zip(maps, grids, strict=True))
    below = _legend(ink, maps, _MARGIN, below + LINE, each if alone else width)
    ends = [below]
    for drawn, x in zip(maps, lefts, strict=True):
        place = (_MARGIN + each + _GAP, 0.0, _ALONE[1]) if alone else (x, below + LINE, each)
        ends.append(draw_layer(ink, drawn, _commonest(drawn), *place))
    height = max(ends) + _MARGIN
    ink.dry()
    made.set_size_inches(width / _INCH, height / _INCH)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return made


def _commonest(drawn: dict[str, Any]) -> int:
    """The kind of layer that most layers are."""
    counts = Counter(drawn["layers"])
    return max(counts, key=lambda kind: counts[kind]) if counts else 0


def _legend(ink: Ink, maps: list[dict[str, Any]], left: float, top: float, width: float) -> float:
    """Swatches of the looks that occur; gives the y below them."""
    contents = [part for drawn in maps for part in (drawn["before"], drawn["after"], *drawn["kinds"])]
    used = {matrix["cut"] for matrices in contents for matrix in matrices}
    used.update(what for drawn in maps for what in drawn["added"])
    x, y = left, top
    for look in (name for name in LOOKS if name in used):
        words, colour = LOOKS[look]
        needed = 20 + text_width(words) + 12
        if x > left and x + needed > left + width:
            x, y = left, y + LINE + 4
        swatch = Box(x, y, 18, 9)
        ink.part(look, swatch)
        ink.frame(swatch, colour)
        ink.text(x + 22, y + 7.5, words, colour=SOFT, size=FONT)
        x += needed
    return y + 12
