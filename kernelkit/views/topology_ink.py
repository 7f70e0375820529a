"""The topology's shapes on a matplotlib axes whose unit is the point, with y downwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from kernelkit.views.palette import COLOURS
from kernelkit.views.topology_labels import LINE, SIZE, Label
from kernelkit.views.topology_places import NAME, PAD, SMALL, Box, Measure, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, RULE, PANEL = "#222222", "#666666", "#aaaaaa", "#f3f3f3"
_DASHES = {"nominal": (5.0, 3.2), "failed": (1.8, 2.4)}
_WIDEST_BAR = 200.0
# From the bottom up.
_HALO, _LINE, _BOX, _CHIP, _TEXT = 1, 2, 3, 4, 6


def line_width(bytes_per_s: float | None) -> float:
    """In points: 1 at 100 MB/s, and 1.5 more for each factor of ten."""
    return min(8.0, max(0.8, 1 + 1.5 * (log10(bytes_per_s) - 8))) if bytes_per_s else 1.5


def shorter_names(name: str) -> Iterator[str]:
    """The name, without its domain, and shorter from its middle on: names of hosts differ at their ends."""
    yield name
    first = name.partition(".")[0]
    if first and not first.isdigit():
        yield f"{first}…"
        name = first
    for kept in range(len(name) - 1, -1, -1):
        tail = kept // 2
        yield f"{name[: kept - tail]}…{name[len(name) - tail :]}"


class Ink:
    """Draws one thing after the other."""

    def __init__(self, axes: Axes, measure: Measure) -> None:
        self._axes = axes
        self._measure = measure

    def text(
        self, x: float, y: float, words: str, *, size: float = SMALL, bold: bool = False, colour: str = INK,
        align: str = "left", zorder: float = _TEXT,
    ) -> None:  # fmt: skip
        """Words whose baseline lies on `y`, as they are: a dollar sign begins no formula."""
        weight = "bold" if bold else "normal"
        self._axes.text(
            x, y, words, fontsize=size, fontweight=weight, color=colour, ha=align, va="baseline",
            zorder=zorder, parse_math=False,
        )  # fmt: skip

    def named(self, x: float, y: float, name: str, room: float) -> None:
        """A host's name: without its domain, then without its middle, where it does not fit."""
        for shown in shorter_names(name):
            if self._measure(shown, NAME, True) <= room:
                self.text(x, y, shown, size=NAME, bold=True)
                return

    def fitted(self, x: float, y: float, words: str, room: float, **how: Any) -> None:
        """As much of the words as fits, with an ellipsis."""
        size, bold = how.get("size", SMALL), how.get("bold", False)
        shown = words
        while words and self._measure(shown, size, bold) > room:
            words = words[:-1]
            shown = f"{words.rstrip()}…"
        self.text(x, y, shown, **how)

    def host(self, host: Mapping[str, Any], box: Box, *, chip: bool) -> None:
        """Its box with name, chip and memory."""
        style = "round,pad=0,rounding_size=6"
        frame: dict[str, Any] = {"facecolor": "white", "edgecolor": RULE, "linewidth": 1.0, "zorder": _BOX}
        self._axes.add_patch(FancyBboxPatch((box.x, box.y), box.w, box.h, boxstyle=style, **frame))
        x, y, room = box.x + PAD, box.y + 17, box.w - 2 * PAD
        self.named(x, y, host["name"], room)
        if chip:
            y += 12
            self.fitted(x, y, host["chip"], room, colour=SOFT)
        if host["memory"]:
            y += 12
            self.fitted(x, y, host["memory"], room, size=8, colour=SOFT)
            self._bar(Box(x, y + 3, min(room, _WIDEST_BAR), 4), host["used_bytes"], host["memory_bytes"])

    def _bar(self, box: Box, used: int | None, total: int | None) -> None:
        if used is None or not total:
            return
        ground: dict[str, Any] = {"facecolor": PANEL, "edgecolor": RULE, "linewidth": 0.5, "zorder": _CHIP}
        self._axes.add_patch(Rectangle((box.x, box.y), box.w, box.h, **ground))
        part = box.w * min(1.0, used / total)
        self._axes.add_patch(
            Rectangle((box.x, box.y), part, box.h, facecolor=COLOURS["blue"], linewidth=0, zorder=_CHIP + 0.1)
        )

    def rank(self, rank: Mapping[str, Any], box: Box) -> None:
        """A chip: number, state as shape and word, and what it does."""
        tall = box.h > 24
        base = box.y + (13 if tall else box.h / 2 + 3)
        chip: dict[str, Any] = {"facecolor": PANEL, "linewidth": 0, "zorder": _CHIP}
        self._axes.add_patch(Rectangle((box.x, box.y), box.w, box.h, **chip))
        if rank["state"] == "waiting":
            waits: dict[str, Any] = {"hatch": "////", "facecolor": "none", "edgecolor": "#f3d08a"}
            above: dict[str, Any] = {"linewidth": 0, "zorder": _CHIP + 0.1}
            self._axes.add_patch(Rectangle((box.x, box.y), box.w, box.h, **waits, **above))
        self._glyph(rank["state"], box.x + 9, base - 3)
        # The word for the state matters more than the word "rank".
        least = 30 + self._measure("rank 88", SMALL, True) + self._measure("waiting", SMALL, False)
        name = f"rank {rank['rank']}" if tall and box.w >= least else str(rank["rank"])
        named = self._measure(name, SMALL, True) + 6
        self.text(box.x + 18, base, name, bold=True)
        room = box.w - 24 - named
        word = rank["state"] if self._measure(rank["state"], SMALL, False) <= room else ""
        self.text(box.x + box.w - 6, base, word, align="right")
        if tall:
            self.fitted(box.x + 18, box.y + 25, rank["line"], box.w - 24, size=8, colour=SOFT)
        else:
            room -= self._measure(word, SMALL, False) + 6
            self.fitted(box.x + 18 + named, base, rank["line"], room, size=8, colour=SOFT)

    def _glyph(self, state: str, x: float, y: float) -> None:
        """The page's shapes: a circle, a triangle, an hourglass, a dotted circle, a cross."""
        how: dict[str, Any] = {"zorder": _TEXT, "linewidth": 1.3}
        if state == "running":
            corners = [(x - 3, y - 4), (x + 4, y), (x - 3, y + 4)]
            self._axes.add_patch(Polygon(corners, color=COLOURS["green"], linewidth=0, zorder=_TEXT))
        elif state == "waiting":
            corners = [(x - 4, y - 4.5), (x + 4, y - 4.5), (x - 4, y + 4.5), (x + 4, y + 4.5)]
            self._axes.add_patch(Polygon(corners, color=COLOURS["orange"], linewidth=0, zorder=_TEXT))
        elif state == "gone":
            for side in (-1, 1):
                ends = (x - 3.5, y - 3.5 * side), (x + 3.5, y + 3.5 * side)
                self._stroke(ends, COLOURS["vermillion"], 1.3, zorder=_TEXT)
        else:
            style = "solid" if state == "idle" else (0, (1.2, 1.4))
            self._axes.add_patch(Circle((x, y), 3.6, fill=False, edgecolor=SOFT, linestyle=style, **how))

    def link(
        self, link: Mapping[str, Any], strokes: Sequence[Sequence[Point]], *, halo: bool, above: bool
    ) -> None:
        """Its strokes: wide by rate, dashed where only nominal, dotted where it failed."""
        state = link["state"]
        bad = state in ("low", "failed")
        colour = COLOURS["vermillion"] if bad else COLOURS["blue"] if link["in_use"] else COLOURS["grey"]
        width = line_width(None if state == "failed" else link["rate_bytes_per_s"])
        lift = _BOX if above else 0
        for stroke in strokes:
            if halo and link["in_use"]:
                self._stroke(stroke, COLOURS["sky"], width + 7, zorder=_HALO + lift, alpha=0.35)
            self._stroke(stroke, colour, width, _DASHES.get(state), zorder=_LINE + lift)

    def _stroke(
        self,
        points: Sequence[Point],
        colour: str,
        width: float,
        dash: tuple[float, float] | None = None,
        **how: Any,
    ) -> None:
        # Dashes are counted in line widths; here they keep their length.
        style: Any = (0, tuple(length / width for length in dash)) if dash else "solid"
        xs, ys = zip(*points, strict=True)
        caps: dict[str, Any] = {"solid_capstyle": "butt", "dash_capstyle": "butt"}
        self._axes.add_line(Line2D(xs, ys, color=colour, linewidth=width, linestyle=style, **caps, **how))

    def label(self, label: Label, *, soft: bool) -> None:
        """Its lines in the middle of a white plate."""
        box, form = label.box, label.form
        plate: dict[str, Any] = {"facecolor": "white", "linewidth": 0, "zorder": _TEXT - 0.5}
        self._axes.add_patch(Rectangle((box.x, box.y), box.w, box.h, **plate))
        middle = box.x + box.w / 2 + (6.5 if form.sign else 0)
        for at, words in enumerate(form.lines):
            y = box.y + 1.5 + LINE * (at + 1) - 2.5
            self.text(middle, y, words, size=SIZE, align="center", colour=SOFT if soft else INK)
        if form.sign:
            self.sign(middle - self._measure(form.lines[0], SIZE, False) / 2 - 8, box.y + 1.5 + LINE - 5.5)

    def sign(self, x: float, y: float) -> None:
        """A triangle with an exclamation mark: something is wrong here."""
        corners = [(x, y - 4.6), (x + 5, y + 4), (x - 5, y + 4)]
        how: dict[str, Any] = {"color": COLOURS["vermillion"], "joinstyle": "round", "zorder": _TEXT + 1}
        self._axes.add_patch(Polygon(corners, **how))
        for start, end in ((-2.2, 1.2), (2.1, 3.3)):
            self._stroke([(x, y + start), (x, y + end)], "white", 1.1, zorder=_TEXT + 2)
