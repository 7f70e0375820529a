"""Put together what the ranks say of themselves: one shard map, one memory map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.errors import ModelShardError
from kernelkit.sharding.memory import MemoryMap, RankMemory
from kernelkit.sharding.paths import layer_and_module, order
from kernelkit.sharding.pieces import Parameter, Piece
from kernelkit.sharding.shardmap import ShardMap

# What every rank must say alike, of the model and of each parameter.
_MODEL = ("model_type", "strategy", "world_size", "layers", "heads", "kv_heads", "head_dim")
_PARAMETER = ("full", "dtype", "cut", "axis", "collective", "bits", "group_size")

Answers = Mapping[int, Mapping[str, Any]]


def shard_map(answers: Answers, model: str) -> ShardMap:
    """One map of what the ranks' operation `shards` answered.

    Args:
        answers: by rank.
        model: what it is called.

    Raises:
        ModelShardError: a rank is missing, or the ranks do not hold parts of one model.
    """
    ranks = sorted(answers)
    if not ranks or ranks != list(range(answers[ranks[0]]["world_size"])):
        raise ModelShardError("not every rank said what it holds", got=f"ranks {ranks}")
    first = answers[0]
    for name in _MODEL:
        _same(name, [answers[rank][name] for rank in ranks])
    held: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for rank in ranks:
        for array in answers[rank]["parameters"]:
            held.setdefault(array["path"], []).append((rank, array))
    shards = ShardMap(
        model,
        **{name: first[name] for name in _MODEL},
        layer_ranges=tuple((start, end) for start, end in (answers[rank]["layer_range"] for rank in ranks)),
        parameters=tuple(_parameter(path, held[path]) for path in sorted(held, key=order)),
    )
    try:
        shards.check()
    except ValueError as error:
        raise ModelShardError("the ranks do not hold parts of one model", got=str(error)) from error
    return shards


def _parameter(path: str, held: Sequence[tuple[int, Mapping[str, Any]]]) -> Parameter:
    for name in _PARAMETER:
        _same(f"{name} of {path}", [array[name] for _, array in held])
    layer, module = layer_and_module(path)
    first = held[0][1]
    pieces = (
        Piece(rank, tuple(array["shape"]), array["size_bytes"], array["padding"], array["repeated"])
        for rank, array in held
    )
    facts = {name: first[name] for name in _PARAMETER if name != "full"}
    return Parameter(path, layer, module, tuple(first["full"]), **facts, pieces=tuple(pieces))


def _same(name: str, values: Sequence[Any]) -> None:
    if any(value != values[0] for value in values):
        raise ModelShardError(
            "the ranks do not hold parts of one model",
            expected=f"the same {name} on every rank",
            got="; ".join(f"{value!r}" for value in values),
            cure="load the model again",
        )


def memory_map(answers: Answers, shards: ShardMap) -> MemoryMap:
    """One map of what the ranks' operation `memory` answered.

    What a rank's device holds beside the model counts as used by others: the system, other programs,
    variables of the ranks. Where the memory is larger than the limit, as a Mac's is than Metal's working set,
    others are taken to fill the part beyond the limit first.

    Args:
        answers: by rank.
        shards: the model on these ranks.
    """
    ranks = []
    for rank, answer in sorted(answers.items()):
        beside = [other for other in answers.values() if other["device"] == answer["device"]]
        used_bytes = None
        if answer["in_use_bytes"] is not None:
            others = answer["in_use_bytes"] - sum(other["own_bytes"] for other in beside)
            used_bytes = max(0, others - (answer["total_bytes"] - answer["limit_bytes"]))
        ranks.append(
            RankMemory(
                rank,
                answer["host"],
                answer["weight_bytes"],
                answer["kv_bytes_per_token"],
                used_bytes,
                answer["limit_bytes"],
                answer["limit"],
                len(beside),
                tuple((tokens, size) for tokens, size in answer["windows"]),
                answer["state_bytes"],
            )
        )
    return MemoryMap(shards.model, tuple(ranks), next(iter(answers.values()))["max_context"])
