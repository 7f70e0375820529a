"""Labels of links on paper: a place for each where it covers nothing, or none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.views.topology_places import Box, HostBox, Line, Measure, segments, size_of

SIZE, LINE = 8.5, 10.5
_SIGN = 13.0
# From here on a drawing is a web, and labels that cover other lines would hide which line is whose.
_CROWDED = 16
# From the middle of a line to near its ends.
_SHARES = tuple(0.5 + 0.04 * at for at in sorted(range(-9, 10), key=abs))
_BAD = ("low", "failed")


@dataclass(frozen=True)
class Form:
    """One way to write a label."""

    lines: tuple[str, ...]
    w: float
    h: float
    sign: bool


@dataclass(frozen=True)
class Label:
    """A label at its place."""

    form: Form
    box: Box


def forms(link: Mapping[str, Any], live: bool, measure: Measure) -> list[Form]:
    """With its kind above it where that tells links apart, without, and with its figures below each other."""
    sent = [link["sent"] or "↔ 0 B"] if live and link["in_use"] else []
    own = link["label"]
    wanted = [[link["kind"], *own]] if link["kind"] else []
    wanted.append(own)
    if len(own) == 1 and " · " in own[0]:
        wanted.append(own[0].split(" · "))
    sign = link["state"] in _BAD
    return [
        Form(
            (*lines, *sent),
            max(measure(line, SIZE, False) for line in (*lines, *sent)) + 6 + _SIGN * sign,
            (len(lines) + len(sent)) * LINE + 3,
            sign,
        )
        for lines in wanted
    ]


def place_labels(
    scene: Mapping[str, Any],
    lines: Sequence[Line | None],
    boxes: Sequence[HostBox],
    wanted: Sequence[Sequence[Form]],
    head: float,
) -> list[Label | None]:
    """A place for each link's label, None where there is none: first what went wrong, then what is in use."""
    links = scene["links"]
    right, bottom = size_of(boxes)
    labels: list[Label | None] = [None] * len(links)
    taken: list[Box] = []
    for at in _by_importance(links, lines):
        line = lines[at]
        assert line is not None  # _by_importance leaves them out
        within, solid = _ground(line, boxes, Box(0, 0, right, bottom), head)
        web = len(links) > _CROWDED and links[at]["state"] not in _BAD
        others = [other for other in lines if other is not None and other is not line]
        best, least = None, math.inf
        for cost, label in _candidates(line, wanted[at], beside=not web):
            if cost >= least or not within.holds(label.box):
                continue
            if any(label.box.grown(2).meets(other) for other in (*solid, *taken)):
                continue
            crossed = sum(_covers(label.box, other) for other in others)
            if (not web or not crossed) and cost + 20 * crossed < least:
                best, least = label, cost + 20 * crossed
        labels[at] = best
        if best is not None:
            taken.append(best.box)
    return labels


def _by_importance(links: Sequence[Mapping[str, Any]], lines: Sequence[Line | None]) -> list[int]:
    """Of equals the short lines first, which have the fewest places."""

    def key(at: int) -> tuple[int, float]:
        line = lines[at]
        state = 0 if links[at]["state"] in _BAD else 1 if links[at]["in_use"] else 2
        return state, math.dist(*line.ends) if line else 0.0

    return sorted((at for at, line in enumerate(lines) if line), key=key)


def _ground(line: Line, boxes: Sequence[HostBox], page: Box, head: float) -> tuple[Box, list[Box]]:
    """Where a label may stand, and what it must keep off: inside a host, its head and its ranks."""
    if line.inside is None:
        return page, [box.frame for box in boxes]
    host = boxes[line.inside]
    top = Box(host.frame.x, host.frame.y, host.frame.w, head - 6)
    return host.frame, [top, *host.ranks]


def _candidates(line: Line, wanted: Sequence[Form], *, beside: bool) -> Iterator[tuple[float, Label]]:
    """Places on the line and, where it may, beside it, with what each costs."""
    (ax, ay), (bx, by) = line.ends
    for tight, form in enumerate(wanted):
        for share in _SHARES:
            x, y = ax + share * (bx - ax), ay + share * (by - ay)
            cost = 4 * tight + 16 * abs(share - 0.5)
            box = Box(x - form.w / 2, y - form.h / 2, form.w, form.h)
            yield cost, Label(form, box)
            across, down = form.w / 2 + 6, form.h / 2 + 5
            for dx, dy in ((across, 0), (-across, 0), (0, -down), (0, down)) if beside else ():
                yield cost + 8, Label(form, box.moved(dx, dy))


def _covers(box: Box, line: Line) -> bool:
    return any(box.grown(1.5).crossed(a, b) for a, b in segments(line))
