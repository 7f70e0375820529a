"""Rectangles with the shard map's looks, on a matplotlib axes whose unit is the point, with y downwards.

Many rectangles become few collections. The hatches are drawn as lines of our own: matplotlib's have one
density for all sizes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import east_asian_width

from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Circle, Rectangle

from kernelkit.views.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 8.0
LINE = 10.5
INK, SOFT, RULE, TRACK = "#222222", "#666666", "#bbbbbb", "#f3f3f3"
LOOKS = {
    "column": ("cut by column", COLOURS["blue"]),
    "row": ("cut by row", COLOURS["orange"]),
    "whole": ("whole, on one rank", COLOURS["green"]),
    "replicated": ("replicated: all of it on every rank", COLOURS["grey"]),
    "padding": ("padding with zeros", COLOURS["purple"]),
    "repeated": ("KV heads repeated", COLOURS["sky"]),
}
_PERIOD, _THIN = 4.0, 2.5
_KEPT = re.compile(r"(\b(?:heads?|layers?|of)|\+) ")
Segment = tuple[tuple[float, float], tuple[float, float]]


class Box(NamedTuple):
    """Left, top, width, height, in points."""

    x: float
    y: float
    width: float
    height: float

    def corners(self) -> list[tuple[float, float]]:
        right, bottom = self.x + self.width, self.y + self.height
        return [(self.x, self.y), (right, self.y), (right, bottom), (self.x, bottom)]


class Ink:
    """Collects what is to be drawn; `dry` puts it on the axes."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._fills: dict[str, list[Box]] = defaultdict(list)
        self._hatches: dict[str, list[Segment]] = defaultdict(list)
        self._frames: dict[tuple[str, float], list[Box]] = defaultdict(list)
        self._lines: dict[tuple[str, float, str], list[Segment]] = defaultdict(list)

    def part(self, look: str, box: Box) -> None:
        """A rectangle filled and hatched in one of `LOOKS`; a thin one of what was added is of one colour."""
        if look in ("padding", "repeated") and min(box.width, box.height) < _THIN:
            self._fills[f"thin {look}"].append(box)
            return
        self._fills[look].append(box)
        self._hatches[look].extend(_HATCHES[look](box))

    def track(self, box: Box) -> None:
        """An empty column."""
        self._fills["track"].append(box)

    def marker(self, look: str, box: Box) -> None:
        """A mark too small for a hatch."""
        self._fills["marker" if look == "replicated" else look].append(box)

    def behind(self, box: Box) -> None:
        """One more matrix behind the one that is drawn."""
        patch = Rectangle(
            (box.x, box.y), box.width, box.height, facecolor="white", edgecolor=SOFT, linewidth=0.6
        )
        patch.set_zorder(1.5)
        self._axes.add_patch(patch)

    def frame(self, box: Box, colour: str, width: float = 0.6) -> None:
        self._frames[colour, width].append(box)

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, *, width: float = 0.7,
             style: str = "solid") -> None:  # fmt: skip
        self._lines[colour, width, style].append(((x1, y1), (x2, y2)))

    def text(self, x: float, y: float, words: str, **how: Any) -> None:
        """Words whose baseline lies on `y`, as they are: a dollar sign begins no formula.

        `on=True` gives them a halo, over colours.
        """
        self._axes.text(x, y, words, parse_math=False, **_font(**how))

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        how = {"arrowstyle": "->", "color": SOFT, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6}
        self._axes.annotate("", (x2, y2), (x1, y1), arrowprops=how)

    def circle(self, x: float, y: float, radius: float) -> None:
        """Around the sign of a collective."""
        edge = COLOURS["vermillion"]
        self._axes.add_patch(
            Circle((x, y), radius, facecolor="white", edgecolor=edge, linewidth=1.1, zorder=6)
        )

    def dry(self) -> None:
        """Put all of it on the axes: fills, hatches, lines, frames."""
        for look, boxes in self._fills.items():
            colour = _FILLS.get(look) or LOOKS[look.removeprefix("thin ")][1]
            zorder = 1 if look == "track" else 2
            corners = [box.corners() for box in boxes]
            self._axes.add_collection(PolyCollection(corners, facecolors=colour, linewidths=0, zorder=zorder))
        for look, segments in self._hatches.items():
            self._axes.add_collection(LineCollection(segments, zorder=3, **_STROKES[look]))
        for (colour, width, style), segments in self._lines.items():
            how: dict[str, Any] = {"colors": colour, "linewidths": width, "linestyles": style}
            self._axes.add_collection(LineCollection(segments, zorder=4, **how))
        for (colour, width), boxes in self._frames.items():
            corners = [box.corners() for box in boxes]
            frames = PolyCollection(corners, facecolors="none", edgecolors=colour, linewidths=width, zorder=5)
            self._axes.add_collection(frames)


