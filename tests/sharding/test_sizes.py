"""Bytes of weights by each spelling of a quantization, and of KV caches by the papers' formulae."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.quantization import Packing, Quantization, config_quantization, parse_quantization
from kernelkit.sharding.sizes import activation_bytes, kv_bytes, weight_bytes
from tests.architectures import tiny
from tests.sharding.configs import LLAMA_70B

QWEN3_235B = {
    "model_type": "qwen3_moe",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "moe_intermediate_size": 1536,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "vocab_size": 129280,
}


@pytest.mark.parametrize(
    ("config", "billions", "per_token"),
    [
        # Llama 3's paper: 8 KV heads of 128 in 80 layers; 70.6e9 parameters.
        (LLAMA_70B, 70.55, 2 * 80 * 8 * 128 * 2),
        # Qwen3's report: 94 layers of 4 KV heads; 235e9.
        (QWEN3_235B, 235.1, 2 * 94 * 4 * 128 * 2),
        # DeepSeek V3's report: a compressed vector of 512 and 64 rotary values in 61 layers; 671e9.
        (DEEPSEEK_V3, 671.0, 61 * (512 + 64) * 2),
    ],
)
def test_the_papers_figures(config: dict[str, Any], billions: float, per_token: int) -> None:
    model = anatomy(config)
    assert model.parameters / 1e9 == pytest.approx(billions, rel=0.001)
    assert kv_bytes(model, 1) == per_token
    assert kv_bytes(model, 4096, batch=3) == 3 * 4096 * per_token


def test_experts_are_what_a_token_passes_through() -> None:
    model = anatomy(DEEPSEEK_V3)
    active = sum(m.parameters * m.used // m.experts for _, m in model.matrices())
    assert active / 1e9 == pytest.approx(37.5, rel=0.02)  # the report: 37e9, without the embedding


def test_a_window_and_its_sinks() -> None:
    model = anatomy(tiny.config("gpt_oss"))  # 3 of 5 layers have a window of 8
    per_layer_bytes = 2 * 2 * 16 * 2
    assert kv_bytes(model, 8) == 5 * 8 * per_layer_bytes
    assert kv_bytes(model, 100) == (3 * 8 + 2 * 100) * per_layer_bytes


def test_a_quantized_cache_has_scales_and_biases() -> None:
    model = anatomy(LLAMA_70B)
    values = 2 * 80 * 8 * 128
    assert kv_bytes(model, 10, kv_bits=8) == 10 * (values + values // 64 * 2 * 2)
    assert kv_bytes(model, 10, kv_bits=4, kv_group_size=32) == 10 * (values // 2 + values // 32 * 2 * 2)
    for kind in ("deepseek_v3", "gpt_oss"):
        with pytest.raises(ArgumentError, match="cannot be quantized"):
            kv_bytes(anatomy(tiny.config(kind)), 10, kv_bits=8, kv_group_size=32)
    with pytest.raises(ArgumentError, match="cannot be quantized"):  # heads of 16 in groups of 64
        kv_bytes(anatomy(tiny.config("llama") | {"layer_types": None}), 10, kv_bits=8)


@pytest.mark.parametrize(
    ("kv_bits", "tokens", "dtype"), [(7, 1, "bfloat16"), (None, -1, "bfloat16"), (None, 1, "int8")]
)
def test_no_such_cache(kv_bits: Any, tokens: int, dtype: str) -> None:
    with pytest.raises(ArgumentError):
        kv_bytes(anatomy(LLAMA_70B), tokens, kv_bits=kv_bits, dtype=dtype)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("4bit", 4.5),
        ("8bit", 8.5),
        ("4bit-gs32", 5),
        ("6-bit", 6.5),
        ("mxfp4", 4.25),
        ("mxfp8", 8.25),
        ("fp8", 8.25),
        ("nvfp4", 4.5),
        ("bf16", 16),
        ("fp16", 16),
        ("float32", 32),
        (None, 16),
        ({"bits": 3, "group_size": 128}, 3.25),
    ],
)
def test_bits_of_a_weight(name: Any, bits: float) -> None:
    model = anatomy(LLAMA_70B)  # norms stay as they are, and are next to nothing
    assert 8 * weight_bytes(model, name) / model.parameters == pytest.approx(bits, rel=0.0002)


def test_experts_may_be_packed_apart_and_routers_are_spared() -> None:
    model = anatomy(QWEN3_235B)
    how = parse_quantization("MXFP4-Q8")
    kinds = {
        matrix.path: how.of(f"model.layers.0.{matrix.path}", matrix) for matrix in model.layers[0].matrices
    }
    assert kinds["mlp.switch_mlp.up_proj"] == Packing(4, 32, "mxfp4")
    assert kinds["self_attn.q_proj"] == Packing(8, 64)
    assert kinds["self_attn.q_norm"] is None
    assert parse_quantization("4bit").of("model.layers.0.mlp.gate", model.layers[0].matrices[-4]) == Packing(
        8, 64
    )
    assert parse_quantization({"bits": 4}).of("mlp.gate", model.layers[0].matrices[-4]) == Packing(4, 64)
    assert parse_quantization(how) is how


@pytest.mark.parametrize(
    "what", ["", "7bit", "4bit-gs31", "q4", 4, {"bits": 4, "mode": "mxfp8"}, {"mode": "int4"}, "mxfp4-q9"]
)
def test_no_such_quantization(what: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_quantization(what)
    assert "4" in caught.value.expected


def test_a_checkpoints_own_word() -> None:
    assert config_quantization({"quantization": {"bits": 6, "group_size": 64}}).default == Packing(6, 64)
    assert config_quantization({}) == Quantization()
    blocks = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    assert config_quantization({"quantization_config": blocks}) == Quantization()
    packed = {"quant_method": "compressed-tensors"}
    packed["config_groups"] = {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}}  # type: ignore[assignment]
    found = config_quantization({"text_config": {"quantization_config": packed}})
    assert (found.default, found.experts) == (None, Packing(4, 32))
    assert config_quantization({"quantization_config": {"quant_method": "mxfp4"}}).experts == Packing(
        4, 32, "mxfp4"
    )
    with pytest.raises(ArgumentError, match="bitnet"):
        config_quantization({"quantization_config": {"quant_method": "bitnet"}})


def test_activations_grow_with_a_piece_of_the_prompt_and_shrink_with_the_ranks() -> None:
    model = anatomy(LLAMA_70B)
    short, piece, long = (activation_bytes(model, tokens) for tokens in (10, 2048, 8192))
    assert 0 < short < piece == long == 2048 * (4 * 8192 + 3 * 28672) * 2
    assert activation_bytes(model, 8192, parts=2) == 2048 * (4 * 8192 + 3 * 14336) * 2
