"""What would fit beside the weights of a plan, on given devices: no weights, no cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.layout import Layout
from kernelkit.sharding.memory import GPU, DeviceLimit, MemoryMap, RankMemory
from kernelkit.sharding.padding import Shares
from kernelkit.sharding.pieces import ROW
from kernelkit.sharding.quantization import FLOAT_BYTES, Packing, Quantization
from kernelkit.sharding.ranksizes import rank_sizes
from kernelkit.sharding.shardmap import ShardMap


def planned_memory(
    shards: ShardMap,
    config: Mapping[str, Any] | str | Path,
    limits: Sequence[DeviceLimit],
    kv_bits: int | None = None,
) -> MemoryMap:
    """What would fit beside the weights.

    Args:
        shards: as `planned_shards` gives it, of this `config`.
        limits: of each rank's device, by rank.
        kv_bits: of quantized keys and values.

    Raises:
        ArgumentError: not one limit per rank.
        ModelShardError: the architecture is not known here.
    """
    if len(limits) != shards.world_size:
        raise ArgumentError(
            "every rank needs a limit", expected=f"{shards.world_size} limits", got=str(len(limits))
        )
    model = anatomy(config)
    sizes = rank_sizes(model, _layout(shards), _quantization(shards), kv_bits)
    ranks = tuple(
        RankMemory(
            rank,
            device.host,
            shards.size_bytes(rank),
            held.cache.per_token,
            device.used_bytes,
            device.limit_bytes,
            device.limit,
            1 if device.limit == GPU else sum(other.host == device.host for other in limits),
            held.cache.windows,
            held.cache.state_bytes,
        )
        for rank, (device, held) in enumerate(zip(limits, sizes, strict=True))
    )
    return MemoryMap(shards.model, ranks, model.max_context)


def _layout(shards: ShardMap) -> Layout:
    """How a map's layers were dealt out: ranks with the same ones share them, unless each has its own."""
    stages: dict[tuple[int, int], list[int]] = {}
    for rank, layers in enumerate(shards.layer_ranges):
        stages.setdefault(layers, []).append(rank)
    found = tuple(map(tuple, stages.values()))
    shares = None
    if len(found[0]) > 1:
        row = next(parameter for parameter in shards.parameters if parameter.cut == ROW)
        sizes = [piece.shape[row.axis or 0] for piece in row.pieces]
        shares = Shares(tuple(size // gcd(*sizes) for size in sizes))
    return Layout(shards.layer_ranges, found, shares)


def _quantization(shards: ShardMap) -> Quantization:
    """Which modules are packed in groups, which decides how they are padded; and the dtype of the rest.

    A model computes in one dtype, that of nearly all its floats.
    """
    special = {
        parameter.path.rpartition(".")[0]: Packing(parameter.bits, parameter.group_size)
        for parameter in shards.parameters
        if parameter.bits is not None and parameter.group_size is not None
    }
    dtypes = Counter(p.dtype for p in shards.parameters if p.dtype in FLOAT_BYTES)
    return Quantization(special=special, dtype=dtypes.most_common(1)[0][0] if dtypes else "bfloat16")
