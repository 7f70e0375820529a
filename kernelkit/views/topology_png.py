"""The topology by matplotlib: hosts, ranks, links and the sentences on bad ones, as a figure for a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from kernelkit.views.topology_ink import INK, SOFT, Ink
from kernelkit.views.topology_key import ROW, draw_key, key_rows
from kernelkit.views.topology_labels import Form, Label, forms, place_labels
from kernelkit.views.topology_places import HostBox, Line, head_height, place_hosts, route, size_of

_MARGIN, _LEADING = 8.0, 12.0
_LEAST_WIDTH = 380.0
_POINTS_PER_INCH = 72
_ON_PIXELS = 1.03
_TITLE, _CAPTION = 11.0, 9.0
# A figure and its unit, two ranks and their dash: what a line must not part.
_TOGETHER = re.compile(
    r"(?<=\d) (?=[KMGT]?B\b|[µm]?s\b|%|of\b)|(?<=nominal) |(?<=↔) |(?<=\d) (?=- \d)|(?<=\d -) (?=\d)"
)


def figure(scene: dict[str, Any]) -> Figure:
    """Draw what `topology.scene` gave."""
    wanted = [forms(link, scene["live"], text_width) for link in scene["links"]]
    sizes = [(own[0].w, max(form.h for form in own)) for own in wanted]
    boxes = place_hosts(scene, sizes, text_width)
    lines = route(scene, boxes)
    labels = place_labels(scene, lines, boxes, wanted, head_height(scene))
    right, deep = size_of(boxes)
    wide = max(_least_width(scene), right)

    top = _wrapped([scene["subtitle"], scene["kinds"]], wide)
    key = key_rows(scene, wide, text_width)
    under = _wrapped(_unlabelled(scene, wanted, labels), wide)
    notes = [_wrapped([note], wide - 16) for note in scene["notes"]]
    above = 22 + _LEADING * len(top)
    below = 12 + ROW * len(key) + _LEADING * (len(under) + sum(map(len, notes)))
    drawn, ink = _sheet(wide, above, deep, below)

    ink.text(0, 10 - above, scene["title"], size=_TITLE, bold=True)
    _draw_lines(ink, top, 12 - above, SOFT)
    _draw_map(ink, scene, boxes, lines, labels)
    draw_key(ink, key, deep + 6 + ROW, text_width)
    y = _draw_lines(ink, under, deep + 8 + ROW * len(key), SOFT)
    for note in notes:
        ink.sign(6, y + _LEADING - 3)
        y = _draw_lines(ink, note, y, INK, x=16)
    return drawn


def _draw_lines(ink: Ink, lines: Sequence[str], y: float, colour: str, x: float = 0.0) -> float:
    """Below `y`; gives the height of the last."""
    for words in lines:
        y += _LEADING
        ink.text(x, y, words, size=_CAPTION, colour=colour)
    return y


def _least_width(scene: Mapping[str, Any]) -> float:
    """Room for what stands above the map, and for a key."""
    words = max(text_width(scene[part], _CAPTION, False) for part in ("subtitle", "kinds"))
    title = text_width(scene["title"], _TITLE, True)
    return _LEAST_WIDTH if scene["links"] else max(title, min(words, _LEAST_WIDTH))


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool) -> float:
    """In points, in the font that draws it, and a little more: on a screen letters stand on whole pixels."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return _ON_PIXELS * float(_PATHS.get_text_width_height_descent(text, font, ismath=False)[0])


_PATHS = TextToPath()


def _sheet(wide: float, above: float, deep: float, below: float) -> tuple[Figure, Ink]:
    """A figure whose one axes has points as its unit, y downwards; the map's corner is (0, 0)."""
    width, height = wide + 2 * _MARGIN, above + deep + below + 2 * _MARGIN
    drawn = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), facecolor="white")
    axes: Axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_MARGIN, wide + _MARGIN)
    axes.set_ylim(deep + below + _MARGIN, -above - _MARGIN)
    axes.set_axis_off()
    return drawn, Ink(axes, text_width)


def _draw_map(
    ink: Ink,
    scene: Mapping[str, Any],
    boxes: Sequence[HostBox],
    lines: Sequence[Line | None],
    labels: Sequence[Label | None],
) -> None:
    links = scene["links"]
    halo = any(link["in_use"] for link in links) and not all(link["in_use"] for link in links)
    # What is in use is drawn over what is not; lines inside a host over its box.
    for at in sorted(range(len(links)), key=lambda at: bool(links[at]["in_use"])):
        line = lines[at]
        if line is not None:
            ink.link(links[at], line.strokes, halo=halo, above=line.inside is not None)
    for host, box in zip(scene["hosts"], boxes, strict=True):
        ink.host(host, box.frame, chip=any(one["chip"] for one in scene["hosts"]))
        for rank, chip in zip(host["ranks"], box.ranks, strict=True):
            ink.rank(rank, chip)
    for link, line, label in zip(links, lines, labels, strict=True):
        if label is not None:
            ink.label(label, soft=not link["in_use"])
        elif line is not None and link["note"]:
            (ax, ay), (bx, by) = line.ends
            ink.sign((ax + bx) / 2, (ay + by) / 2)


def _unlabelled(
    scene: Mapping[str, Any],
    wanted: Sequence[Sequence[Form]],
    labels: Sequence[Label | None],
) -> list[str]:
    """What could not be written at its line is written below."""
    said = [
        f"{link['cells'][0]}: {', '.join(own[-1].lines)}"
        for link, own, label in zip(scene["links"], wanted, labels, strict=True)
        if label is None
    ]
    return [f"Not labelled above: {'; '.join(said)}."] if said else []


def _wrapped(texts: Sequence[str], width: float) -> list[str]:
    """Lines no wider than `width`, unless one word is."""
    lines: list[str] = []
    for text in filter(None, texts):
        line = ""
        for word in _TOGETHER.sub("\u00a0", text).split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, _CAPTION, False) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
