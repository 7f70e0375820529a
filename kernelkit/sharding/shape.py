"""The shard map that kernelkit would make, reckoned from a model's `config.json`: no weights, no cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy as anatomy_of
from kernelkit.sharding.anatomy import Anatomy
from kernelkit.sharding.config import attention_sizes, read_config
from kernelkit.sharding.cutting import Part, cut
from kernelkit.sharding.layout import Layout, Strategy, layout
from kernelkit.sharding.paths import layer_and_module, order, summed_with_experts
from kernelkit.sharding.pieces import COLUMN, REPLICATED, ROW, WHOLE, Parameter, Piece
from kernelkit.sharding.quantization import FLOAT_BYTES, Quantization, parse_quantization
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.sharding.sizes import How, alike
from kernelkit.sharding.stored import Array


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
    """What each rank would hold of a model.

    Args:
        config: what the model's `config.json` holds, or the path to it or to the model's folder.
        world_size, strategy, model, split, dtype, stages: as `catalog.planned.planned_shards` takes them,
            which knows names too.
        quantization: with entries by module path for those that differ (a mapping, or False).

    Raises:
        ModelShardError: the architecture is not known here, or cannot be cut that way.
        ArgumentError: another strategy, dtype or quantization; or the config cannot be read or lacks a size.
    """
    config, name = read_config(config)
    if not isinstance(model, str):
        raise ArgumentError("model is what the map is called", expected="a text", got=repr(model))
    anatomy, how = anatomy_of(config), parse_quantization(quantization)
    if dtype is not None:
        if not isinstance(dtype, str) or dtype not in FLOAT_BYTES:
            raise ArgumentError(f"no such dtype: {dtype!r}", expected=", ".join(FLOAT_BYTES))
        how = replace(how, dtype=dtype)
    dealt = layout(anatomy, world_size, strategy, split, stages)
    heads, kv_heads = _head_counts(anatomy)
    parameters = [*_outside(anatomy, how, dealt), *_layers(anatomy, how, dealt)]
    return ShardMap(
        model or name,
        str(config["model_type"]),
        strategy,
        world_size,
        len(anatomy.layers),
        heads,
        kv_heads,
        attention_sizes(config)[2],
        dealt.ranges,
        tuple(sorted(parameters, key=lambda parameter: order(parameter.path))),
        planned=True,
    )


def _head_counts(anatomy: Anatomy) -> tuple[int | None, int | None]:
    """Query and KV heads of the first layer with an attention; latent attention has no KV heads."""
    for layer in anatomy.layers:
        if (attention := layer.attention) is not None and attention.keeps != "state":
            return attention.heads, None if attention.keeps == "latent" else attention.kv_heads
    return None, None


def _outside(anatomy: Anatomy, how: Quantization, dealt: Layout) -> Iterator[Parameter]:
    """What every rank has, or, where layers are cut, every stage."""
    for array, parts in cut(anatomy.outside, how.packings(""), how.dtype, dealt.shares):
        by_rank = parts * (dealt.world_size // len(parts))
        whole = WHOLE if dealt.world_size == 1 else REPLICATED
        yield _parameter(array, array.path, _pieces(by_rank, range(dealt.world_size)), dealt, whole)


def _layers(anatomy: Anatomy, how: Quantization, dealt: Layout) -> Iterator[Parameter]:
    for layer, path, places in alike(anatomy, how):
        arrays = list(cut(layer.matrices, how.packings(f"{path}."), how.dtype, dealt.shares))
        # Layers of a kind on the same ranks share their pieces.
        held = {stage: [_pieces(parts, stage) for _, parts in arrays] for stage in dealt.stages}
        for index in places:
            for (array, _), pieces in zip(arrays, held[dealt.holders(index)], strict=True):
                full = f"{anatomy.layers_path}.{index}.{array.path}"
                yield _parameter(array, full, pieces, dealt, WHOLE)


def _pieces(parts: Sequence[Part], ranks: Sequence[int]) -> tuple[Piece, ...]:
    return tuple(
        Piece(rank, part.shape, part.size_bytes, part.padding, part.repeated)
        for rank, part in zip(ranks, parts, strict=True)
    )


def _parameter(array: Array, path: str, pieces: tuple[Piece, ...], dealt: Layout, whole: str) -> Parameter:
    layer, module = layer_and_module(path)
    kind = array.cut if dealt.shares else whole
    return Parameter(
        path,
        layer,
        module,
        array.shape,
        array.dtype,
        kind,
        array.axis if dealt.shares else None,
        pieces,
        _collective(array, kind, layer),
        array.packing.bits if array.packing else None,
        array.packing.group_size if array.packing else None,
    )


def _collective(array: Array, kind: str, layer: int | None) -> str:
    if kind == ROW:
        return "" if summed_with_experts(array.path) else "all_sum"
    if kind == COLUMN and layer is None:
        return "all_gather"  # of a part of the vocabulary
    # Of the squares, of a norm over the values of all heads.
    return "all_sum" if kind == COLUMN and array.path.endswith("_norm.weight") else ""
