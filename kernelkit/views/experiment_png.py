"""The picture of an experiment, drawn by matplotlib: sentences, bars by unit, tokens, conditions."""

from __future__ import annotations

import textwrap
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kernelkit.views.palette import COLOURS

# Of the first record and of the second.
FILL = (COLOURS["blue"], COLOURS["orange"])
DIFFERENT = COLOURS["vermillion"]
_INK, _SOFT = "#222222", "#666666"
_SMALL, _TEXT = 8.5, 10.0
# Inches.
_WIDTH, _EDGE, _HEAD, _LINE, _TITLE, _BAR, _GAP = 10.2, 0.1, 0.34, 0.19, 0.28, 0.2, 0.1
_NAMES, _BARS, _WORDS = 2.3, 3.6, 6.1
_WRAP, _NAME_WRAP = 140, 30
_FACT_WRAP = {1: 100, 2: 50}


class _Page:
    """A figure that is filled from its top; lengths are inches."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(_WIDTH, height))
        self.height = height
        self.top = 0.06

    def write(self, left: float, words: str, down: float = 0.0, **look: Any) -> None:
        common: dict[str, Any] = {"ha": "left", "va": "top", "size": _SMALL, "color": _INK}
        y = 1 - (self.top + down) / self.height
        self.figure.text(left / _WIDTH, y, words, **{**common, **look})

    def axes(self, left: float, width: float, tall: float) -> Axes:
        box = (
            left / _WIDTH,
            (self.height - self.top - tall) / self.height,
            width / _WIDTH,
            tall / self.height,
        )
        axes = self.figure.add_axes(box)
        axes.axis("off")
        return axes


def figure(scene: dict[str, Any]) -> Figure:
    """The picture of a scene of `kernelkit.views.experiment`."""
    count = len(scene["columns"])
    said = [line for sentence in scene["sentences"] for line in textwrap.wrap(sentence, _WRAP)]
    facts = [_wrapped(fact, count) for fact in scene["facts"]]
    row = count * _BAR + _GAP
    page = _Page(
        _HEAD
        + _LINE * len(said)
        + (_LINE + _GAP if count > 1 else 0)
        + sum(_TITLE + row * len(chart["rows"]) for chart in scene["charts"])
        + (_TITLE + row * len(scene["strips"]) if scene["strips"] else 0)
        + (_TITLE + _LINE * sum(map(len, facts)) if facts else 0)
        + 0.15
    )
    page.write(_EDGE, scene["title"], weight="bold", size=_TEXT)
    page.top += _HEAD
    for line in said:
        page.write(_EDGE, line)
        page.top += _LINE
    if count > 1:
        _legend(page, scene["columns"], bool(scene["strips"]))
    for chart in scene["charts"]:
        _chart(page, chart, row)
    if scene["strips"]:
        _strips(page, scene["strips"], row)
    if facts:
        _facts(page, facts, count)
    for text in page.figure.findobj(Text):
        text.set_parse_math(False)  # a dollar in a parameter is a dollar
    return page.figure


def _legend(page: _Page, columns: list[str], strips: bool) -> None:
    page.top += _GAP
    left = _EDGE
    entries = [
        *zip(columns, FILL, strict=True),
        *([("not as in the first", DIFFERENT)] if strips else []),
    ]
    for name, colour in entries:
        axes = page.axes(left, 0.16, 0.13)
        axes.add_patch(Rectangle((0, 0), 1, 1, color=colour))
        page.write(left + 0.22, name)
        left += 1.1
    page.top += _LINE


def _chart(page: _Page, chart: dict[str, Any], row: float) -> None:
    """A bar for each record's median; whiskers from the least to the most where it was repeated."""
    page.write(_EDGE, chart["title"], down=0.05, weight="bold")
    page.top += _TITLE
    rows = chart["rows"]
    values = [value for each in rows for record in each["values"] for value in record]
    axes = page.axes(_NAMES, _BARS, row * len(rows))
    low, high = min(0.0, *values), max(0.0, *values)
    axes.set(xlim=(low, high + (high - low or 1) * 0.02), ylim=(row * len(rows), 0))
    for number, each in enumerate(rows):
        page.write(
            _EDGE, textwrap.shorten(each["name"], _NAME_WRAP, placeholder=" …"), down=number * row + 0.02
        )
        for record, measured in enumerate(each["values"]):
            y = number * row + (record + 0.5) * _BAR
            down = y - _BAR / 2 + 0.02
            ratio = f"   × {each['ratio']}" if each["ratio"] and record else ""
            page.write(_WORDS, (each["words"][record] or "not measured") + ratio, down=down)
            if measured:
                middle = median(measured)
                axes.barh(y, middle, _BAR * 0.72, color=FILL[record])
                if len(measured) > 1:
                    ends = [[middle - min(measured)], [max(measured) - middle]]
                    axes.errorbar(middle, y, xerr=ends, color=_INK, lw=1.1, capsize=2.5)
    page.top += row * len(rows)


def _strips(page: _Page, strips: list[dict[str, Any]], row: float) -> None:
    """A cell for each token, in the colour of its record where it is the first record's."""
    page.write(_EDGE, "tokens", down=0.05, weight="bold")
    page.top += _TITLE
    longest = max(1, *(len(same) for strip in strips for same in strip["same"]))
    axes = page.axes(_NAMES, _BARS, row * len(strips))
    axes.set(xlim=(0, longest), ylim=(row * len(strips), 0))
    edge = 0.5 if longest <= 128 else 0.0
    for number, strip in enumerate(strips):
        page.write(
            _EDGE, textwrap.shorten(strip["name"], _NAME_WRAP, placeholder=" …"), down=number * row + 0.02
        )
        page.write(_WORDS, textwrap.shorten(strip["words"], 70, placeholder=" …"), down=number * row + 0.02)
        for record, same in enumerate(strip["same"]):
            y = number * row + record * _BAR + _BAR * 0.14
            for at, alike in enumerate(same):
                colour = FILL[record] if alike else DIFFERENT
                cell = Rectangle((at, y), 1, _BAR * 0.72, facecolor=colour, edgecolor="white", lw=edge)
                axes.add_patch(cell)
    page.top += row * len(strips)


def _wrapped(fact: dict[str, Any], count: int) -> list[list[str]]:
    """The lines of a condition: its name, then what each record has."""
    cells = [[fact["name"]], *(textwrap.wrap(value, _FACT_WRAP[count]) or [""] for value in fact["values"])]
    tall = max(map(len, cells))
    return [[cell[line] if line < len(cell) else "" for cell in cells] for line in range(tall)]


def _facts(page: _Page, facts: list[list[list[str]]], count: int) -> None:
    page.write(_EDGE, "what differs" if count > 1 else "conditions", down=0.05, weight="bold")
    page.top += _TITLE
    wide = (_WIDTH - _NAMES) / count
    for lines in facts:
        for line in lines:
            page.write(_EDGE, line[0], color=_SOFT)
            for number, words in enumerate(line[1:]):
                page.write(_NAMES + number * wide, words)
            page.top += _LINE
