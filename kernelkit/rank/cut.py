"""Cut a model over the ranks, from its config and shapes alone.

Every rank has the same config, so every rank comes to the same answer without asking the others: no
rank waits in a collective for one that has refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ArgumentError
from kernelkit.rank import state
from kernelkit.rank.pad import Padding, head_counts
from kernelkit.rank.pipeline import pipeline
from kernelkit.rank.subgroups import split_group
from kernelkit.rank.tensor import cut_tensor
from kernelkit.sharding.padding import Shares

Strategy = Literal["tensor", "pipeline", "hybrid"]


@dataclass(frozen=True)
class Cut:
    """What a rank keeps of a model.

    Attributes:
        layer_range: `[start, end)` of the layers that it runs.
        shares: of the parts of a tensor-parallel model; all in one where it is not cut that way.
        padded: by path, the shapes that a tensor-parallel model was padded to before it was cut.
        padding: what was done for that.
        heads, kv_heads: of the first attention of the whole model, before; None where it has none.
        rank: which one it is.
    """

    layer_range: tuple[int, int]
    shares: Shares = field(default_factory=lambda: Shares.of(1))
    padded: dict[str, tuple[int, ...]] = field(default_factory=dict)
    padding: Padding = field(default_factory=Padding)
    rank: int = 0
    heads: int | None = None
    kv_heads: int | None = None

    @property
    def share(self) -> int:
        """How many parts are this rank's."""
        return self.shares.by_rank[self.rank] if len(self.shares.by_rank) > 1 else 1


def cut(
    model: Module,
    config: dict[str, Any],
    strategy: Strategy,
    group: mx.distributed.Group,
    split: Sequence[int] | None,
    rebuild: Callable[[], Module],
    stages: int = 2,
) -> Cut:
    """Keep this rank's part of a lazily loaded model: nothing is read, no collective runs.

    Args:
        model: as mlx-lm loads it, unsharded and not evaluated; changed in place.
        config: its `config.json`.
        strategy: "tensor" cuts every layer, padding where heads, experts or MLPs do not divide; "pipeline"
            gives each rank whole layers, rank 0 the last ones; "hybrid" deals the layers out to stages of
            ranks that cut them among themselves.
        group: the global group; with a size of 1 the model stays whole.
        split: rank by rank, shares of every layer (tensor) or numbers of layers (pipeline); None cuts evenly.
        rebuild: gives another model like `model`, for ranks whose share is more than one part.
        stages: of a hybrid, whose `split` is layers per stage.

    Raises:
        ModelShardError: it cannot be done; every rank raises alike.
        ArgumentError: another strategy, or a split that does not fit.
    """
    if strategy not in ("tensor", "pipeline", "hybrid"):
        raise ArgumentError(f"no such strategy: {strategy!r}", expected="tensor, pipeline or hybrid")
    heads, kv_heads = head_counts(model)  # while all of it is there
    made = _cut(model, config, strategy, group, split, rebuild, stages)
    return replace(made, heads=heads, kv_heads=kv_heads)


def _cut(
    model: Module,
    config: dict[str, Any],
    strategy: Strategy,
    group: mx.distributed.Group,
    split: Sequence[int] | None,
    rebuild: Callable[[], Module],
    stages: int,
) -> Cut:
    layers = (0, len(model.layers))
    if group.size() == 1:
        Shares.of(1, split)
        return Cut(layers)
    if strategy == "pipeline":
        return Cut(pipeline(model, config, split, group))
    if strategy == "hybrid":
        stage, over_stages = split_group(group, stages, state.backend)
        shares = Shares.of(stage.size())
        # First the layers of all stages: mlx-lm's own `shard` goes over each of them.
        padded, done = cut_tensor(model, config, stage, shares, rebuild)
        layer_range = pipeline(model, config, split, over_stages, of_all=False)
        return Cut(layer_range, shares, padded, done, stage.rank())
    shares = Shares.of(group.size(), split)
    return Cut(layers, shares, *cut_tensor(model, config, group, shares, rebuild), group.rank())
