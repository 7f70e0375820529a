"""Configs of architectures whose layers are attention and a dense MLP: full, sliding, shared or looped."""

from __future__ import annotations

from typing import Any

from tests.architectures.common import LAYERS, SLIDING

ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
ROPES = {"sliding_attention": ROPE, "full_attention": {**ROPE, "partial_rotary_factor": 0.5}}
# Ministral's: scales queries from a position on that the prompts pass.
SCALED_ROPE: dict[str, Any] = {
    "rope_type": "yarn",
    "type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 16,
}
_GPT: dict[str, Any] = {"n_embd": 64, "n_head": 4, "n_layer": LAYERS, "n_positions": 512}

DENSE: dict[str, dict[str, Any]] = {
    "afm7": {
        "hidden_dim": 64,
        "num_layers": 6,
        "num_kv_reuse_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 2,
        "hidden_dim_scale_factor": 2.0,
    },
    "apertus": {"post_norm": False, "qk_norm": True},
    "baichuan_m1": {
        "sliding_window_layers": [0, 2, 3],
        "conv_window": 2,
        "num_swa_attention_heads": 4,
        "num_swa_key_value_heads": 2,
    },
    "cohere": {"use_qk_norm": True, "logit_scale": 1.0},
    "cohere2": {"sliding_window_pattern": 3, "logit_scale": 1.0},
    "exaone": {"num_layers": LAYERS},
    # transformers, which reads the config for the tokenizer, cannot read the pattern.
    "exaone4": {
        "sliding_window_pattern": "LGLLG",
        "layer_types": SLIDING,
        "rope_scaling": None,
    },
    "gear": {
        "layer_types": [
            "conv_mixer",
            "sliding_attention",
            "full_attention",
            "conv_mixer",
            "sliding_attention",
            "full_attention",
        ],
        "num_hidden_layers": 6,
        "conv_L_cache": 3,
    },
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3_text": {"sliding_window_pattern": 3, "query_pre_attn_scalar": 16},
    "gemma4_text": {
        "layer_types": [
            "sliding_attention",
            "full_attention",
            "sliding_attention",
            "full_attention",
            "sliding_attention",
            "full_attention",
        ],
        "num_hidden_layers": 6,
        "num_kv_shared_layers": 2,
        "global_head_dim": 32,
        "num_global_key_value_heads": 1,
        "vocab_size_per_layer_input": 95,
        "hidden_size_per_layer_input": 16,
        "enable_moe_block": True,
        "top_k_experts": 2,
        "rope_parameters": ROPES,
    },
    "gpt2": {**_GPT, "n_ctx": 512},
    "gpt_bigcode": {**_GPT, "n_inner": 128},
    "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.5},
    "gptj": {**_GPT, "rotary_dim": 8},
    "granite": {
        "logits_scaling": 1.0,
        "attention_multiplier": 0.25,
        "embedding_multiplier": 2.0,
        "residual_multiplier": 0.8,
    },
    "internlm3": {"qkv_bias": True},
    "iquestloopcoder": {"loop_window_size": 8},
    "lille-130m": {
        "block_size": 512,
        "n_embd": 64,
        "n_head": 4,
        "n_kv_heads": 2,
        "n_layer": LAYERS,
    },
    "llama": {"layer_types": SLIDING},
    "minicpm": {"dim_model_base": 32, "scale_depth": 1.4, "scale_emb": 2.0},
    "minicpm3": {
        "dim_model_base": 32,
        "scale_depth": 1.4,
        "scale_emb": 2.0,
        "rope_scaling": {"original_max_position_embeddings": 512, "short_factor": 1.0, "long_factor": 1.0},
    },
    "ministral3": {"layer_types": SLIDING, "rope_parameters": SCALED_ROPE},
    "muse_glimmer": {"layer_types": SLIDING, "qk_scale_factor": 1.0, "output_multiplier": 1.0},
    "nanbeige": {"num_loops": 2},
    "nemotron": {"hidden_act": "relu2"},
    "nemotron-nas": {
        "block_configs": [
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 0.5}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
            {"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 1.0}},
            {"attention": {"n_heads_in_group": 1}, "ffn": {"replace_with_linear": True}},
        ],
    },
    "olmo3": {"layer_types": SLIDING},
    "openelm": {
        "num_transformer_layers": LAYERS,
        "model_dim": 64,
        "ffn_dim_divisor": 16,
        "num_query_heads": [4, 4, 8, 8, 4],
        "num_kv_heads": [2, 2, 4, 2, 1],
        "ffn_multipliers": [1.0, 1.5, 2.0, 2.5, 3.0],
    },
    "phi3": {"original_max_position_embeddings": 512, "partial_rotary_factor": 1.0},
    "phi3small": {
        "vocab_size": 100352,  # it silences certain tokens, by number
        "hidden_size": 32,
        "dense_attention_every_n_layers": 2,
        "ff_intermediate_size": 128,
        "gegelu_limit": 20.0,
        "blocksparse_block_size": 32,
        "blocksparse_num_local_blocks": 1,
        "blocksparse_vert_stride": 2,
        "mup_embedding_multiplier": 2.0,
        "mup_width_multiplier": 1.0,
    },
    "plamo": {"n_shared_head": 2},
    "plamo3": {"sliding_window_pattern": 3, "window_size": 8},
    "qwen": {"kv_channels": 16},
    "smollm3": {"layer_types": SLIDING, "no_rope_layer_interval": 2},
    "spark2_5": {"layer_types": SLIDING, "rope_parameters": ROPES},
    "stablelm": {"use_qkv_bias": True, "qk_layernorm": True},
}
