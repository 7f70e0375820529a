"""Names of hosts that must fit a space: of names that are alike, the parts in which they differ stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

Fits = Callable[[str], bool]


def names_within(names: Sequence[str], room_points: float, size: float) -> list[str]:
    """The names in letters of `size` points, none wider than the room where that can be."""
    return short_names(names, lambda text: width_points(text, size) <= room_points)


def width_points(text: str, size: float) -> float:
    """How wide matplotlib's own font draws a text in letters of `size` points."""
    font = FontProperties(size=size)
    wide, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(wide)


def short_names(names: Sequence[str], fits: Fits) -> list[str]:
    """The names as they are if all fit; else without what all end in, then without what all begin with."""
    distinct = list(dict.fromkeys(names))
    if all(map(fits, distinct)):
        return list(names)
    ending = _ending(distinct)
    stems = [name[: len(name) - ending] for name in distinct]
    start = _start(stems) if len(stems) > 1 else 0
    short = [_cut(stem, start, fits) for stem in stems]
    found = dict(zip(distinct, short, strict=True))
    for text in dict.fromkeys(short):
        same = [name for name in distinct if found[name] == text]
        if 1 < len(same) < len(distinct):  # those that still look alike differ elsewhere
            found.update(zip(same, short_names(same, fits), strict=True))
    return [found[name] for name in names]


def _ending(names: Sequence[str]) -> int:
    """Letters of the domain that several names share, such as `.local`; of addresses no part is one."""
    if len(names) < 2:
        return 0
    ending = _alike([name[::-1] for name in names])[::-1]
    _, dot, rest = ending.partition(".")
    last = rest.rpartition(".")[2]
    return (
        len(dot + rest) if dot and not last.isdigit() and all(len(n) > len(dot + rest) for n in names) else 0
    )


def _start(names: Sequence[str]) -> int:
    """Letters that all begin with, a number in which they differ left whole."""
    return len(_alike(names).rstrip("0123456789"))


def _alike(names: Sequence[str]) -> str:
    """What all begin with."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    return "".join(column[0] for column in columns)


def _cut(name: str, start: int, fits: Fits) -> str:
    """As much of the common start as there is room for, and the rest; the middle of that goes last."""
    if fits(name):
        return name
    rest = name[start:]
    for kept in range(start - 1, -1, -1):
        if fits(text := f"{name[:kept]}…{rest}"):
            return text
    for letters in range(len(rest) - 1, 1, -1):
        tail = letters // 2
        if fits(text := f"{rest[: letters - tail]}…{rest[len(rest) - tail :]}"):
            return text
    return f"{rest[:1]}…{rest[-1:]}"
