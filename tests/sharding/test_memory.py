"""What fits: the KV cache against mlx-lm's own, free memory, the largest context, and the map as data."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.rank.cut import cut
from kernelkit.rank.needs import caches
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.layout import layout
from kernelkit.sharding.memory import GPU, DeviceLimit, MemoryMap, RankMemory
from kernelkit.sharding.planmemory import planned_memory
from kernelkit.sharding.ranksizes import rank_sizes
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from tests.architectures import tiny
from tests.rank.tiny import CountedGroup
from tests.sharding.real import build, config_of

GB = 10**9
TWO = (RankMemory(0, "a", 5, 2, 1, 100, GPU), RankMemory(1, "b", 10, 3, None, 100, GPU))
SHARED = tuple(
    RankMemory(rank, "a", 5, 2, 10, 100, "this machine's memory", shared_by=2) for rank in range(2)
)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantization", [None, {"bits": 4, "group_size": 32}])
def test_a_token_costs_what_mlx_lm_allocates(dtype: str, quantization: Any) -> None:
    from mlx_lm.models.cache import make_prompt_cache

    config = config_of("llama")
    model = build(config, quantization, dtype)
    cache = make_prompt_cache(model)
    mx.eval(model(mx.zeros((3, 256), mx.int32), cache=cache))  # the cache grows by 256 tokens
    per_token = _per_token(planned_shards(config, 1, dtype=dtype, quantization=quantization), config)[0]
    assert per_token == 2 * 4 * 2 * 32 * (4 if dtype == "float32" else 2)
    assert per_token * 256 * 3 == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache)


def _per_token(shards: ShardMap, config: dict[str, Any]) -> list[int | None]:
    memory = planned_memory(shards, config, [DeviceLimit("a", GB)] * shards.world_size)
    return [rank.kv_bytes_per_token for rank in memory.ranks]


def test_padded_heads_are_cached_too() -> None:
    config = config_of("llama", num_attention_heads=9, num_key_value_heads=3)
    alone = 2 * 4 * 3 * 32 * 2
    assert _per_token(planned_shards(config, 1), config) == [alone]
    assert _per_token(planned_shards(config, 2), config) == [alone * 4 // 3 // 2] * 2
    assert _per_token(planned_shards(config, 3, split=(4, 1, 1)), config) == [
        alone * share // 3 for share in (4, 1, 1)
    ]


def test_a_pipelines_cache_follows_its_layers() -> None:
    config = config_of("qwen2")
    first, second = _per_token(planned_shards(config, 2, "pipeline", split=[1, 3]), config)
    assert second == 3 * (first or 0)


@pytest.mark.parametrize("kind", ["llama", "deepseek_v3", "gpt_oss", "qwen3_5", "longcat_flash"])
@pytest.mark.parametrize(("ranks", "strategy"), [(3, "tensor"), (2, "pipeline"), (4, "hybrid")])
def test_a_map_of_shards_says_as_much_as_the_plan_it_came_from(kind: str, ranks: int, strategy: Any) -> None:
    config = tiny.config(kind)
    model, quantization = anatomy(config), {"bits": 4, "group_size": 32}
    shards = planned_shards(config, ranks, strategy, quantization=quantization)
    memory = planned_memory(shards, config, [DeviceLimit("a", GB)] * ranks)
    sizes = rank_sizes(model, layout(model, ranks, strategy), quantization)
    assert [rank.weight_bytes for rank in memory.ranks] == [held.weight_bytes for held in sizes]
    for rank, held in enumerate(sizes):
        assert [memory.kv_bytes(rank, tokens) for tokens in (0, 5, 1000)] == [
            held.cache.bytes(t) for t in (0, 5, 1000)
        ]


@pytest.mark.parametrize(
    ("kind", "split"),
    [("deepseek_v3", (2, 1, 1)), ("gpt_oss", (2, 1, 1)), ("minimax", None), ("qwen3_5", None)],
)
def test_each_ranks_caches_are_what_it_then_allocates(
    kind: str, split: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is computed, and a sum has the shape of what is summed.
    monkeypatch.setattr(mx.distributed, "all_sum", lambda x, group: x)
    monkeypatch.setattr(mx.distributed, "all_gather", lambda x, group: mx.concatenate([x] * 3))
    model = anatomy(tiny.config(kind))
    for rank, held in enumerate(rank_sizes(model, layout(model, 3, split=split), "float32")):
        whole = build(tiny.config(kind), None, "float32")
        group: Any = CountedGroup(rank, 3)
        rebuild = partial(build, tiny.config(kind), None, "float32")
        cut(whole, tiny.config(kind), "tensor", group, split, rebuild)
        found = caches(whole)
        assert found["kv_bytes_per_token"] == held.cache.per_token
        assert [tuple(window) for window in found["windows"]] == list(held.cache.windows)
        assert found["state_bytes"] == held.cache.state_bytes


def test_free_is_what_weights_cache_and_others_leave() -> None:
    memory = MemoryMap("m", TWO, max_context=1000, batch=2)
    assert memory.kv_bytes(1, 7) == 3 * 7 * 2
    assert memory.free_bytes(0, 7) == 100 - 5 - 1 - 2 * 7 * 2
    assert memory.free_bytes(1, 7) == 100 - 10 - 3 * 7 * 2
    assert memory.largest_context() == 15  # of rank 1: 90 // 6


def test_ranks_on_one_host_share_its_limit() -> None:
    memory = MemoryMap("m", SHARED, max_context=None)
    assert memory.free_bytes(0, 3) == memory.free_bytes(1, 3) == 100 - 10 - 2 * 5 - 2 * 2 * 3
    assert memory.largest_context() == 20


ranks = st.builds(
    RankMemory,
    rank=st.just(0),
    host=st.just("a"),
    weight_bytes=st.integers(0, 1000),
    kv_bytes_per_token=st.integers(1, 20),
    windows=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=2).map(tuple),
    state_bytes=st.integers(0, 30),
    used_bytes=st.none() | st.integers(0, 100),
    limit_bytes=st.integers(0, 1000),
    limit=st.just(GPU),
)


@given(rank=ranks, most=st.none() | st.integers(1, 100), batch=st.integers(1, 4))
def test_the_largest_context_fits_and_one_more_token_does_not(
    rank: RankMemory, most: int | None, batch: int
) -> None:
    memory = MemoryMap("m", (rank,), most, batch)
    largest = memory.largest_context()
    assert largest is not None
    fits = [context for context in (largest, largest + 1) if (memory.free_bytes(0, context) or 0) >= 0]
    if (memory.free_bytes(0, 0) or 0) < 0:
        assert largest == 0
    elif most is not None and largest == most:
        assert largest in fits
    else:
        assert fits == [largest]


def test_what_is_not_known_is_none() -> None:
    unknown = MemoryMap("m", (RankMemory(0, "a", 5, None, None, 100, GPU),), 10, kv_words="because")
    assert unknown.kv_bytes(0, 1) is None
    assert unknown.free_bytes(0, 1) is None
    assert unknown.free_bytes(0, 0) == 95
    assert unknown.largest_context() is None
    assert "because" in repr(unknown)


def test_a_planned_70b_on_four_macs() -> None:
    config = {**config_of("llama"), "head_dim": None, "hidden_size": 8192, "num_hidden_layers": 80}
    config |= {"intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8}
    config |= {"vocab_size": 128256, "max_position_embeddings": 131072}
    shards = planned_shards(config, 4, model="70B", quantization={"bits": 4, "group_size": 64})
    memory = planned_memory(shards, config, [DeviceLimit(name, 48 * GB) for name in "abcd"])
    # 80 layers, 2 of 8 KV heads of 128, a key and a value, 2 bytes each.
    assert {rank.kv_bytes_per_token for rank in memory.ranks} == {2 * 80 * 2 * 128 * 2}
    assert [rank.weight_bytes for rank in memory.ranks] == [shards.size_bytes(rank) for rank in range(4)]
    assert memory.largest_context() == 131072
    together = planned_memory(shards, config, [DeviceLimit("a", 48 * GB)] * 4)
    assert {rank.shared_by for rank in together.ranks} == {4}
    left = 48 * GB - sum(shards.size_bytes(rank) for rank in range(4))
    assert together.largest_context() == left // (4 * 2 * 80 * 2 * 128 * 2)


def test_windows_and_states_end_to_grow() -> None:
    config = config_of("llama", layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=64)
    memory = planned_memory(planned_shards(config, 1), config, [DeviceLimit("a", GB)])
    per_layer_bytes = 2 * 2 * 32 * 2
    assert memory.kv_bytes(0, 10) == 4 * 10 * per_layer_bytes
    assert memory.kv_bytes(0, 100) == 2 * (100 + 64) * per_layer_bytes
    assert "512 B, windows" in repr(memory)
    # mlx-lm's qwen2 knows no sliding windows.
    full = {**config, "model_type": "qwen2"}
    assert planned_memory(planned_shards(full, 1), full, [DeviceLimit("a", GB)]).ranks[0].windows == ()


def test_a_context_of_any_length_fits_where_nothing_grows() -> None:
    held = RankMemory(0, "a", 5, 0, None, 100, GPU, windows=((10, 3),), state_bytes=60)
    assert MemoryMap("m", (held,), None).largest_context() is None
    assert MemoryMap("m", (held,), 1000).largest_context() == 1000
    assert MemoryMap("m", (replace(held, limit_bytes=80),), None).largest_context() == 5
    assert MemoryMap("m", (replace(held, limit_bytes=60),), None).largest_context() == 0


def test_plans_that_cannot_be() -> None:
    shards = planned_shards(config_of("llama"), 2)
    with pytest.raises(ArgumentError, match="every rank needs a limit"):
        planned_memory(shards, config_of("llama"), [DeviceLimit("a", GB)])
    with pytest.raises(ModelShardError, match="gemma"):
        planned_memory(shards, {"model_type": "gemma"}, [DeviceLimit("a", GB)] * 2)


# --- as data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "memory",
    [
        MemoryMap("m", TWO, None),
        MemoryMap("", SHARED, 8, 3, "words"),
        MemoryMap("m", (replace(TWO[0], windows=((8, 3),), state_bytes=7),), None),
    ],
)
def test_a_map_survives_its_file(tmp_path: Path, memory: MemoryMap) -> None:
    memory.save(tmp_path / "memory.json")
    assert MemoryMap.load(tmp_path / "memory.json") == memory


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"kernelkit_memory": 9}, "9"),
        ({"ranks": []}, "no rank"),
        ({"ranks": [{"rank": 0}]}, "lacks"),
        ({"max_context": -1}, "begin at 1"),
        ({"batch": 0}, "begin at 1"),
        ({"batch": True}, "batch"),
        ({"more": 1}, "more"),
    ],
)
def test_foreign_data_is_one_clear_error(changes: dict[str, Any], got: str) -> None:
    data = {**json.loads(json.dumps(MemoryMap("m", TWO, None).to_dict())), **changes}
    with pytest.raises(ArgumentError) as caught:
        MemoryMap.from_dict(data)
    assert got in caught.value.got


def test_ranks_out_of_order_or_below_nothing_are_refused() -> None:
    data = json.loads(json.dumps(MemoryMap("m", TWO, None).to_dict()))
    with pytest.raises(ArgumentError, match="in order"):
        MemoryMap.from_dict({**data, "ranks": data["ranks"][::-1]})
    with pytest.raises(ArgumentError, match="below 0"):
        MemoryMap.from_dict({**data, "ranks": [{**data["ranks"][0], "weight_bytes": -1}]})


def test_its_table_is_stable() -> None:
    assert repr(MemoryMap("m", TWO, 10)) == (
        "m: a context of up to 10 tokens fits\n"
        "rank  host  weights  KV per token  used by others  free  limit  which is\n"
        "----  ----  -------  ------------  --------------  ----  -----  ----------\n"
        "0     a     5 B      2 B           1 B             94 B  100 B  GPU memory\n"
        "1     b     10 B     3 B           ?               90 B  100 B  GPU memory"
    )
    assert "shared by 2 ranks" in repr(MemoryMap("m", SHARED, 10))
    full = RankMemory(0, "a", 101, 2, None, 100, GPU)
    assert repr(MemoryMap("m", (full,), 10)).startswith("m: it does not fit\n")
