"""Which box of an array's input a box of the array comes from, for operations that move numbers about.

A box has a start and an end along each axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import mlx.core as mx

from kernelkit.rank.stored import Box

Shape = tuple[int, ...]


def full(shape: Sequence[int]) -> Box:
    """All of an array."""
    return tuple((0, size) for size in shape)


def widths(box: Box) -> Shape:
    """The shape of what is in it."""
    return tuple(end - start for start, end in box)


def shifted(box: Box, by: Sequence[int]) -> Box:
    """The box as seen from elsewhere."""
    return tuple((start + more, end + more) for (start, end), more in zip(box, by, strict=True))


def take(array: mx.array, box: Box) -> mx.array:
    """What is in the box."""
    if box == full(array.shape):
        return array
    return array[tuple(slice(*side) for side in box)]


def before_reshape(before: Shape, after: Shape, box: Box) -> Box:
    """The least box of the `before` shape that has all of `box`, which is one of the `after` shape."""
    found: list[tuple[int, int]] = []
    for old, new in _groups(before, after):
        _, start, end = _run(after[new], box[new])
        found += _cover(before[old], start, end)
    return tuple(found)


def reshaped(array: mx.array, before: Shape, after: Shape, box: Box) -> mx.array:
    """What is in `box` of an array of the shape `after`.

    Args:
        array: what is in `before_reshape` of it.
    """
    inner = before_reshape(before, after, box)
    flat: list[int] = []
    cut: list[tuple[int, int]] = []
    shape: list[int] = []
    rest: list[tuple[int, int]] = []
    for old, new in _groups(before, after):
        ranged, start, end = _run(after[new], box[new])
        _, first, last = _run(before[old], inner[old])
        flat.append(last - first)
        cut.append((start - first, end - first))
        side, sizes = box[new], after[new]
        shape += [*widths(side[: ranged + 1]), *sizes[ranged + 1 :]]
        rest += [*((0, width) for width in widths(side[: ranged + 1])), *side[ranged + 1 :]]
    return take(take(array.reshape(flat), tuple(cut)).reshape(shape), tuple(rest))


def _groups(before: Shape, after: Shape) -> Iterator[tuple[slice, slice]]:
    """Neighbouring axes of both shapes that have the same number of elements, as few as may be together."""
    old = new = 0
    while old < len(before) or new < len(after):
        old_end, new_end = min(old + 1, len(before)), min(new + 1, len(after))
        while (left := prod(before[old:old_end])) != (right := prod(after[new:new_end])):
            if left < right:
                old_end += 1
            else:
                new_end += 1
        # What is left are axes of length 1.
        if prod(before[old_end:]) == 1 and prod(after[new_end:]) == 1:
            old_end, new_end = len(before), len(after)
        yield slice(old, old_end), slice(new, new_end)
        old, new = old_end, new_end


def _run(shape: Shape, box: Box) -> tuple[int, int, int]:
    """The first axis along which the box has more than one, and the start and end of all that lies between.

    They count elements, as if the axes were one.
    """
    ranged = next((axis for axis, width in enumerate(widths(box)) if width != 1), len(shape) - 1)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    start = sum(box[axis][0] * strides[axis] for axis in range(ranged + 1))
    length = (box[ranged][1] - box[ranged][0]) * strides[ranged] if shape else 1
    return ranged, start, start + length


def _cover(shape: Shape, start: int, end: int) -> list[tuple[int, int]]:
    """The least box, one run of elements, that has those from `start` to `end`."""
    found: list[tuple[int, int]] = []
    for axis in range(len(shape)):
        stride = prod(shape[axis + 1 :])
        first, last = start // stride, (end - 1) // stride
        found.append((first, last + 1))
        if first != last:
            return [*found, *full(shape[axis + 1 :])]
        start, end = start - first * stride, end - first * stride
    return found
