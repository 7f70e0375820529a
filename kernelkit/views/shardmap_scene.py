"""Turn a shard map into the scene of its picture: equal layers once, arrays of one module together.

A scene's map holds `kinds`, the distinct contents of a layer, and `layers`, the kind of each layer, so that
128 equal layers cost no more than one. Where whole layers live on single ranks, `owners` says on which.
Shapes are those that the computation sees; what is stored of quantized weights stands under `arrays` and
`stored`.

MLX keeps a weight as (outputs, inputs). It is drawn as the W of y = x W, inputs down and outputs across, so
that a cut by column is one of columns: `across` and `down` say which axis is drawn which way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from kernelkit.sharding.shardmap import Parameter, ShardMap
from kernelkit.views.shardmap_words import (
    ADDED,
    caption,
    dtypes,
    group_of,
    is_embedding,
    kv_label,
    rank_label,
    short_names,
    why,
)

Matrix = dict[str, Any]


def scene(maps: Sequence[ShardMap], titles: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that the picture of `maps` shows, JSON-like; a title stands in for a map's own."""
    return {"maps": [_map(m, titles[i] if i < len(titles) else "") for i, m in enumerate(maps)]}


def _map(shards: ShardMap, title: str) -> dict[str, Any]:
    layers: list[list[Parameter]] = [[] for _ in range(shards.layers)]
    outside: list[Parameter] = []
    for parameter in shards.parameters:
        (outside if parameter.layer is None else layers[parameter.layer]).append(parameter)
    kinds: dict[str, int] = {}
    contents: list[list[Matrix]] = []
    kind_of: list[int] = []
    owners = [_owner(layer, shards.world_size) for layer in layers]
    for layer, owner in zip(layers, owners, strict=True):
        matrices = _matrices(layer, shards.world_size, owner)
        key = json.dumps(matrices)
        if key not in kinds:
            kinds[key] = len(contents)
            contents.append(matrices)
        kind_of.append(kinds[key])
    ends = _matrices(outside, shards.world_size, None)
    return {
        "title": title or caption(shards),
        "model": shards.model,
        "model_type": shards.model_type,
        "strategy": shards.strategy,
        "planned": shards.planned,
        "quantization": _quantization([*ends, *(m for kind in contents for m in kind)]),
        "dtype": dtypes(shards),
        "ranks": [_rank(shards, rank) for rank in range(shards.world_size)],
        "added": _added([*ends, *(m for kind in contents for m in kind)]),
        "kinds": contents,
        "layers": kind_of,
        "owners": owners if any(owner is not None for owner in owners) else None,
        "before": [m for m in ends if is_embedding(m["module"])],
        "after": [m for m in ends if not is_embedding(m["module"])],
    }


def _owner(layer: Iterable[Parameter], world_size: int) -> int | None:
    """The one rank that holds all of a layer, in a group of several."""
    ranks = {piece.rank for parameter in layer for piece in parameter.pieces}
    return ranks.pop() if len(ranks) == 1 and world_size > 1 else None


def _rank(shards: ShardMap, rank: int) -> dict[str, Any]:
    """One column's totals in bytes; `cut_bytes` are without padding and without what is repeated."""
    cut_bytes = dict.fromkeys(("column", "row", "whole", "replicated"), 0)
    for parameter, piece in shards.held_by(rank):
        added_bytes = sum(piece.part_bytes(size, parameter.axis) for size in (piece.padding, piece.repeated))
        cut_bytes[parameter.cut] += piece.size_bytes - added_bytes
    return {
        "rank": rank,
        "label": rank_label(shards, rank),
        "kv_label": kv_label(shards, rank),
        "size_bytes": shards.size_bytes(rank),
        "padding_bytes": shards.padding_bytes(rank),
        "repeated_bytes": shards.repeated_bytes(rank),
        "cut_bytes": cut_bytes,
    }


def _matrices(parameters: Iterable[Parameter], world_size: int, owner: int | None) -> list[Matrix]:
    modules: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        modules.setdefault(parameter.module, []).append(parameter)
    names = short_names(list(modules))
    found = [
        _matrix(arrays, name, world_size, owner) for arrays, name in zip(modules.values(), names, strict=True)
    ]
    # The output projection reads what all other matrices of the attention make.
    attention = [matrix for matrix in found if matrix["group"] == "attention"]
    rest = [matrix for matrix in found if matrix["group"] != "attention"]
    first = found.index(attention[0]) if attention else 0
    attention.sort(key=lambda matrix: matrix["module"].endswith("o_proj"))
    return [*rest[:first], *attention, *rest[first:]]


