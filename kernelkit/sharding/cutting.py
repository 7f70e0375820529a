"""What each rank of a group holds of some modules: padded until they divide, then cut as mlx-lm cuts them.

The zeros are those of `rank/pad.py`: attention heads to a number that divides, KV heads repeated where that
takes less, MLPs and experts each by their own size, in whole groups of their quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from kernelkit.sharding.anatomy import Matrix
from kernelkit.sharding.padding import ONCE, Repeat, Shares, padded_mlp, plan_heads
from kernelkit.sharding.pieces import COLUMN, ROW
from kernelkit.sharding.quantization import Packing
from kernelkit.sharding.stored import ITEM_BYTES, Array, arrays

Packings = Callable[[Matrix], Packing | None]


@dataclass(frozen=True)
class Part:
    """What one rank of the group holds of an array."""

    shape: tuple[int, ...]
    size_bytes: int
    padding: int = 0
    repeated: int = 0


def cut(
    matrices: Sequence[Matrix], packing: Packings, dtype: str, shares: Shares | None
) -> Iterator[tuple[Array, list[Part]]]:
    """Every array of some modules, with its parts by the ranks of a group.

    Args:
        matrices: of one layer, or of all that is outside the layers.
        packing: of each.
        dtype: of what is not packed.
        shares: over the ranks of the group; None leaves all of it to one.
    """
    padded = padded_sizes(matrices, packing, shares.parts) if shares else {}
    for matrix in matrices:
        size, copies = padded.get(f"{matrix.path}.{matrix.array}", (None, 1))
        repeat = Repeat(_length(matrix) // matrix.unit, copies)
        for array in arrays(matrix, packing(matrix), dtype, size):
            yield array, list(_parts(array, shares, repeat))
        if size is not None and size > matrix.outputs and matrix.path.endswith("lm_head"):
            # By which no sampling takes the tokens that are none (`rank/pad_delta.py`).
            bias = Array(f"{matrix.path}.bias", (size,), (size,), dtype, COLUMN, 0, packing(matrix))
            yield bias, list(_parts(bias, shares, ONCE))


def padded_sizes(matrices: Iterable[Matrix], packing: Packings, parts: int) -> dict[str, tuple[int, int]]:
    """By the path of an array that is cut: its length along that axis once padded; copies of each KV head.

    Raises:
        ModelShardError: the heads cannot be padded.
    """
    families: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        if matrix.cut in (COLUMN, ROW):
            families.setdefault(_family(matrix), []).append(matrix)
    found: dict[str, tuple[int, int]] = {}
    for members in families.values():
        found |= _pad_family(members, packing, parts)
    return found


def _family(matrix: Matrix) -> str:
    """Modules that are padded together: those of one attention, or of one MLP."""
    return matrix.path.rpartition(".")[0] if matrix.array == "weight" else matrix.path


def _pad_family(members: list[Matrix], packing: Packings, parts: int) -> dict[str, tuple[int, int]]:
    row = next((matrix for matrix in members if matrix.cut == ROW), None)
    packed = packing(row) if row else None
    group_size = packed.group_size if packed else 1
    if row is None or row.deals == "units":
        return {_key(m): (padded_mlp(_length(m), parts, group_size), 1) for m in members}
    heads = _length(row) // row.unit
    kv = next((_length(m) // m.unit for m in members if m.deals == "kv_heads"), heads)
    plan = plan_heads(heads, kv, parts, row.unit, group_size)
    return {
        _key(m): (plan.kv_heads * m.unit, plan.copies) if m.deals == "kv_heads" else (plan.heads * m.unit, 1)
        for m in members
    }


def _key(matrix: Matrix) -> str:
    return f"{matrix.path}.{matrix.array}"


def _length(matrix: Matrix) -> int:
    """Of the axis that is cut."""
    if matrix.cut == ROW:
        return matrix.inputs or 1
    return matrix.experts if matrix.by_head else matrix.outputs


def _parts(array: Array, shares: Shares | None, repeat: Repeat) -> Iterator[Part]:
    if shares is None:
        yield Part(array.shape, array.size_bytes)
        return
    axis, item_bytes = array.axis, ITEM_BYTES[array.dtype]
    if axis is None:
        yield from (Part(array.shape, array.size_bytes) for _ in shares.by_rank)
        return
    full, real = array.padded[axis], array.shape[axis] * repeat.times
    for rank, size in enumerate(shares.cut(full)):
        shape = (*array.padded[:axis], size, *array.padded[axis + 1 :])
        added = shares.padding(rank, full, real), shares.repeated(rank, full, real, repeat)
        yield Part(shape, prod(shape) * item_bytes, *added)
