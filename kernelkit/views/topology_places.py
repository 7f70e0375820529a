"""Where the static topology picture puts hosts, ranks and lines: pure geometry, in points, y downwards.

The page has its own geometry, which fits a width. Paper has the width that the picture needs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

Point = tuple[float, float]
Measure = Callable[[str, float, bool], float]

PAD = 9.0
NAME, SMALL = 10.5, 8.5
_TALL, _COMPACT, _GAP, _RAIL = 32.0, 18.0, 5.0, 16.0
_MANY_RANKS = 4
_NARROWEST, _WIDEST = 118.0, 200.0
_PAPER = 730.0
_BETWEEN, _BETWEEN_FEW, _FEW_HOSTS = 44.0, 82.0, 5
_NEAR, _MOST_EXTRA = 6.0, 1.4
_APART = 32.0


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    w: float
    h: float

    @property
    def centre(self) -> Point:
        return self.x + self.w / 2, self.y + self.h / 2

    def moved(self, dx: float, dy: float) -> Box:
        return replace(self, x=self.x + dx, y=self.y + dy)

    def grown(self, by: float) -> Box:
        return Box(self.x - by, self.y - by, self.w + 2 * by, self.h + 2 * by)

    def meets(self, other: Box) -> bool:
        across = self.x < other.x + other.w and other.x < self.x + self.w
        return across and self.y < other.y + other.h and other.y < self.y + self.h

    def holds(self, other: Box) -> bool:
        across = self.x <= other.x and other.x + other.w <= self.x + self.w
        return across and self.y <= other.y and other.y + other.h <= self.y + self.h

    def crossed(self, a: Point, b: Point) -> bool:
        """Whether a segment meets it: not beyond one side, and not all of it on one side of the segment."""
        right, bottom = self.x + self.w, self.y + self.h
        if max(a[0], b[0]) < self.x or min(a[0], b[0]) > right:
            return False
        if max(a[1], b[1]) < self.y or min(a[1], b[1]) > bottom:
            return False
        sides = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
            for x in (self.x, right)
            for y in (self.y, bottom)
        ]
        return min(sides) <= 0 <= max(sides)


@dataclass(frozen=True)
class HostBox:
    """A host's frame and its ranks in it; `around`: they stand in a circle, not below each other."""

    frame: Box
    ranks: tuple[Box, ...]
    around: bool = False

    def moved(self, dx: float, dy: float) -> HostBox:
        return replace(
            self, frame=self.frame.moved(dx, dy), ranks=tuple(box.moved(dx, dy) for box in self.ranks)
        )


@dataclass(frozen=True)
class Line:
    """A link: its strokes, the stretch at which its label stands, and the host that it is inside of."""

    strokes: tuple[tuple[Point, ...], ...]
    ends: tuple[Point, Point]
    inside: int | None = None


def head_height(scene: Mapping[str, Any]) -> float:
    """What stands above the ranks of a host: its name, then chip and memory where any host has them."""
    hosts = scene["hosts"]
    chip, memory = (any(host[key] for host in hosts) for key in ("chip", "memory"))
    return 22.0 + 12.0 * chip + 22.0 * memory + (0.0 if chip or memory else 3.0)


def place_hosts(
    scene: Mapping[str, Any], labels: Sequence[tuple[float, float]], measure: Measure
) -> list[HostBox]:
    """Boxes for hosts and ranks, from (0, 0) on.

    Args:
        labels: width and height of each link's label.
    """
    hosts = scene["hosts"]
    if not hosts:
        return []
    if len(hosts) == 1:
        return [_alone(scene, labels, measure)]
    between = {at: link["ends"] for at, link in enumerate(scene["links"]) if len(set(link["ends"])) == 2}
    gap = max((labels[at][0] for at in between), default=20.0) + 30
    columns = 2 if len(hosts) < 5 else math.ceil(len(hosts) / 2)
    # What is shown in full on paper cannot be looked up; but where there are many, all become narrow.
    width = min(_box_width(scene, measure), max(_NARROWEST, (_PAPER - (columns - 1) * gap) / columns))
    boxes = []
    for at, host in enumerate(hosts):
        own = sum(labels[link][1] + 14 for link in _inside(scene, at))
        ranks, height = _below(len(host["ranks"]), width - 2 * PAD, own, PAD, head_height(scene))
        boxes.append(HostBox(Box(0, 0, width, height + (PAD if ranks else 0)), tuple(ranks)))
    few = len(hosts) <= _FEW_HOSTS and len(between) > len(hosts)
    pairs = [(first, second) for first, second in between.values()]
    return _ellipse(boxes, width, columns, gap, _BETWEEN_FEW if few else _BETWEEN, pairs)


