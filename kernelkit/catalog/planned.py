"""The shard map of a model that is known by a name, as `kk.planned_shards` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelkit.catalog.find import find_model
from kernelkit.sharding import shape
from kernelkit.sharding.layout import Strategy
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.sharding.sizes import How


def planned_shards(
    config: Mapping[str, Any] | str | Path,
    world_size: int,
    strategy: Strategy = "tensor",
    model: str = "",
    split: Sequence[int] | None = None,
    dtype: str | None = None,
    quantization: How = None,
    stages: int = 2,
) -> ShardMap:
    """What each rank would hold of a model, without its weights or a cluster.

    Args:
        config: what the model's `config.json` holds, the path to it or to the model's folder, a name of the
            catalog, or a hub id.
        world_size: number of ranks.
        strategy: `tensor` cuts every layer, `pipeline` gives each rank whole layers, rank 0 the last ones;
            `hybrid` gives them to stages of ranks, which cut them among themselves.
        model: what it is called; by default as its folder, or as its config says.
        split: rank by rank, layers of a pipeline, or shares of every layer; of a hybrid, layers per stage;
            evenly by default.
        dtype: of the floats in memory; bfloat16 by default.
        quantization: in memory, as `kk.plan` takes it: `4bit`, or `{"bits": 4, "group_size": 64}`. What
            `config` says of it is not looked at: a CPU dequantizes.
        stages: of a hybrid.

    Raises:
        ModelNotFoundError: nothing has that name, or the hub cannot be reached.
        ModelShardError: the architecture is not known here, or cannot be cut that way.
        ArgumentError: another strategy, dtype or quantization; or the config cannot be read or lacks a size.
    """
    found, name = find_model(config)
    return shape.planned_shards(
        found, world_size, strategy, model or name, split, dtype, quantization, stages
    )