def text_width(words: str, size: float = FONT) -> float:
    """About how wide a text is, in points, in matplotlib's own font; rather too wide than too thin."""
    return sum(_letter_width(letter) for letter in words) * size


def _letter_width(letter: str) -> float:
    """In sizes of the font."""
    if letter in " \u00a0.,:;|il'()·-":
        return 0.36
    return 1.0 if east_asian_width(letter) in "WF" else 0.63


def wrapped(words: str, width: float, size: float = FONT) -> list[str]:
    """Lines of at most `width` points, broken at spaces; a longer word keeps a line of its own.

    Numbers stay with what they count, "heads 6–11", where there is room for that.
    """
    for kept in (_KEPT.sub("\\1\u00a0", words), words.replace("of ", "of\u00a0")):
        if all(text_width(word, size) <= width for word in kept.split(" ")):
            words = kept
            break
    lines: list[str] = []
    for word in words.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def cut(word: str, width: float, size: float = FONT) -> str:
    """As much of a word's beginning and of its end as there is room for."""
    kept = word
    while text_width(kept, size) > width and len(kept) > 3:
        half = (len(kept) - 2) // 2  # of what is left with one letter less
        kept = f"{word[:half]}…{word[len(word) - half :]}"
    return kept


def _font(
    *, size: float = FONT, colour: str = INK, bold: bool = False, align: str = "left", on: bool = False
) -> Any:
    from matplotlib.patheffects import withStroke

    how: dict[str, Any] = {"fontsize": size, "color": colour, "ha": align, "va": "baseline", "zorder": 7}
    how["fontweight"] = "bold" if bold else "normal"
    return how | {"path_effects": [withStroke(linewidth=2.2, foreground="white")]} if on else how


def _upright(box: Box) -> Iterator[Segment]:
    x = box.x + _PERIOD / 2
    while x < box.x + box.width:
        yield (x, box.y), (x, box.y + box.height)
        x += _PERIOD


def _level(box: Box) -> Iterator[Segment]:
    count = max(1, round(box.height / _PERIOD))
    for i in range(count):
        y = box.y + (i + 0.5) * box.height / count
        yield (box.x, y), (box.x + box.width, y)


def _slanted(box: Box) -> Iterator[Segment]:
    """Lines that rise to the right, cut off at the box's edges."""
    offset = _PERIOD / 2
    while offset < box.width + box.height:
        start, end = max(0.0, offset - box.height), min(offset, box.width)
        yield (box.x + start, box.y + offset - start), (box.x + end, box.y + offset - end)
        offset += _PERIOD


def _crossed(box: Box) -> Iterator[Segment]:
    """Lines that rise, and lines that fall."""
    middle = 2 * box.y + box.height
    for (x1, y1), (x2, y2) in _slanted(box):
        yield (x1, y1), (x2, y2)
        yield (x1, middle - y1), (x2, middle - y2)


def _dotted(box: Box) -> Iterator[Segment]:
    count = max(1, round(box.height / 3))
    for i in range(count):
        y = box.y + (i + 0.5) * box.height / count
        yield (box.x + 1.2, y), (box.x + box.width - 1.2, y)


def _none(box: Box) -> Iterator[Segment]:
    yield from ()


_HATCHES = {
    "column": _upright,
    "row": _level,
    "replicated": _dotted,
    "padding": _slanted,
    "repeated": _crossed,
    "whole": _none,
}
_FILLS = {"track": TRACK, "marker": "#b5b5b5", "padding": "white", "replicated": "#e6e6e6"}
_PALE = {"colors": "white", "alpha": 0.5, "linewidths": 0.7}
_STROKES: dict[str, dict[str, Any]] = {
    "column": _PALE,
    "row": _PALE,
    "whole": _PALE,
    "repeated": {**_PALE, "alpha": 0.8},
    # Round ends with nothing between them: dots.
    "replicated": {
        "colors": "#8c8c8c",
        "linewidths": 1.1,
        "linestyles": [(0, (0.01, 2.6))],
        "capstyle": "round",
    },
    "padding": {"colors": LOOKS["padding"][1], "linewidths": 1.4},
}
