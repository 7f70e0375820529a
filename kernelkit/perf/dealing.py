"""Deal a model's work out to ranks: what each has of every layer, once for all ranks with the same share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from kernelkit.perf.launches import OUTSIDE, launches
from kernelkit.perf.work import Cache, Experts, RankWork, Work
from kernelkit.sharding.anatomy import Anatomy, Layer, Matrix
from kernelkit.sharding.cutting import padded_sizes
from kernelkit.sharding.layout import Layout
from kernelkit.sharding.padding import Shares
from kernelkit.sharding.quantization import Packing, Quantization
from kernelkit.sharding.sizes import alike
from kernelkit.sharding.stored import ITEM_BYTES, Array, arrays

_WORD_BITS = 32


def rank_works(anatomy: Anatomy, how: Quantization, dealt: Layout) -> list[RankWork]:
    """What each rank of a layout has, by rank; the same object where it is the same."""
    shares = dealt.shares
    kinds = [
        (_works(layer.matrices, how.packings(f"{path}."), how.dtype, shares, layer), places)
        for layer, path, places in alike(anatomy, how)
    ]
    outside = _works(anatomy.outside, how.packings(""), how.dtype, shares, None, anatomy.tied)
    made: dict[tuple[int, int, int], RankWork] = {}
    found = []
    for rank, (start, end) in enumerate(dealt.ranges):
        share = shares.by_rank[rank] if shares else 1
        key = (share, start, end)
        if key not in made:
            counts = [
                (works[share], sum(start <= place < end for place in places)) for works, places in kinds
            ]
            layers = tuple((work, count) for work, count in counts if count)
            made[key] = RankWork(layers, outside[share])
        found.append(made[key])
    return found


def _works(
    matrices: Sequence[Matrix],
    packing: Callable[[Matrix], Packing | None],
    dtype: str,
    shares: Shares | None,
    layer: Layer | None,
    tied: bool = False,
) -> dict[int, Work]:
    """By a rank's share; that of a whole layer is 1."""
    parts = shares.parts if shares else 1
    padded = padded_sizes(matrices, packing, parts) if shares else {}
    stored = [
        (matrix, array)
        for matrix in matrices
        for array in arrays(
            matrix, packing(matrix), dtype, padded.get(f"{matrix.path}.{matrix.array}", (None, 1))[0]
        )
    ]
    return {
        share: Work(
            *_sums(stored, share, parts, tied),
            _passed(matrices, share, parts),
            _stacks(stored, share, parts, _idle_share(matrices)),
            _caches(layer, padded, shares, share),
            launches(layer) if layer else OUTSIDE,
            layer.reduces if layer and shares else 0,
            layer.small_reduces if layer and shares else 0,
        )
        for share in set(shares.by_rank if shares else (1,))
    }


def _sums(stored: Sequence[tuple[Matrix, Array]], share: int, parts: int, tied: bool) -> tuple[int, int, int]:
    """Bytes held, bytes that every step reads, and numbers that every token is multiplied with."""
    held = read = numbers = 0
    for matrix, array in stored:
        count = _count(array, share, parts)
        size_bytes = count * ITEM_BYTES[array.dtype]
        held += size_bytes
        if _is_stack(matrix) or (matrix.looked_up and not tied):
            continue
        read += size_bytes
        numbers += _numbers(matrix, array, count)
    return held, read, numbers


def _stacks(
    stored: Sequence[tuple[Matrix, Array]], share: int, parts: int, working: float
) -> tuple[Experts, ...]:
    """Of experts, `working` of whose choices do something."""
    found: dict[str, Experts] = {}
    for matrix, array in stored:
        if _is_stack(matrix):
            count = _count(array, share, parts)
            old = found.get(matrix.path, Experts(0, 0, matrix.experts, matrix.used * working))
            size_bytes = old.size_bytes + count * ITEM_BYTES[array.dtype]
            numbers = old.numbers + _numbers(matrix, array, count)
            found[matrix.path] = Experts(size_bytes, numbers, old.count, old.used)
    return tuple(found.values())


def _is_stack(matrix: Matrix) -> bool:
    return matrix.experts > 1 and not matrix.by_head


def _count(array: Array, share: int, parts: int) -> int:
    """Numbers of an array in a share of it, padding included."""
    if array.axis is None:
        return prod(array.shape)
    return prod(array.padded) // parts * share


def _numbers(matrix: Matrix, array: Array, count: int) -> int:
    """Weights of a product in them: of a packed array several in each word."""
    if matrix.inputs is None or not array.path.endswith(f".{matrix.array}"):
        return 0
    return count * _WORD_BITS // array.packing.bits if array.packing else count


def _passed(matrices: Sequence[Matrix], share: int, parts: int) -> int:
    """Numbers per token that products take and give, cut ones by their share."""
    total = 0
    for matrix in matrices:
        if matrix.inputs is None or matrix.looked_up:
            continue
        columns, rows = matrix.inputs, matrix.outputs
        if matrix.cut == "row":
            columns = columns * share // parts
        elif matrix.cut == "column":
            rows = rows * share // parts
        total += (columns + rows) * matrix.used
    return total


def _idle_share(matrices: Sequence[Matrix]) -> float:
    """Of a token's experts those that do something: a router may choose others that only pass it on."""
    stacked = [matrix.experts for matrix in matrices if matrix.experts > 1 and not matrix.by_head]
    choices = [matrix.outputs for matrix in matrices if "router" in matrix.path and matrix.inputs is not None]
    return min(1.0, stacked[0] / choices[0]) if stacked and choices else 1.0


def _caches(
    layer: Layer | None, padded: Mapping[str, tuple[int, int]], shares: Shares | None, share: int
) -> tuple[Cache, ...]:
    if layer is None:
        return ()
    if shares is None:
        return tuple(Cache(attention, 1.0, 1.0) for attention in layer.attentions)
    mine = share / shares.parts
    keys = next((m for m in layer.matrices if m.deals == "kv_heads" and m.inputs is not None), None)
    found = []
    for attention in layer.attentions:
        kept = mine
        if attention.shared:
            kept = 1.0
        elif keys is not None and attention.kv_heads:
            rows, _ = padded[f"{keys.path}.{keys.array}"]
            kept = rows / keys.unit / attention.kv_heads * mine
        found.append(Cache(attention, kept, 1.0 if attention.shared and not attention.unfolded else mine))
    return tuple(found)
