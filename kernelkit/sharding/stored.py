"""How modules are stored as arrays, float or quantized, as MLX does it: names, shapes, dtypes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from kernelkit.sharding.anatomy import Matrix
from kernelkit.sharding.pieces import COLUMN, REPLICATED, ROW
from kernelkit.sharding.quantization import FLOAT_BYTES, Packing

ITEM_BYTES = {**FLOAT_BYTES, "uint32": 4, "uint8": 1}
_WORD_BITS = 32


@dataclass(frozen=True)
class Array:
    """One stored array.

    Attributes:
        path: its name in the model, or below the layer.
        shape: of all of it.
        padded: its shape once padded, from which it is cut.
        dtype: MLX's name.
        cut, axis: as in `Parameter`, for a tensor-parallel model.
        packing: of its module.
    """

    path: str
    shape: tuple[int, ...]
    padded: tuple[int, ...]
    dtype: str
    cut: str
    axis: int | None
    packing: Packing | None

    @property
    def size_bytes(self) -> int:
        """Of all of it, without padding."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


def arrays(matrix: Matrix, packing: Packing | None, dtype: str, padded: int | None = None) -> Iterator[Array]:
    """The arrays of a module.

    Args:
        packing: as `Quantization.of` gives it.
        dtype: of what is not packed.
        padded: rows, columns or heads that lie along the axis that is cut, once they are padded.
    """
    shape, axis = matrix.shape, cut_axis(matrix)
    dtype = "float32" if matrix.float32 else dtype
    more = list(shape)
    if axis is not None and padded is not None:
        more[axis] = padded
    for name, kind, (times, per) in _stored(matrix, packing, dtype):
        # The inputs lie along the last axis, packed into words or one for each group.
        stored, stored_more = (
            (*sizes[:-1], sizes[-1] * times // per) if (times, per) != (1, 1) else tuple(sizes)
            for sizes in (shape, more)
        )
        path = f"{matrix.path}.{name}".removeprefix(".")  # some lie in the layer itself
        yield Array(path, stored, stored_more, kind, matrix.cut, axis, packing)
    if matrix.bias:
        stacked = shape[: len(shape) - (1 if matrix.inputs is None else 2 + matrix.conv)]
        dealt = matrix.cut == COLUMN
        outputs = padded if dealt and padded is not None else matrix.outputs
        yield Array(
            f"{matrix.path}.bias",
            (*stacked, matrix.outputs),
            (*stacked, outputs),
            dtype,
            COLUMN if dealt else REPLICATED,
            len(stacked) if dealt else None,
            packing,
        )


def cut_axis(matrix: Matrix) -> int | None:
    """Along which axis a tensor-parallel rank's part of it is cut; None where each rank has all of it."""
    if matrix.cut == ROW:
        return len(matrix.shape) - 1
    if matrix.cut != COLUMN:
        return None
    stacked = matrix.experts > 1 and not matrix.by_head
    return 1 if stacked else 0


def _stored(matrix: Matrix, packing: Packing | None, dtype: str) -> list[tuple[str, str, tuple[int, int]]]:
    """Name, dtype, and of how many numbers of the matrix so many numbers of the array are made."""
    if packing is None:
        return [(matrix.array, dtype, (1, 1))]
    words = ("weight", "uint32", (packing.bits, _WORD_BITS))
    groups = (1, packing.group_size)
    if not packing.affine:
        return [words, ("scales", "uint8", groups)]
    return [words, ("scales", dtype, groups), ("biases", dtype, groups)]
