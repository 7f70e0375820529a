"""Configs of architectures with a state in place of a cache: mamba, linear attention, convolutions, RWKV."""

from __future__ import annotations

from typing import Any

from tests.architectures.common import LAYERS

KDA: dict[str, Any] = {
    "linear_attn_config": {
        "kda_layers": [1, 2, 4, 5],
        "full_attn_layers": [3, 6],
        "num_heads": 4,
        "head_dim": 16,
        "short_conv_kernel_size": 4,
    },
    "num_hidden_layers": 6,
}
_GROUPS: dict[str, Any] = {"layer_group_size": 2, "group_norm_size": 2, "num_key_value_heads": 4}

MIXED: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {**_GROUPS, "num_hidden_layers": 6},
    "bailing_moe_linear": {**_GROUPS, "num_hidden_layers": 6},
    "bailing_moe_v3": {"layer_group_size": 2, "num_hidden_layers": 6},
    "falcon_h1": {
        "mamba_d_head": 16,
        "mamba_d_ssm": 64,
        "mamba_d_state": 16,
        "mamba_n_groups": 2,
        "mamba_n_heads": 4,
        "mamba_chunk_size": 8,
    },
    "granitemoehybrid": {
        "layer_types": ["mamba", "mamba", "attention", "mamba", "attention"],
        "embedding_multiplier": 2.0,
        "attention_multiplier": 0.25,
        "logits_scaling": 1.0,
        "residual_multiplier": 0.8,
        "mamba_n_heads": 4,
        "mamba_d_head": 32,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_n_groups": 2,
        "mamba_proj_bias": True,
        "mamba_conv_bias": True,
    },
    "jamba": {
        "num_hidden_layers": 6,
        "attn_layer_offset": 1,
        "attn_layer_period": 3,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_d_conv": 4,
        "mamba_d_state": 16,
        "mamba_expand": 2,
    },
    "kimi_linear": {**KDA, "model_max_length": 512},
    "lfm2": {
        "layer_types": ["conv", "conv", "full_attention", "conv", "full_attention"],
        "conv_bias": True,
        "conv_L_cache": 3,
        "block_dim": 64,
        "block_multiple_of": 32,
        "block_ff_dim": 128,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
    },
    "lfm2_moe": {
        "layer_types": ["conv", "conv", "full_attention", "conv", "full_attention"],
        "conv_bias": True,
        "conv_L_cache": 3,
        "use_expert_bias": True,
        "num_dense_layers": 2,
    },
    "mamba": {"state_size": 16, "conv_kernel": 4, "use_conv_bias": True, "time_step_rank": 8},
    "mamba2": {
        "num_heads": 8,
        "state_size": 16,
        "conv_kernel": 4,
        "n_groups": 2,
        "use_conv_bias": True,
        "time_step_limit": [0.001, 100.0],
        "time_step_rank": 8,
    },
    "nemotron_h": {
        "hybrid_override_pattern": ["M", "*", "-", "M", "E", "*"],
        "num_hidden_layers": 6,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "mamba_proj_bias": False,
        "ssm_state_size": 16,
        "conv_kernel": 4,
        "n_groups": 2,
        "use_conv_bias": True,
        "time_step_limit": [0.001, 100.0],
    },
    "olmo_hybrid": {
        "layer_types": [
            "linear_attention",
            "full_attention",
            "linear_attention",
            "linear_attention",
            "full_attention",
        ],
        "linear_allow_neg_eigval": True,
    },
    "plamo2": {
        "hidden_size_per_head": 16,
        "attention_window_size": 8,
        "mamba_d_state": 16,
        "mamba_num_heads": 4,
        "mamba_chunk_size": 8,
    },
    "recurrent_gemma": {
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "attention_window_size": 8,
        "num_key_value_heads": 1,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "rwkv7": {
        "a_low_rank_dim": 8,
        "v_low_rank_dim": 8,
        "gate_low_rank_dim": 8,
        "decay_low_rank_dim": 8,
        "num_hidden_layers": LAYERS,
    },
}
