"""Configs of architectures that keep a language model inside: whose it is, and what differs there."""

from __future__ import annotations

from typing import Any

from tests.architectures.common import SLIDING
from tests.architectures.dense import ROPE
from tests.architectures.mixed import KDA

# By name: the module and the class of the inner config, and values of its own.
TEXT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gemma3": ("gemma3_text", "ModelArgs", {}),
    "gemma3n": (
        "gemma3n",
        "TextConfig",
        {
            "num_hidden_layers": 6,
            "num_kv_shared_layers": 2,
            "vocab_size_per_layer_input": 95,
            "rope_local_base_freq": 10000.0,
            "final_logit_softcapping": 30.0,
            "layer_types": [
                "sliding_attention",
                "full_attention",
                "sliding_attention",
                "full_attention",
                "sliding_attention",
                "full_attention",
            ],
            "activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
            "hidden_size_per_layer_input": 16,
            "altup_num_inputs": 2,
            "altup_coef_clip": 120.0,
            "altup_correct_scale": True,
            "altup_active_idx": 0,
            "laurel_rank": 8,
        },
    ),
    "gemma4": ("gemma4_text", "ModelArgs", {}),
    "kimi_k25": ("deepseek_v3", "ModelArgs", {}),
    "kimi_k3": (
        "kimi_k3",
        "TextArgs",
        {
            **KDA,
            "num_key_value_heads": 4,
            "attn_res_block_size": 2,
            "mla_use_output_gate": True,
            "routed_expert_hidden_size": 32,
            "latent_moe_use_norm": True,
            "activation_situ_beta": 1.0,
            "activation_situ_linear_beta": 1.0,
        },
    ),
    "kimi_vl": ("kimi_vl", "TextArgs", {}),
    "lfm2-vl": ("lfm2", "ModelArgs", {}),
    "llama4": (
        "llama4",
        "TextArgs",
        {
            "attention_chunk_size": 8,
            "interleave_moe_layer_step": 2,
            "intermediate_size_mlp": 128,
            "num_experts_per_tok": 1,
            "rope_scaling": None,
            "use_qk_norm": True,
        },
    ),
    "minimax_m3_vl": (
        "minimax_m3_vl",
        "TextArgs",
        {
            "dense_intermediate_size": 128,
            "intermediate_size": 32,
            "mlp_layer_types": ["dense", "sparse", "sparse", "dense", "sparse"],
            "layer_types": [
                "full_attention",
                "minimax_m3_sparse",
                "full_attention",
                "minimax_m3_sparse",
                "minimax_m3_sparse",
            ],
            "index_block_size": 4,
            "index_topk_blocks": 2,
            "index_n_heads": 2,
        },
    ),
    "mistral3": ("ministral3", "ModelArgs", {}),
    "muse_spark": (
        "muse_spark",
        "TextArgs",
        {
            "post_norm_eps": 1e-5,
            "rope_parameters": ROPE,
            "layer_rope_theta": [10000.0, 0.0, 10000.0, 10000.0, 0.0],
            "layer_types": SLIDING,
            "final_logit_softcapping": 30.0,
            "output_multiplier": 1.0,
            "moe_hidden_size": 32,
            "num_shared_experts": 0,
            "qk_scale_factor": 1.0,
        },
    ),
    "pixtral": ("llama", "ModelArgs", {}),
    "prism_hadamard_qwen35": (
        "qwen3_5",
        "TextModelArgs",
        {
            "hidden_size": 128,
            "intermediate_size": 512,
            "head_dim": 32,
            "attention_bias": False,
            "num_experts": 0,
            "num_hidden_layers": 4,
        },
    ),
    "qwen2_vl": ("qwen2", "ModelArgs", {}),
    "qwen3_5": ("qwen3_5", "TextModelArgs", {"num_experts": 0}),
    "qwen3_5_moe": ("qwen3_5", "TextModelArgs", {}),
    "qwen3_vl": ("qwen3", "ModelArgs", {}),
    "qwen3_vl_moe": ("qwen3_moe", "ModelArgs", {}),
}


def _packed(path: str, block: int) -> dict[str, Any]:
    return {"path": path, "block": block, "embedding": "embed" in path, "dtype": "float16"}


# What the outer config has beside the inner one.
WRAPPED: dict[str, dict[str, Any]] = {
    "muse_spark": {"audio_config": {"out_hidden_size": 64}},  # transformers looks at it
    "prism_hadamard_qwen35": {
        "schema_version": 1,
        "tensor_namespace": "mlx-lm-text",
        "quantization": {"bits": 2, "group_size": 128, "mode": "affine"},
        "modules": [
            _packed("model.embed_tokens", 0),
            *(_packed(f"model.layers.{layer}.mlp.down_proj", 512) for layer in range(4)),
            *(_packed(f"model.layers.{layer}.mlp.up_proj", 0) for layer in range(4)),
            _packed("model.layers.2.self_attn.q_proj", 0),
        ],
    },
}
