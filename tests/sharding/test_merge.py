"""The ranks' answers put together, and ranks that do not agree."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kernelkit.errors import ModelShardError
from kernelkit.sharding.memory import GPU, MACHINE, METAL
from kernelkit.sharding.merge import memory_map, shard_map
from tests.sharding.real import config_of, describe_rank

ANSWERS = {rank: describe_rank(config_of("qwen2"), rank, 2, "pipeline") for rank in range(2)}
GB = 10**9


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda second: second.update(layers=5), "the same layers"),
        (lambda second: second.update(strategy="tensor"), "the same strategy"),
        (
            lambda second: second["parameters"][0].update(dtype="float16"),
            "the same dtype of model.embed_tokens",
        ),
        (lambda second: second["parameters"][0].update(full=[1, 128]), "the same full of model.embed_tokens"),
        (lambda second: second["parameters"].pop(0), r"pieces on ranks \[0\]"),
        (lambda second: second.update(layer_range=[0, 9]), "of 4 layers"),
    ],
)
def test_ranks_that_do_not_agree(change: Any, what: str) -> None:
    second = copy.deepcopy(ANSWERS[1])
    change(second)
    with pytest.raises(ModelShardError, match="do not hold parts of one model") as caught:
        shard_map({0: ANSWERS[0], 1: second}, "m")
    assert what.replace("\\", "") in str(caught.value)


@pytest.mark.parametrize("answers", [{}, {0: ANSWERS[0]}, {1: ANSWERS[1]}])
def test_a_rank_that_said_nothing(answers: dict[int, Any]) -> None:
    with pytest.raises(ModelShardError, match="not every rank"):
        shard_map(answers, "m")


def _answer(**changes: Any) -> dict[str, Any]:
    whole = {"host": "a", "device": "a", "weight_bytes": 10 * GB, "own_bytes": 12 * GB}
    whole |= {"kv_bytes_per_token": 512, "windows": [[128, 64]], "state_bytes": 9}
    limits = {"limit_bytes": 64 * GB, "limit": MACHINE, "total_bytes": 64 * GB, "in_use_bytes": 40 * GB}
    return {**whole, **limits, "max_context": 512, **changes}


def test_what_others_use_is_neither_weights_nor_what_mlx_keeps() -> None:
    shards = shard_map(ANSWERS, "m")
    memory = memory_map({0: _answer(), 1: _answer()}, shards)
    assert [rank.used_bytes for rank in memory.ranks] == [16 * GB] * 2
    assert [rank.shared_by for rank in memory.ranks] == [2, 2]
    assert memory.free_bytes(0, 0) == memory.free_bytes(1, 0) == (64 - 16 - 2 * 10) * GB
    assert memory.max_context == 512
    assert memory.kv_bytes(0, 1000) == 512 * 1000 + 128 * 64 + 9


def test_others_fill_what_is_beyond_metals_limit_first() -> None:
    metal = {"limit": METAL, "limit_bytes": 48 * GB}
    one, other = _answer(**metal), _answer(**metal, device="b", host="b", in_use_bytes=20 * GB)
    memory = memory_map({0: one, 1: other}, shard_map(ANSWERS, "m"))
    assert [rank.used_bytes for rank in memory.ranks] == [(40 - 12 - 16) * GB, 0]
    assert [rank.shared_by for rank in memory.ranks] == [1, 1]


def test_two_gpus_of_one_host_are_two_limits() -> None:
    gpus = {rank: _answer(limit=GPU, device=f"a, GPU {rank}") for rank in range(2)}
    memory = memory_map(gpus, shard_map(ANSWERS, "m"))
    assert [rank.shared_by for rank in memory.ranks] == [1, 1]
    assert memory.free_bytes(0, 0) == (64 - 28 - 10) * GB


def test_what_others_use_may_not_be_known() -> None:
    memory = memory_map({rank: _answer(in_use_bytes=None) for rank in range(2)}, shard_map(ANSWERS, "m"))
    assert {rank.used_bytes for rank in memory.ranks} == {None}
