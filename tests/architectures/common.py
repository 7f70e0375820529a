"""What a field of a config means by its name, and how small it may be."""

from __future__ import annotations

from typing import Any

LAYERS = 5
SLIDING = [
    "sliding_attention",
    "full_attention",
    "sliding_attention",
    "sliding_attention",
    "full_attention",
]

VALUES: dict[str, Any] = {
    "vocab_size": 95,  # the tokenizer's characters; the model never says the end token
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "layer_norm_eps": 1e-5,
    "layer_norm_epsilon": 1e-5,
    "norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "sliding_window": 8,
    "tie_word_embeddings": False,
    "attention_bias": True,
    "mlp_bias": True,
    "use_bias": True,
    "bias": True,
    # experts
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "num_shared_experts": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "decoder_sparse_step": 2,
    "moe_layer_freq": 1,
    "n_group": 2,
    "topk_group": 1,
    "num_expert_group": 2,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.5,
    "mlp_only_layers": [],
    # latent attention
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "index_head_dim": 16,
    "index_n_heads": 4,
    "index_topk": 8,
    # linear attention
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 3,
    "partial_rotary_factor": 0.5,
}