def size_of(boxes: Sequence[HostBox]) -> tuple[float, float]:
    """Width and height of what they cover."""
    frames = [box.frame for box in boxes]
    return max((box.x + box.w for box in frames), default=0.0), max(
        (box.y + box.h for box in frames), default=0.0
    )


def route(scene: Mapping[str, Any], boxes: Sequence[HostBox]) -> list[Line | None]:
    """A line for each link; None where it joins nothing that is drawn."""
    pairs = [tuple(sorted(link["ends"])) for link in scene["links"]]
    of, seen = Counter(pairs), Counter[tuple[Any, ...]]()
    lines: list[Line | None] = []
    for first, second in pairs:
        at, count = seen[first, second], of[first, second]
        seen[first, second] += 1
        if first == second:
            lines.append(_bus(boxes[first], first, at, count))
        else:
            lines.append(_straight(boxes[first].frame, boxes[second].frame, at, count))
    return lines


def _inside(scene: Mapping[str, Any], host: int) -> list[int]:
    return [at for at, link in enumerate(scene["links"]) if link["ends"] == [host, host]]


def _box_width(scene: Mapping[str, Any], measure: Measure) -> float:
    """As wide as its widest text."""
    texts = [measure(host["name"], NAME, True) for host in scene["hosts"]]
    texts += [measure(host["chip"], SMALL, False) for host in scene["hosts"]]
    texts += [measure(rank["line"], SMALL, False) + 30 for host in scene["hosts"] for rank in host["ranks"]]
    return min(_WIDEST, max(_NARROWEST, *texts) + 2 * PAD)


def _below(count: int, width: float, labels: float, x: float, y: float) -> tuple[list[Box], float]:
    """Ranks below each other; a link of two stands between them, one of more is a rail at their side."""
    height = _TALL if count <= _MANY_RANKS else _COMPACT
    rail = count > 2 and labels > 0
    gap = labels if count == 2 and labels else _GAP
    ranks = [Box(x, y + at * (height + gap), width - _RAIL * rail, height) for at in range(count)]
    end = ranks[-1].y + height if ranks else y
    return ranks, end + (labels if rail else 0)


def _alone(scene: Mapping[str, Any], labels: Sequence[tuple[float, float]], measure: Measure) -> HostBox:
    """One host: its ranks stand in it as hosts stand on the page."""
    count, head = len(scene["hosts"][0]["ranks"]), head_height(scene)
    own = [labels[at] for at in _inside(scene, 0)]
    width = _box_width(scene, measure)
    if count < 2:
        ranks, height = _below(count, width, 0.0, PAD, head)
        return HostBox(Box(0, 0, width + 2 * PAD, height + (PAD if ranks else 0)), tuple(ranks))
    gap = max((wide for wide, _ in own), default=0.0) + 30 if count == 2 else 24.0
    columns = 2 if count < 5 else math.ceil(count / 2)
    chips = [HostBox(Box(0, 0, min(width, 170.0), _TALL), ()) for _ in range(count)]
    placed = _ellipse(chips, chips[0].frame.w, columns, gap, max(40.0, sum(high for _, high in own) + 24), [])
    frames = [box.moved(PAD, head).frame for box in placed]
    right, low = max(box.x + box.w for box in frames), max(box.y + box.h for box in frames)
    return HostBox(Box(0, 0, right + PAD, low + PAD), tuple(frames), around=True)