def _matrix(arrays: list[Parameter], name: str, world_size: int, owner: int | None) -> Matrix:
    """One module: its weight stands for it, scales, biases and the bias add their bytes."""
    main = max(arrays, key=lambda p: (p.path.endswith("weight"), math.prod(p.shape)))
    shares, share_of = _shares(arrays, main, [owner] if owner is not None else range(world_size))
    return {
        "module": main.module,
        "path": _without_layer(main.path, main.layer),
        "name": name,
        "group": group_of(main.module, len(main.shape)),
        "cut": main.cut,
        "axis": _axis(main),
        **_drawn(main),
        "collective": main.collective,
        "why": why(main),
        "dtype": main.dtype,
        "bits": main.bits,
        "group_size": main.group_size,
        "shape": _logical(main, main.shape),
        "arrays": [
            {"name": p.path.rpartition(".")[2], "dtype": p.dtype, "shape": list(p.shape)} for p in arrays
        ],
        "shares": shares,
        "share_of": share_of,
    }


def _shares(
    arrays: list[Parameter], main: Parameter, ranks: Sequence[int | None]
) -> tuple[list[dict[str, Any]], list[int]]:
    """What each rank has of a module: the distinct shares, and for each rank which it has, or -1."""
    shares: list[dict[str, Any]] = []
    share_of: list[int] = []
    for rank in ranks:
        held = [(p, piece) for p in arrays for piece in p.pieces if piece.rank == rank]
        mains = [piece for p, piece in held if p is main]
        if not mains:
            share_of.append(-1)
            continue
        share = {
            "shape": _logical(main, mains[0].shape),
            "stored": [list(piece.shape) for _, piece in held],
            "padding": _along(main, mains[0].padding),
            "repeated": _along(main, mains[0].repeated),
            "size_bytes": sum(piece.size_bytes for _, piece in held),
            "padding_bytes": sum(piece.part_bytes(piece.padding, p.axis) for p, piece in held),
            "repeated_bytes": sum(piece.part_bytes(piece.repeated, p.axis) for p, piece in held),
        }
        if share not in shares:
            shares.append(share)
        share_of.append(shares.index(share))
    return shares, share_of


def _axis(parameter: Parameter) -> int | None:
    """The axis of the cut, counted from the front."""
    if parameter.axis is None or not parameter.shape:
        return None
    return parameter.axis % len(parameter.shape)


def _drawn(parameter: Parameter) -> dict[str, Any]:
    """Which axis is drawn across and which down; an embedding as it is stored, a row per token."""
    last = len(parameter.shape) - 1
    if last < 1:
        return {"across": {"axis": 0, "name": "values"}, "down": None}
    if is_embedding(parameter.module):
        return {"across": {"axis": last, "name": "hidden"}, "down": {"axis": last - 1, "name": "tokens"}}
    return {"across": {"axis": last - 1, "name": "outputs"}, "down": {"axis": last, "name": "inputs"}}


def _packed(parameter: Parameter) -> bool:
    """Whether several weights lie in each stored number of the last axis: eight 4-bit ones in a uint32."""
    return bool(parameter.bits) and parameter.dtype == "uint32" and parameter.path.endswith("weight")


def _unpacked(parameter: Parameter, size: int) -> int:
    return size * 32 // parameter.bits if _packed(parameter) and parameter.bits else size


def _logical(parameter: Parameter, shape: Sequence[int]) -> list[int]:
    """The shape that the computation sees."""
    return [*shape[:-1], _unpacked(parameter, shape[-1])] if shape else []


def _along(parameter: Parameter, size: int) -> int:
    """Rows or columns along the cut, as the computation counts them."""
    return _unpacked(parameter, size) if _axis(parameter) == len(parameter.shape) - 1 else size


def _without_layer(path: str, layer: int | None) -> str:
    """`model.layers.7.mlp.up_proj.weight -> model.layers.*.mlp.up_proj.weight`, the same for all layers."""
    return path if layer is None else re.sub(rf"(?<![^.]){layer}(?![^.])", "*", path, count=1)


def _added(matrices: Iterable[Matrix]) -> list[str]:
    """Which of padding and repetition is to be seen: vectors are drawn too small for it."""
    shares = [share for m in matrices if m["group"] != "small" for share in m["shares"]]
    return [what for what in ADDED if any(share[f"{what}_bytes"] for share in shares)]


def _quantization(matrices: Iterable[Matrix]) -> str:
    """`"4-bit in groups of 64"`, all that occur, most bits last; empty where nothing is quantized."""
    found = {(m["bits"], m["group_size"]) for m in matrices if m["bits"]}
    return ", ".join(
        f"{bits}-bit" + (f" in groups of {size}" if size else "") for bits, size in sorted(found, key=str)
    )
