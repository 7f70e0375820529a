"""Deal layers out to the ranks of a pipeline, as mlx-lm does: rank 0 runs the last ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kernelkit.errors import ArgumentError, ModelShardError

Ranges = tuple[tuple[int, int], ...]


def check_split(split: Any) -> None:
    """Refuse what is no list; what is in it depends on what is split.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(split, list | tuple):
        expected = "whole numbers, one for each rank, such as (2, 1)"
        raise ArgumentError("this is no split", expected=expected, got=repr(split))


def layer_ranges(layers: int, ranks: int, split: Sequence[int] | None = None) -> Ranges:
    """Per rank `[start, end)`: `(5, 2) -> ((2, 5), (0, 2))`.

    Args:
        split: layers per rank, rank 0's first; evenly by default, where low ranks get one more.

    Raises:
        ModelShardError: a rank would get no layer, or the split does not add up.
        ArgumentError: these are no whole numbers.
    """
    if split is None:
        base, extra = divmod(layers, ranks)
        split = [base + (rank < extra) for rank in range(ranks)]
    if not isinstance(split, list | tuple) or any(type(count) is not int for count in split):
        raise ArgumentError(
            "this is no split",
            expected=f"{ranks} whole numbers of layers, such as "
            f"{', '.join(str(layers // ranks) for _ in range(ranks))}",
            got=repr(split),
        )
    if len(split) != ranks or sum(split) != layers or any(count < 1 for count in split):
        raise ModelShardError(
            f"{layers} layers cannot be spread over {ranks} ranks",
            expected=f"{ranks} numbers above 0 that make {layers}",
            got=", ".join(map(str, split)),
            cure="another split, or fewer ranks",
        )
    starts = [sum(split[rank + 1 :]) for rank in range(ranks)]
    return tuple((start, start + count) for start, count in zip(starts, split, strict=True))


def split_by_memory(layers: int, outside_bytes: int, free_bytes: Sequence[int]) -> list[int]:
    """Layers per rank, rank 0's first, in proportion to what each rank's memory can hold of them.

    Ranks whose memory differs by less than a tenth get the same number, as far as it goes: what is free
    changes from minute to minute, and the split should not. Every rank gets one layer at least.

    Args:
        layers: of the model; they are taken to be of one size.
        outside_bytes: of what every rank holds beside its layers.
        free_bytes: by rank.

    Raises:
        ModelShardError: there are more ranks than layers.
    """
    ranks = len(free_bytes)
    room = [max(1, free - outside_bytes) for free in free_bytes]
    if layers < ranks or min(room) * 1.1 > max(room):
        return [end - start for start, end in layer_ranges(layers, ranks)]
    split = [1] * ranks
    for _ in range(layers - ranks):  # each to the rank that then is filled least
        split[min(range(ranks), key=lambda rank: ((split[rank] + 1) / room[rank], rank))] += 1
    return split


def split_at(
    cuts: Collection[int], layers: int, ranks: int, wish: Sequence[int] | None = None
) -> list[int] | None:
    """The split nearest to a wish whose ranks begin at given layers: `([1, 4], 5, 2) -> [4, 1]`.

    Args:
        cuts: the layers above 0 that may be the first of a rank.
        layers: of the model.
        ranks: so many.
        wish: layers per rank, rank 0's first; evenly by default.

    Returns:
        Layers per rank, rank 0's first; None where there are too few cuts.
    """
    wish = wish or [layers // ranks + (rank < layers % ranks) for rank in range(ranks)]
    # By the layer that the next rank begins with: how far the shares are from the wish, and the shares.
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for rank in reversed(range(ranks)):
        step: dict[int, tuple[int, list[int]]] = {}
        for end in [layers] if rank == 0 else sorted(cuts):
            found = [
                (cost + (end - start - wish[rank]) ** 2, [end - start, *split])
                for start, (cost, split) in best.items()
                if start < end
            ]
            if found:
                step[end] = min(found)
        best = step
    return best[layers][1] if layers in best else None
