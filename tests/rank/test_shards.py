"""What a rank says that it holds of a loaded model, and of its memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from kernelkit.errors import NoModelError
from kernelkit.rank import state
from kernelkit.rank.cut import Cut
from kernelkit.rank.load import Loaded, load
from kernelkit.rank.memory import device, memory
from kernelkit.rank.needs import caches
from kernelkit.rank.shards import describe, shards
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.heads import Share
from kernelkit.sharding.layout import layout
from kernelkit.sharding.merge import shard_map
from kernelkit.sharding.ranksizes import rank_sizes
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from tests.architectures.tiny import config as tiny_config
from tests.rank import tiny
from tests.rank.tiny import CountedGroup
from tests.sharding.real import build, config_of, real_shards

MOE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
}
MLA = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
}


def _load(path: Path, rank: int, size: int, **options: Any) -> Loaded:
    return load(path, group=CountedGroup(rank, size), **{"strategy": "tensor", **options})  # type: ignore[arg-type]


def _shards(path: Path, size: int, **options: Any) -> ShardMap:
    answers = {rank: describe(_load(path, rank, size, **options), rank, size) for rank in range(size)}
    return shard_map(json.loads(json.dumps(answers), object_hook=_integer_keys), "")


def _integer_keys(data: dict[str, Any]) -> dict[Any, Any]:
    return {int(key) if key.isdigit() else key: value for key, value in data.items()}


@pytest.mark.parametrize(
    ("dtype", "planned"),
    [("float32", {"dtype": "float32"}), ("keep", {"dtype": "float16", "quantization": "in file"})],
)
def test_smollm2_is_what_its_plan_says(smollm2: Path, dtype: str, planned: dict[str, Any]) -> None:
    config = json.loads((smollm2 / "config.json").read_text())
    if "quantization" in planned:
        planned = {**planned, "quantization": config["quantization"]}
    real = _shards(smollm2, 2, dtype=dtype)
    assert real == replace(planned_shards(config, 2, **planned), planned=False)


def test_every_byte_that_a_rank_holds_is_on_its_map(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, bits=4, num_attention_heads=6, num_key_value_heads=3, hidden_size=192)
    loaded = [_load(path, rank, 2, dtype="keep") for rank in range(2)]
    real = shard_map({rank: describe(part, rank, 2) for rank, part in enumerate(loaded)}, "")
    assert [real.size_bytes(rank) for rank in range(2)] == [part.summary["weight_bytes"] for part in loaded]
    full_bytes = sum(p.pieces[0].size_bytes for p in _shards(path, 1, dtype="keep").parameters)
    assert full_bytes == loaded[0].summary["total_weight_bytes"]


def test_padding_is_where_a_rank_holds_zeros(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, num_attention_heads=6, num_key_value_heads=3, hidden_size=96)
    loaded = _load(path, 1, 2)
    arrays = {array["path"]: array for array in describe(loaded, 1, 2)["parameters"]}
    for name, axis in (("q_proj", 0), ("k_proj", 0), ("o_proj", 1)):
        array = arrays[f"model.layers.0.self_attn.{name}.weight"]
        weight = getattr(loaded.model.layers[0].self_attn, name).weight
        zeros = (mx.abs(weight).max(axis=1 - axis) == 0).tolist()
        assert array["axis"] == axis
        assert 0 < array["padding"] == sum(zeros)
        assert zeros == sorted(zeros)  # at the end


def test_one_kv_head_on_two_ranks_stands_on_both() -> None:
    config = config_of("llama", num_attention_heads=4, num_key_value_heads=1)
    real = real_shards(config, 2)
    k_proj = next(p for p in real.parameters if p.module == "self_attn.k_proj")
    # As large as before the cut, and cut all the same.
    assert [piece.shape for piece in k_proj.pieces] == [k_proj.shape] * 2
    assert (k_proj.cut, [piece.padding for piece in k_proj.pieces]) == ("column", [0, 0])
    assert [piece.repeated for piece in k_proj.pieces] == [0, k_proj.shape[0]]
    assert [real.kv_heads_of(rank) for rank in (0, 1)] == [Share(0, 1, held=1), Share(0, 1, 0, 1, repeated=1)]


def test_what_is_repeated_stands_on_a_rank_before(tmp_path: Path) -> None:
    sizes = {"num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64}
    path = tiny.build(tmp_path, **sizes)
    name, seen, told, found = "model.layers.1.self_attn.v_proj.weight", set(), [], []
    for rank in range(3):
        loaded = _load(path, rank, 3, split=(2, 1, 1))
        told.append(next(a for a in describe(loaded, rank, 3)["parameters"] if a["path"] == name)["repeated"])
        rows = [tuple(row) for row in loaded.model.layers[1].self_attn.v_proj.weight.tolist()]
        found.append(len(rows) - len(set(rows) - seen))
        seen |= set(rows)
    assert told == found == [8, 0, 8]


def test_a_group_norm_is_not_quantized() -> None:
    model = nn.Module()
    model.layers = [nn.Module()]
    model.layers[0].norm = nn.RMSNorm(8)
    model.layers[0].norm.group_size = 4
    summary = {"model_type": "m", "strategy": "tensor", "layers": 1, "layer_range": [0, 1]}
    answer = describe(Loaded(model, None, {"model_type": "m"}, summary, {}, Cut((0, 1))), 0, 1)
    assert [(a["bits"], a["group_size"]) for a in answer["parameters"]] == [(None, None)]


def test_experts_are_cut_along_their_hidden_axis() -> None:
    real = real_shards(config_of("qwen3_moe", **MOE), 2)
    cuts = {p.module: (p.cut, p.axis, p.shape, p.pieces[1].shape, p.collective) for p in real.parameters}
    up, down = (4, 64, 128), (4, 128, 64)
    assert cuts["mlp.switch_mlp.up_proj"] == ("column", 1, up, (4, 32, 128), "")
    assert cuts["mlp.switch_mlp.down_proj"] == ("row", 2, down, (4, 128, 32), "all_sum")
    assert cuts["mlp.gate"][0] == "replicated"


def test_quantized_experts_keep_their_bits_on_the_map() -> None:
    real = real_shards(config_of("qwen3_moe", **MOE), 2, quantization={"bits": 4, "group_size": 32})
    down = [p for p in real.parameters if p.module == "mlp.switch_mlp.down_proj" and p.layer == 0]
    assert [(p.path.rpartition(".")[2], p.shape[2], p.pieces[0].shape[2]) for p in down] == [
        ("weight", 8, 4),
        ("scales", 2, 1),
        ("biases", 2, 1),
    ]
    assert {(p.cut, p.bits, p.group_size) for p in down} == {("row", 4, 32)}


def test_latent_attention_is_dealt_out_by_query_heads() -> None:
    config = config_of("deepseek_v3", **MLA)
    real = real_shards(config, 2)
    assert [real.heads_of(rank) for rank in (0, 1)] == [Share(0, 2, held=2), Share(2, 4, held=2)]
    assert real.kv_heads_of(0) is None
    embed_q = next(p for p in real.parameters if p.module == "self_attn.embed_q")
    assert (embed_q.cut, embed_q.axis) == ("column", 0)
    model = build(config, None, "float32")
    # One latent vector and the rotated part of the key, of each layer, for all heads.
    kept = config["kv_lora_rank"] + config["qk_rope_head_dim"]
    assert caches(model)["kv_bytes_per_token"] == config["num_hidden_layers"] * kept * 4


def test_a_pipeline_keeps_the_numbers_of_its_layers(tmp_path: Path) -> None:
    real = _shards(tiny.build(tmp_path, "qwen2"), 2, strategy="pipeline")
    assert real.layer_ranges == ((2, 4), (0, 2))
    owners = {p.layer: [piece.rank for piece in p.pieces] for p in real.parameters}
    assert owners == {None: [0, 1], 0: [1], 1: [1], 2: [0], 3: [0]}


def test_what_the_user_has_added_since(tmp_path: Path) -> None:
    answers = {}
    for rank in range(2):
        loaded = _load(tiny.build(tmp_path), rank, 2)
        loaded.model.adapter = nn.Linear(3, 5, bias=False)
        group: Any = CountedGroup(rank, 2)
        loaded.model.layers[0].gate = nn.AllToShardedLinear(3, 6, bias=False, group=group)
        answers[rank] = describe(loaded, rank, 2)
    added = {p.module: p for p in shard_map(answers, "").parameters}
    assert (added["adapter"].cut, added["adapter"].shape) == ("replicated", (5, 3))
    assert (added["gate"].cut, added["gate"].shape) == ("column", (6, 3))
    assert [(piece.shape, piece.padding) for piece in added["gate"].pieces] == [((3, 3), 0)] * 2


# --- memory --------------------------------------------------------------------------------------


def test_without_a_model_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "loaded", None)
    for operation in (shards, memory):
        with pytest.raises(NoModelError):
            operation()


def test_the_machines_memory_is_the_limit_of_a_cpu() -> None:
    import psutil

    facts = device()
    if mx.default_device() == mx.Device(mx.cpu):
        assert facts["limit"] == "this machine's memory"
        assert facts["limit_bytes"] == facts["total_bytes"] == psutil.virtual_memory().total
    assert 0 < facts["in_use_bytes"] < facts["total_bytes"]
    assert facts["limit_bytes"] <= facts["total_bytes"]
    assert device()["device"] == facts["device"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"max_recommended_working_set_size": 3, "memory_size": 4},
            {"limit": "Metal's recommended working set", "limit_bytes": 3},
        ),
        (
            {"total_memory": 80, "free_memory": 60, "uuid": "GPU-1"},
            {"limit": "GPU memory", "limit_bytes": 80, "total_bytes": 80, "in_use_bytes": 20},
        ),
        ({"device_name": "a GPU that tells nothing"}, {"limit": "this machine's memory"}),
    ],
)
def test_a_gpus_limit_is_what_mlx_tells_of_it(
    told: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    monkeypatch.setattr(mx, "device_info", lambda: told)
    facts = device()
    assert {key: facts[key] for key in expected} == expected
    assert ("GPU-1" in facts["device"]) == ("uuid" in told)


@pytest.mark.parametrize(
    "kind", ["llama", "gpt_oss", "deepseek_v32", "longcat_flash", "qwen3_5", "gemma4_text"]
)
def test_ranks_find_the_caches_that_the_anatomy_foretells(kind: str) -> None:
    config = tiny_config(kind)
    foretold = rank_sizes(anatomy(config), layout(anatomy(config), 1), "float32")[0].cache
    found = caches(build(tiny_config(kind), None, "float32"))
    assert found["kv_bytes_per_token"] == foretold.per_token
    assert [tuple(window) for window in found["windows"]] == list(foretold.windows)
    assert found["state_bytes"] == foretold.state_bytes
