"""Which ranks hold which layers, and how many share one: tensor parallel, pipeline, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.anatomy import Anatomy
from kernelkit.sharding.padding import Shares
from kernelkit.sharding.split import Ranges, layer_ranges

Strategy = Literal["tensor", "pipeline", "hybrid"]


@dataclass(frozen=True)
class Layout:
    """A model's layers over the ranks.

    Attributes:
        ranges: per rank `[start, end)` of the layers that it runs.
        stages: the ranks of each stage; a stage of one is a pipeline's rank.
        shares: of each layer, over the ranks of a stage; None where layers are whole.
    """

    ranges: Ranges
    stages: tuple[tuple[int, ...], ...]
    shares: Shares | None

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return len(self.ranges)

    def holders(self, layer: int) -> tuple[int, ...]:
        """The ranks that hold a part of a layer."""
        return next(stage for stage in self.stages if layer in range(*self.ranges[stage[0]]))


def layout(
    anatomy: Anatomy,
    world_size: int,
    strategy: Strategy = "tensor",
    split: Sequence[int] | None = None,
    stages: int = 2,
) -> Layout:
    """Deal the layers out, as `%model load` does.

    Args:
        split: rank by rank, layers of a pipeline, or shares of every layer; of a hybrid, layers per stage.
        stages: of a hybrid.

    Raises:
        ArgumentError: no such number of ranks, strategy, split or number of stages.
        ModelShardError: the architecture cannot be cut, or a rank would get no layer.
    """
    if type(world_size) is not int or world_size < 1:
        raise ArgumentError(
            "no such number of ranks", expected="a whole number above 0", got=repr(world_size)
        )
    if strategy not in ("tensor", "pipeline", "hybrid"):
        raise ArgumentError(f"no such strategy: {strategy!r}", expected="tensor, pipeline or hybrid")
    everyone, layers = tuple(range(world_size)), len(anatomy.layers)
    if strategy == "pipeline":
        each = tuple((rank,) for rank in everyone)
        return Layout(layer_ranges(layers, world_size, split), each, None)
    if strategy == "tensor":
        shares = Shares.of(world_size, split)
        _check_cuttable(anatomy, shares, world_size)
        whole = ((0, layers),) * world_size
        return Layout(whole, (everyone,), shares if world_size > 1 else None)
    width = _width(world_size, stages)
    shares = Shares.of(width)
    _check_cuttable(anatomy, shares, width)
    by_stage = layer_ranges(layers, stages, split)
    groups = tuple(everyone[at * width : (at + 1) * width] for at in range(stages))
    return Layout(tuple(by_stage[rank // width] for rank in everyone), groups, shares)


def _width(world_size: int, stages: int) -> int:
    if type(stages) is not int or not 1 < stages < world_size or world_size % stages:
        raise ArgumentError(
            "the stages do not fit the ranks",
            expected=f"a number of stages above 1 and below {world_size} that divides it",
            got=f"{stages!r} stages for {world_size} ranks",
            cure="the strategy tensor or pipeline"
            + (", or another number of stages" if world_size > 3 else "; a hybrid needs 4 ranks or more"),
        )
    return world_size // stages


def _check_cuttable(anatomy: Anatomy, shares: Shares, ranks: int) -> None:
    if ranks > 1 and anatomy.cuts == "none":
        raise ModelShardError(
            f"mlx-lm cannot cut the layers of {anatomy.model_type}",
            expected="an architecture with tensor parallelism, such as llama, qwen3 or deepseek_v3",
            got=anatomy.model_type,
            cure="the strategy pipeline",
        )
    if anatomy.cuts == "even" and not shares.even:
        raise ModelShardError(
            f"{anatomy.model_type} cannot be cut into uneven shares: matrices that lie fused in one would "
            "lose their order",
            expected="one share for each rank, alike",
            got=", ".join(map(str, shares.by_rank)),
            cure="no split, or the strategy pipeline",
        )
