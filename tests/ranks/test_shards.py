"""The shard map and the memory of real ranks: what they say against what they hold, and against the plan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster, MemoryMap, ShardedModel, ShardMap, connect
from kernelkit.errors import NoModelError
from kernelkit.sharding.heads import Share
from kernelkit.sharding.shape import planned_shards
from tests.cluster.conftest import without_pytests_mark
from tests.rank import tiny

HELD = """
from mlx.utils import tree_flatten
sum(value.nbytes for _, value in tree_flatten(model.parameters()))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with without_pytests_mark():
        cluster = connect(2)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def smollm2(cluster: Cluster) -> ShardedModel:
    return cluster.load("smollm2")


@pytest.fixture(scope="module")
def shards(smollm2: ShardedModel) -> ShardMap:
    return smollm2.shards  # of before the other tests load their own


def _planned(model: ShardedModel, config: dict[str, Any], ranks: int, **options: Any) -> ShardMap:
    """The plan of what is in memory: a CPU dequantizes."""
    part = model.summaries[0]
    quantization = config.get("quantization") if part["quantization_in_memory"] else None
    plan = planned_shards(config, ranks, dtype=part["dtype"], quantization=quantization, **options)
    assert plan.planned
    return replace(plan, planned=False, model=model.name)


def test_smollm2_is_padded_and_cut_by_heads(shards: ShardMap) -> None:
    assert (shards.heads, shards.kv_heads, shards.head_dim, shards.layers) == (9, 3, 64, 30)
    assert [shards.heads_of(rank) for rank in (0, 1)] == [Share(0, 6, held=6), Share(6, 9, 3, held=3)]
    assert [shards.kv_heads_of(rank) for rank in (0, 1)] == [Share(0, 2, held=2), Share(2, 3, 1, held=1)]
    assert shards.layer_ranges == ((0, 30), (0, 30))
    assert not shards.planned


def test_each_module_is_cut_its_way(shards: ShardMap) -> None:
    ways = {p.module: (p.cut, p.collective) for p in shards.parameters if p.path.endswith(".weight")}
    columns = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
    rows = ("self_attn.o_proj", "mlp.down_proj")
    everywhere = ("input_layernorm", "post_attention_layernorm", "norm", "embed_tokens")
    assert {name: ways[name] for name in columns} == dict.fromkeys(columns, ("column", ""))
    assert {name: ways[name] for name in rows} == dict.fromkeys(rows, ("row", "all_sum"))
    assert {name: ways[name] for name in everywhere} == dict.fromkeys(everywhere, ("replicated", ""))
    assert set(ways) == {*columns, *rows, *everywhere}  # tied: no lm_head


def test_the_bytes_are_those_that_the_ranks_hold(
    cluster: Cluster, smollm2: ShardedModel, shards: ShardMap
) -> None:
    held = cluster.run(HELD)
    assert [str(shards.size_bytes(rank)) for rank in (0, 1)] == [held[rank].value_repr for rank in (0, 1)]
    assert [shards.size_bytes(rank) for rank in (0, 1)] == [
        smollm2.summaries[rank]["weight_bytes"] for rank in (0, 1)
    ]


def test_the_plan_is_what_the_ranks_then_hold(smollm2: ShardedModel, shards: ShardMap) -> None:
    config = json.loads((Path(smollm2.path) / "config.json").read_text())
    assert _planned(smollm2, config, 2) == shards


def test_the_memory_of_ranks_on_one_machine(smollm2: ShardedModel, shards: ShardMap) -> None:
    memory = smollm2.memory
    value_bytes = 4 if smollm2.summaries[0]["dtype"] == "float32" else 2
    assert {rank.kv_bytes_per_token for rank in memory.ranks} == {2 * 30 * 2 * 64 * value_bytes}
    assert [rank.weight_bytes for rank in memory.ranks] == [shards.size_bytes(rank) for rank in (0, 1)]
    first, second = memory.ranks
    assert first.host == second.host
    assert first.limit_bytes == second.limit_bytes
    assert first.shared_by == second.shared_by == 2
    for rank in memory.ranks:
        assert rank.used_bytes is not None
        assert 0 <= rank.used_bytes < rank.limit_bytes
    assert (
        memory.max_context
        == json.loads((Path(smollm2.path) / "config.json").read_text())["max_position_embeddings"]
    )
    assert MemoryMap.from_dict(memory.to_dict()) == memory


def test_a_pipeline_of_a_quantized_model(
    cluster: Cluster, smollm2: ShardedModel, shards: ShardMap, tmp_path: Path
) -> None:
    path = tiny.build(tmp_path, "qwen2", bits=4, num_hidden_layers=5)
    model = cluster.load(str(path), "pipeline", called="tiny")
    real = model.shards
    assert real.layer_ranges == ((2, 5), (0, 2))  # rank 0 has the last ones
    owners = {p.layer: ([piece.rank for piece in p.pieces], p.cut) for p in real.parameters}
    last, first = ([0], "whole"), ([1], "whole")
    assert owners == {None: ([0, 1], "replicated"), 0: first, 1: first, 2: last, 3: last, 4: last}
    assert real == _planned(model, json.loads((path / "config.json").read_text()), 2, strategy="pipeline")
    held = cluster.run(HELD)
    assert [str(real.size_bytes(rank)) for rank in (0, 1)] == [held[rank].value_repr for rank in (0, 1)]
    per_token = [rank.kv_bytes_per_token for rank in model.memory.ranks]
    assert per_token[0] * 2 == per_token[1] * 3  # layers
    # The map of the model before is kept; it cannot be asked about memory any more.
    assert smollm2.shards is shards
    with pytest.raises(NoModelError):
        _ = smollm2.memory


def test_a_map_that_was_never_asked_for_goes_with_its_model(cluster: Cluster, tmp_path: Path) -> None:
    model = cluster.load(str(tiny.build(tmp_path)))
    model.unload()
    with pytest.raises(NoModelError):
        _ = model.shards


def test_one_rank_has_it_whole(tmp_path: Path) -> None:
    path = tiny.build(tmp_path)
    with without_pytests_mark(), connect(1) as alone:
        model = alone.load(str(path))
        real = model.shards
        assert {p.cut for p in real.parameters} == {"whole"}
        assert real == _planned(model, json.loads((path / "config.json").read_text()), 1)
        assert model.memory.ranks[0].shared_by == 1
        real.save(tmp_path / "map.json")
    assert ShardMap.load(tmp_path / "map.json") == real
