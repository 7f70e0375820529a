"""Configs of architectures with experts: dense and sparse layers, and attention of more than one kind."""

from __future__ import annotations

from typing import Any

from tests.architectures.common import LAYERS, SLIDING
from tests.architectures.dense import ROPE, ROPES, SCALED_ROPE

_ROUTING: dict[str, Any] = {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}
_SPARSE = ["dense", "sparse", "sparse", "dense", "sparse"]
_LONGCAT: dict[str, Any] = {
    "attention_method": "MLA",
    "zero_expert_type": "identity",
    "ffn_hidden_size": 128,
    "moe_topk": 2,
    "expert_ffn_hidden_size": 32,
    "zero_expert_num": 2,
    "num_layers": LAYERS,
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
    "router_bias": True,
}

EXPERTS: dict[str, dict[str, Any]] = {
    "afmoe": {"layer_types": SLIDING, "num_dense_layers": 2},
    "dbrx": {
        "d_model": 64,
        "n_heads": 4,
        "n_layers": LAYERS,
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
    },
    "deepseek": {"moe_layer_freq": 2},
    "deepseek_v2": {"topk_method": "group_limited_greedy", "rope_scaling": SCALED_ROPE},
    "deepseek_v41": {
        "o_groups": 2,
        "o_lora_rank": 16,
        "compress_ratios": [0, 2, 2, 2, 2],
        "kv_source_layer_ids": [1, 3],
        "index_source_layer_ids": [1, 3],
        "candidate_source_layer_id": 1,
        "candidate_topk_blocks": 2,
        "candidate_block_size": 2,
        "index_topk": 4,
        "hc_mult": 2,
        "rms_norm_eps": 1e-6,
    },
    "dots1": {"scoring_func": "noaux_tc"},
    "ernie4_5_moe": {
        "moe_num_experts": 4,
        "moe_layer_start_index": 1,
        "moe_layer_interval": 2,
        "moe_k": 2,
        "moe_num_shared_experts": 1,
    },
    "exaone_moe": {"layer_types": SLIDING, "is_moe_layer": [False, True, True, False, True]},
    "glm4_moe": {**_ROUTING, "rope_scaling": None, "use_qk_norm": True},
    "glm_moe_dsa": {**_ROUTING, "rope_parameters": ROPE, "rope_scaling": None},
    "gpt_oss": {"layer_types": SLIDING},
    "granitemoe": {
        "logits_scaling": 1.0,
        "attention_multiplier": 0.25,
        "embedding_multiplier": 2.0,
        "residual_multiplier": 0.8,
    },
    "hunyuan": {
        "moe_topk": [1, 2, 2, 1, 2],
        "num_shared_expert": [1, 1, 2, 1, 1],
        "moe_intermediate_size": [128, 64, 64, 32, 128],
        "use_mixed_mlp_moe": True,
        "use_qk_norm": True,
        "rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 2.0},
        "use_cla": True,
        "cla_share_factor": 2,
    },
    "laguna": {
        "layer_types": SLIDING,
        "mlp_layer_types": _SPARSE,
        "rope_parameters": ROPES,
        "num_attention_heads_per_layer": [4, 8, 4, 4, 8],
    },
    "llama4_text": {"intermediate_size_mlp": 128, "no_rope_layers": [1, 0, 1, 1, 0], "use_qk_norm": True},
    "longcat_flash": _LONGCAT,
    "longcat_flash_ngram": {
        **_LONGCAT,
        "ngram_vocab_size_ratio": 2,
        "emb_neighbor_num": 3,
        "emb_split_num": 2,
    },
    "mellum": {"layer_types": SLIDING, "rope_parameters": ROPES},
    "mimo_v2_flash": {
        **_ROUTING,
        "hybrid_layer_pattern": [0, 1, 1, 0, 1],
        "moe_layer_freq": [0, 1, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "sliding_window_size": 8,
        "layernorm_epsilon": 1e-5,
        "swa_rope_theta": 10000.0,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_head_dim": 16,
        "swa_v_head_dim": 16,
    },
    "minimax": {"rotary_dim": 8},
    "mistral4": {"rope_parameters": SCALED_ROPE, "rope_scaling": None},
    "phimoe": {
        "rope_scaling": {
            "short_mscale": 1.0,
            "long_mscale": 1.1,
            "short_factor": [1.0] * 8,
            "long_factor": [1.0] * 8,
        },
        "original_max_position_embeddings": 512,
    },
    "phixtral": {"num_vocab": 95, "model_dim": 64, "num_heads": 4, "num_layers": LAYERS, "rotary_dim": 8},
    "step3p5": {
        "layer_types": SLIDING,
        "num_attention_groups": 2,
        "attention_other_setting": {"num_attention_heads": 8, "num_attention_groups": 4},
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "share_expert_dim": 32,
        "moe_layers_enum": "1,2,4",
        "swiglu_limits": [0.0, 0.0, 4.0, 0.0, 4.0],
    },
}
