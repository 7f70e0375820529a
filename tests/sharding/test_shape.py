"""Plans against mlx-lm's own models, parameter by parameter; and what no plan is made for."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.catalog import models
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.heads import Share
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from tests.sharding.configs import LLAMA_70B
from tests.sharding.real import KINDS, config_of, real_shards


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantization", [None, {"bits": 4, "group_size": 32}])
@pytest.mark.parametrize("tied", [False, True])
def test_a_plan_is_what_the_ranks_then_hold(kind: str, quantization: Any, tied: bool) -> None:
    config = config_of(kind, tie_word_embeddings=tied)
    options = {"quantization": quantization, "dtype": "float16"}
    planned = planned_shards(config, 2, **options)
    assert planned.planned
    assert replace(planned, planned=False) == real_shards(config, 2, **options)


@pytest.mark.parametrize("kind", ["qwen2", "ministral3"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_planned_pipeline_is_what_the_ranks_then_hold(kind: str, ranks: int) -> None:
    config = config_of(kind)
    planned = planned_shards(config, ranks, "pipeline", dtype="float32")
    assert replace(planned, planned=False) == real_shards(config, ranks, "pipeline")


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    kv_heads = draw(st.integers(1, 4))
    return config_of(
        draw(st.sampled_from(sorted(KINDS))),
        num_hidden_layers=1,
        num_key_value_heads=kv_heads,
        num_attention_heads=kv_heads * draw(st.integers(1, 3)),
        # qwen2 has no size of a head in its config: what the hidden size gives must be a whole number.
        hidden_size=draw(st.sampled_from([288, 576, 1152])),
        head_dim=draw(st.sampled_from([16, 32, 48])),
        intermediate_size=draw(st.sampled_from([96, 100, 128, 160])),
        attention_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
    )


@settings(max_examples=150, deadline=None)
@given(
    config=configs(),
    split=st.one_of(
        st.integers(1, 6).map(lambda ranks: [1] * ranks), st.lists(st.integers(1, 3), min_size=2, max_size=3)
    ),
    quantization=st.sampled_from(
        [None, {"bits": 4, "group_size": 32}, {"bits": 3, "group_size": 32}, {"bits": 8, "group_size": 64}]
    ),
)
def test_a_plan_is_refused_where_the_model_is_and_else_is_the_same(
    config: dict[str, Any], split: list[int], quantization: Any
) -> None:
    ranks = len(split)
    try:
        real = real_shards(config, ranks, quantization=quantization, split=split)
    except ModelShardError:
        with pytest.raises(ModelShardError):
            planned_shards(config, ranks, dtype="float32", quantization=quantization, split=split)
        return
    planned = planned_shards(config, ranks, dtype="float32", quantization=quantization, split=split)
    assert replace(planned, planned=False) == real


@settings(max_examples=60, deadline=None)
@given(
    layers=st.integers(1, 40),
    ranks=st.integers(1, 8),
    strategy=st.sampled_from(["tensor", "pipeline"]),
    bits=st.sampled_from([None, 4, 6]),
)
def test_what_holds_of_every_plan(layers: int, ranks: int, strategy: Any, bits: int | None) -> None:
    if strategy == "pipeline" and layers < ranks:
        return
    config = config_of("llama", num_hidden_layers=layers, num_attention_heads=9, num_key_value_heads=3)
    quantization = {"bits": bits, "group_size": 32} if bits else None
    shards = planned_shards(config, ranks, strategy, quantization=quantization)
    _check_invariants(shards)


def _check_invariants(shards: ShardMap) -> None:
    shards.check()
    ranks = range(shards.world_size)
    pieces = [piece for parameter in shards.parameters for piece in parameter.pieces]
    assert sum(map(shards.size_bytes, ranks)) == sum(piece.size_bytes for piece in pieces)
    # Every layer runs on a rank: on one of a pipeline, on all of a tensor-parallel model.
    for layer in range(shards.layers):
        owners = [rank for rank in ranks if layer in range(*shards.layer_ranges[rank])]
        held = {piece.rank for p in shards.parameters if p.layer == layer for piece in p.pieces}
        assert sorted(held) == owners
        assert len(owners) == (1 if shards.strategy == "pipeline" else shards.world_size)
    for parameter in shards.parameters:
        axis = parameter.axis
        if axis is None:
            assert {piece.shape for piece in parameter.pieces} == {parameter.shape}
        else:
            own = sum(piece.shape[axis] - piece.padding - piece.repeated for piece in parameter.pieces)
            assert own == parameter.shape[axis]
        assert (parameter.collective == "all_sum") == (parameter.cut == "row")
    heads = [shards.heads_of(rank) for rank in ranks]
    assert None not in heads
    if shards.strategy == "tensor":
        dealt = [head for share in heads if share for head in range(share[0], share[1])]
        assert dealt == list(range(shards.heads or 0))


def test_a_70b_model_on_eight_ranks() -> None:
    shards = planned_shards(LLAMA_70B, 8, model="70B", quantization={"bits": 4, "group_size": 64})
    q_proj = next(p for p in shards.parameters if p.path == "model.layers.0.self_attn.q_proj.weight")
    assert q_proj.shape == (8192, 8192 * 4 // 32)
    assert {piece.shape for piece in q_proj.pieces} == {(1024, 1024)}
    assert (q_proj.bits, q_proj.group_size, q_proj.dtype) == (4, 64, "uint32")
    assert [shards.kv_heads_of(rank) for rank in (0, 7)] == [Share(0, 1, held=1), Share(7, 8, held=1)]
    # 70.6e9 parameters of 4 bits, and a scale and a bias of 16 bits for each 64; embeddings eight times.
    embeddings_bytes = 2 * 128256 * 8192 // 2  # both at 4 bits are one at 8
    total_bytes = sum(shards.size_bytes(rank) for rank in range(8)) - 7 * embeddings_bytes * 1.125
    assert total_bytes == pytest.approx(70.55e9 * 4.5 / 8, rel=0.001)


def test_one_module_may_be_quantized_in_its_own_way() -> None:
    quantization = {"bits": 4, "group_size": 32, "model.embed_tokens": {"bits": 8, "group_size": 64}}
    shards = planned_shards(config_of("llama"), 2, quantization={**quantization, "lm_head": False})
    kinds = {p.module: (p.bits, p.group_size) for p in shards.parameters}
    assert kinds["embed_tokens"] == (8, 64)
    assert kinds["lm_head"] == (None, None)
    assert kinds["mlp.up_proj"] == (4, 32)
    assert kinds["norm"] == (None, None)


def test_a_pipeline_is_split_as_it_is_told() -> None:
    shards = planned_shards(config_of("qwen2"), 2, "pipeline", split=[1, 3])
    assert shards.layer_ranges == ((3, 4), (0, 3))  # rank 0 has the last layer
    for split in ([2], [0, 4], [2, 3], [1, 1, 2]):
        with pytest.raises(ModelShardError, match="4 layers cannot be spread over 2"):
            planned_shards(config_of("qwen2"), 2, "pipeline", split=split)


@pytest.mark.parametrize("kind", ["gemma", "no_such", None])
def test_an_architecture_without_a_plan_is_named(kind: Any) -> None:
    with pytest.raises(ModelShardError, match=str(kind)) as caught:
        planned_shards({**config_of("llama"), "model_type": kind}, 2)
    assert "qwen3" in caught.value.expected


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"hidden_size": None}, {}),
        ({"num_hidden_layers": "4"}, {}),
        ({"vocab_size": 0}, {}),
        ({"intermediate_size": True}, {}),
        ({}, {"world_size": 0}),
        ({}, {"world_size": True}),
        ({}, {"strategy": "data"}),
        ({}, {"dtype": "int8"}),
        ({}, {"dtype": []}),
        ({}, {"model": 5}),
        ({}, {"split": [2, 0]}),
        ({}, {"split": [2, 1, 1]}),
        ({}, {"quantization": {"bits": 7}}),
        ({}, {"quantization": {"bits": 4.0}}),
        ({}, {"quantization": {"bits": 4, "group_size": 33}}),
        ({}, {"quantization": {"bits": 4, "group_size": 0}}),
        ({}, {"quantization": 4}),
        ({}, {"quantization": {"bits": 4, "group_size": 64, "mode": "mxfp4"}}),
        ({}, {"quantization": {"mode": "int4"}}),
        ({}, {"quantization": "4bits-gs31"}),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        planned_shards(config_of("llama", **changes), **{"world_size": 2, **arguments})


def test_a_config_may_be_a_path_and_then_names_the_model(tmp_path: Path) -> None:
    config = config_of("llama")
    folder = tmp_path / "Tiny-1B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    expected = planned_shards(config, 2, model="Tiny-1B")
    for path in (folder, folder / "config.json", str(folder)):
        assert planned_shards(path, 2) == expected
    assert planned_shards(folder, 2, model="mine").model == "mine"
    assert planned_shards({**config, "_name_or_path": "org/Tiny"}, 2).model == "org/Tiny"


@pytest.mark.parametrize("config", [None, 5, ["llama"], "no/such/config.json", Path("/")])
def test_what_is_no_config_is_refused(config: Any) -> None:
    with pytest.raises(ArgumentError):
        planned_shards(config, 2)


def test_as_many_all_sums_follow_as_a_layer_makes() -> None:
    """A shared expert's product and the other experts' are added up by one."""
    shared = 0
    for entry in models().values():
        with suppress(ModelShardError):
            made, shards = anatomy(entry.config), planned_shards(entry.config, 2)
            modules = {(p.layer, p.module) for p in shards.parameters if p.collective == "all_sum"}
            by_layer = Counter(layer for layer, _ in modules if layer is not None)
            for index, layer in enumerate(made.layers):
                assert by_layer[index] == layer.reduces + layer.small_reduces, (entry.title, index)
            shared += any("shared_expert" in p.module for p in shards.parameters)
    assert shared > 5
