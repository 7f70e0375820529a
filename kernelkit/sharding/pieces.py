"""One parameter of a model, and the piece of it that each rank holds: plain data."""

from __future__ import annotations

from dataclasses import dataclass

COLUMN, ROW, REPLICATED, WHOLE = CUTS = ("column", "row", "replicated", "whole")


@dataclass(frozen=True)
class Piece:
    """What one rank holds of a parameter.

    Attributes:
        rank: the rank.
        shape: of the array that is stored there.
        size_bytes: its size.
        padding: so many rows or columns, at the end of the axis that is cut, are zeros put there to divide.
        repeated: so many others of that axis stand on this rank or on one before already: KV heads, of which
            there are fewer than the model is cut into parts.
    """

    rank: int
    shape: tuple[int, ...]
    size_bytes: int
    padding: int = 0
    repeated: int = 0

    def part_bytes(self, size: int, axis: int | None) -> int:
        """The bytes of `size` of its rows or columns along the axis that is cut."""
        return self.size_bytes * size // self.shape[axis] if size and axis is not None else 0


@dataclass(frozen=True)
class Parameter:
    """One array of the model.

    Attributes:
        path: its name in the model, such as `model.layers.0.self_attn.q_proj.weight`.
        layer: counted over the whole model; None outside the layers.
        module: what it belongs to, below the layer: `self_attn.q_proj`, `embed_tokens`.
        shape: of the full array as it is stored, before padding and cut; quantized weights are packed words.
        dtype: MLX's name of it.
        cut: `column` (the outputs are dealt out), `row` (the inputs are), `replicated` (each rank has all of
            it) or `whole` (one rank has all of it).
        axis: the one of `shape` that is cut; None where none is.
        pieces: by rank.
        collective: what follows the product with it, `all_sum` or `all_gather`; empty where nothing does,
            and of a shared expert, which the all_sum after the other experts adds up as well.
        bits, group_size: of the quantized module that it belongs to.
    """

    path: str
    layer: int | None
    module: str
    shape: tuple[int, ...]
    dtype: str
    cut: str
    axis: int | None
    pieces: tuple[Piece, ...]
    collective: str = ""
    bits: int | None = None
    group_size: int | None = None

    def piece(self, rank: int) -> Piece | None:
        """What `rank` holds of it; None where it holds nothing."""
        return next((piece for piece in self.pieces if piece.rank == rank), None)

    def check(self, world_size: int, layers: int, *, staged: bool = False) -> None:
        """See that it describes something that can be.

        Args:
            staged: a layer may lie on some of the ranks, as in a hybrid.

        Raises:
            ValueError: it does not; it says why.
        """
        if self.cut not in CUTS:
            raise ValueError(f"{self.path}: no such cut: {self.cut}")
        if self.layer is not None and not 0 <= self.layer < layers:
            raise ValueError(f"{self.path}: layer {self.layer} of {layers}")
        if (self.axis is not None) != (self.cut in (COLUMN, ROW)):
            raise ValueError(f"{self.path}: {self.cut}, and axis {self.axis}")
        if self.axis is not None and not 0 <= self.axis < len(self.shape):
            raise ValueError(f"{self.path}: axis {self.axis} of {len(self.shape)}")
        packing = (self.bits, self.group_size)
        if packing != (None, None) and not all(size is not None and size > 0 for size in packing):
            raise ValueError(f"{self.path}: {self.bits} bits, groups of {self.group_size}")
        ranks = [piece.rank for piece in self.pieces]
        everyone = list(range(world_size))
        some = bool(ranks) and ranks == sorted(set(ranks) & set(everyone))
        if ranks != everyone and not (some and (staged or (self.cut == WHOLE and len(ranks) == 1))):
            raise ValueError(f"{self.path}: {self.cut}, and pieces on ranks {ranks}")
        for piece in self.pieces:
            self._check_piece(piece)
        if self.axis is not None:
            real = sum(piece.shape[self.axis] - piece.padding - piece.repeated for piece in self.pieces)
            if real != self.shape[self.axis]:
                raise ValueError(f"{self.path}: the pieces make {real} of {self.shape[self.axis]}")

    def _check_piece(self, piece: Piece) -> None:
        name = f"{self.path}, rank {piece.rank}"
        if len(piece.shape) != len(self.shape) or min((*piece.shape, *self.shape, piece.size_bytes)) < 1:
            raise ValueError(f"{name}: a piece {list(piece.shape)} of {list(self.shape)}")
        differs = [axis for axis, (a, b) in enumerate(zip(piece.shape, self.shape, strict=True)) if a != b]
        if differs not in ([], [self.axis]):
            raise ValueError(
                f"{name}: a piece {list(piece.shape)} of {list(self.shape)} along axis {self.axis}"
            )
        held = 0 if self.axis is None else piece.shape[self.axis]
        if min(piece.padding, piece.repeated) < 0 or piece.padding + piece.repeated > held:
            added = f"padding {piece.padding} and {piece.repeated} repeated"
            raise ValueError(f"{name}: {added} of {list(piece.shape)}")