def _ellipse(
    boxes: Sequence[HostBox],
    width: float,
    columns: int,
    gap: float,
    between: float,
    pairs: Sequence[tuple[int, int]],
) -> list[HostBox]:
    """The flattest ellipse on which they stand apart, and lines pass them if that takes little height."""
    count = len(boxes)
    turns = [2 * math.pi * (at + (0 if count % 2 else -0.5)) / count - math.pi / 2 for at in range(count)]
    reach = max(abs(math.cos(turn)) for turn in turns)
    room = min(columns * width + (columns - 1) * 1.2 * gap, max(_PAPER, columns * (width + 20)))
    # Neighbours of equal height stand apart by width alone.
    level = [(a, b) for a, b in combinations(turns, 2) if abs(math.sin(a) - math.sin(b)) < 1e-9]
    nearest = min((abs(math.cos(a) - math.cos(b)) for a, b in level), default=1.0)
    across = max((room - width) / 2 / reach, (width + 20) / nearest)

    def stand(down: float) -> list[HostBox]:
        return [
            box.moved(across * math.cos(turn) - box.frame.w / 2, down * math.sin(turn) - box.frame.h / 2)
            for box, turn in zip(boxes, turns, strict=True)
        ]

    low, high = 0.0, count * (max(box.frame.h for box in boxes) + between)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if _apart(stand(middle), between) else (middle, high)
    steps = [high * (1 + share * (_MOST_EXTRA - 1) / 10) for share in range(11)]
    chosen = next((down for down in steps if _pass(stand(down), pairs)), high)
    placed = stand(chosen)
    left, top = min(box.frame.x for box in placed), min(box.frame.y for box in placed)
    return [box.moved(-left, -top) for box in placed]


def _apart(boxes: Sequence[HostBox], between: float) -> bool:
    def near(one: Box, two: Box) -> bool:
        room = Box(one.x - 15, one.y - between, one.w + 30, one.h + 2 * between)
        level = abs(one.centre[1] - two.centre[1]) < 1
        return one.meets(two) if level else room.meets(two)

    return not any(near(one.frame, two.frame) for one, two in combinations(boxes, 2))


def _pass(boxes: Sequence[HostBox], pairs: Sequence[tuple[int, int]]) -> bool:
    return not any(
        box.frame.grown(_NEAR).crossed(boxes[first].frame.centre, boxes[second].frame.centre)
        for first, second in pairs
        for at, box in enumerate(boxes)
        if at not in (first, second)
    )


def _straight(one: Box, two: Box, at: int, of: int) -> Line:
    """From box to box; several are drawn apart, no farther than both boxes reach."""
    (ax, ay), (bx, by) = one.centre, two.centre
    length = math.hypot(bx - ax, by - ay)
    nx, ny = -(by - ay) / length, (bx - ax) / length
    reach = min(abs(nx) * box.w + abs(ny) * box.h for box in (one, two)) - 16
    offset = (at - (of - 1) / 2) * min(_APART, max(0.0, reach) / of)
    start, end = ((x + offset * nx, y + offset * ny) for x, y in (one.centre, two.centre))
    ends = _border(one, start, end), _border(two, end, start)
    return Line((ends,), ends)


def _bus(host: HostBox, inside: int, at: int, of: int) -> Line | None:
    """What joins all ranks of one host: a line between two, spokes in a circle, or a rail beside a column."""
    ranks = host.ranks
    if len(ranks) < 2:
        return None
    if len(ranks) == 2:
        return replace(_straight(*ranks, at, of), inside=inside)
    if host.around:
        x = sum(box.centre[0] for box in ranks) / len(ranks)
        y = sum(box.centre[1] for box in ranks) / len(ranks) + (at - (of - 1) / 2) * _APART
        strokes = tuple((_border(box, box.centre, (x, y)), (x, y)) for box in ranks)
        return Line(strokes, ((x, y), (x, y)), inside)
    right = ranks[0].x + ranks[0].w
    rail, low = right + 9 + 3 * at, ranks[-1].y + ranks[-1].h
    y = low + (host.frame.y + host.frame.h - 6 - low) * (at + 0.5) / of
    end = host.frame.centre[0], y
    strokes = tuple(((right, box.centre[1]), (rail, box.centre[1])) for box in ranks)
    return Line((*strokes, ((rail, ranks[0].centre[1]), (rail, y), end)), (end, end), inside)


def _border(box: Box, start: Point, end: Point) -> Point:
    """Where the way from a point inside the box to one outside leaves it."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    across = ((box.x + box.w if dx > 0 else box.x) - start[0]) / dx if dx else math.inf
    along = ((box.y + box.h if dy > 0 else box.y) - start[1]) / dy if dy else math.inf
    share = max(0.0, min(across, along, 1.0))
    return start[0] + share * dx, start[1] + share * dy


def segments(line: Line) -> list[tuple[Point, Point]]:
    """All of its straight parts."""
    return [part for stroke in line.strokes for part in pairwise(stroke)]
