"""Which rank holds what part of every parameter: plain data, stored as JSON, that shows itself as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernelkit.jsonfile import Stored
from kernelkit.sharding import shardwords
from kernelkit.sharding.heads import Share, share
from kernelkit.sharding.pieces import Parameter as Parameter
from kernelkit.sharding.pieces import Piece as Piece


@dataclass(frozen=True)
class ShardMap(Stored):
    """A model over its ranks.

    Attributes:
        model: what it is called.
        model_type: its architecture.
        strategy: `tensor`, `pipeline` or `hybrid`.
        world_size: number of ranks.
        layers: of the whole model.
        heads, kv_heads: of one layer, without padding; None where the architecture deals out no such thing.
        head_dim: values per head.
        layer_ranges: per rank `[start, end)` of the layers that it runs.
        parameters: in the order of a forward pass.
        planned: whether it was reckoned from a config; else it is what the ranks hold.
    """

    _key = "kernelkit_shards"
    _name = "shard map"
    _indent = None

    model: str
    model_type: str
    strategy: str
    world_size: int
    layers: int
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    layer_ranges: tuple[tuple[int, int], ...]
    parameters: tuple[Parameter, ...]
    planned: bool = False

    def held_by(self, rank: int) -> Iterator[tuple[Parameter, Piece]]:
        """Every parameter that a rank has a part of, with that part."""
        for parameter in self.parameters:
            if (piece := parameter.piece(rank)) is not None:
                yield parameter, piece

    def size_bytes(self, rank: int) -> int:
        """Bytes of all that a rank holds, padding and what is repeated included."""
        return sum(piece.size_bytes for _, piece in self.held_by(rank))

    def padding_bytes(self, rank: int) -> int:
        """Bytes of it that are padding."""
        return sum(piece.part_bytes(piece.padding, p.axis) for p, piece in self.held_by(rank))

    def repeated_bytes(self, rank: int) -> int:
        """Bytes of it that this rank or one before holds already: KV heads that several parts need."""
        return sum(piece.part_bytes(piece.repeated, p.axis) for p, piece in self.held_by(rank))

    def heads_of(self, rank: int) -> Share | None:
        """The heads `[start, end)` of its layers, and how many beside them are of zeros or repeated.

        Read from the rows of the query projection; None where the architecture has none.
        """
        return share(self.parameters, rank, self.heads, ("q_proj", "q_b_proj"))

    def kv_heads_of(self, rank: int) -> Share | None:
        """The same of the KV heads, from the key projection."""
        return share(self.parameters, rank, self.kv_heads, ("k_proj",))

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        if self.world_size < 1 or len(self.layer_ranges) != self.world_size:
            raise ValueError(f"{len(self.layer_ranges)} ranges of layers for {self.world_size} ranks")
        if any(not 0 <= start <= end <= self.layers for start, end in self.layer_ranges):
            raise ValueError(f"ranges of layers {self.layer_ranges} of {self.layers} layers")
        if not self.parameters:
            raise ValueError("it has no parameters")
        if len({parameter.path for parameter in self.parameters}) < len(self.parameters):
            raise ValueError("a parameter is listed twice")
        for parameter in self.parameters:
            parameter.check(self.world_size, self.layers, staged=self.strategy == "hybrid")

    def __repr__(self) -> str:
        return shardwords.as_text(self)
