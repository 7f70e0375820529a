"""Several arrays in one message: MLX does not say in which order it runs receives that depend on nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod

import mlx.core as mx

# Shape and dtype, known on both sides.
Kind = tuple[tuple[int, ...], mx.Dtype]


def send(arrays: Sequence[mx.array], target: int, group: mx.distributed.Group) -> mx.array:
    """Send them, lazily: whoever evaluates the result sends."""
    if len(arrays) == 1:
        return mx.distributed.send(arrays[0], target, group=group)
    parcel = mx.concatenate([array.reshape(-1).view(mx.uint8) for array in arrays])
    return mx.distributed.send(parcel, target, group=group)


def receive(kinds: Sequence[Kind], source: int, group: mx.distributed.Group) -> list[mx.array]:
    """Receive, as lazily, what `source` sends by `send`."""
    if len(kinds) == 1:
        shape, dtype = kinds[0]
        return [mx.distributed.recv(shape, dtype, source, group=group)]
    ends = list(accumulate((prod(shape) * dtype.size for shape, dtype in kinds), initial=0))
    parcel = mx.distributed.recv((ends[-1],), mx.uint8, source, group=group)
    return [
        parcel[start:end].view(dtype).reshape(shape)
        for (shape, dtype), (start, end) in zip(kinds, pairwise(ends), strict=True)
    ]
