"""Mixtures of experts with grouped-query attention: Qwen3's, GPT-OSS, GLM 4.5 to 4.7, MiniMax M2."""

from __future__ import annotations

from kernelkit.sharding.anatomies.fields import FULL, SLIDING, Fields
from kernelkit.sharding.anatomies.parts import (
    ROUTER_BITS,
    block_norms,
    corrections,
    glu,
    grouped,
    norm,
    projections,
    stack,
    vector,
    whole,
)
from kernelkit.sharding.anatomy import Anatomy, Layer, Matrix
from kernelkit.sharding.pieces import COLUMN


def raw_router(path: str, experts: int, hidden: int) -> tuple[Matrix, ...]:
    """One that is no linear module, and so is never packed, with what corrects its scores."""
    return Matrix(path, experts, hidden, quantizable=False), corrections(path, experts)


def qwen3_moe(fields: Fields) -> Anatomy:
    """Every layer, or every second and so on, has experts in place of one MLP."""
    hidden, head_dim = fields.number("hidden_size"), fields.number("head_dim")
    heads, kv_heads = fields.number("num_attention_heads"), fields.kv_heads
    experts, step = fields.count("num_experts"), fields.number("decoder_sparse_step", 1)
    alone = set(fields.items("mlp_only_layers") or ())

    def layer(sparse: bool) -> Layer:
        if sparse:
            mlp: tuple[Matrix, ...] = (
                Matrix("mlp.gate", experts, hidden, own_bits=ROUTER_BITS),
                *glu(
                    "mlp.switch_mlp",
                    hidden,
                    fields.number("moe_intermediate_size"),
                    experts=experts,
                    used=fields.number("num_experts_per_tok"),
                ),
            )
        else:
            mlp = glu("mlp", hidden, fields.number("intermediate_size"))
        norms = norm("self_attn.q_norm", head_dim), norm("self_attn.k_norm", head_dim)
        attention = projections(hidden, heads, kv_heads, head_dim)
        return Layer(
            "moe" if sparse else "dense",
            (*block_norms(hidden), *attention, *norms, *mlp),
            grouped(heads, kv_heads, head_dim),
        )

    sparse = (
        experts > 0 and index not in alone and (index + 1) % step == 0
        for index in range(fields.number("num_hidden_layers"))
    )
    return whole(fields, stack(sparse, layer), fields.flag("tie_word_embeddings"))


def gpt_oss(fields: Fields) -> Anatomy:
    """Every second layer has a window, each head a sink, and every matrix a bias."""
    hidden, head_dim = fields.number("hidden_size"), fields.head_dim
    heads, kv_heads = fields.number("num_attention_heads"), fields.kv_heads
    experts, used = fields.number("num_local_experts"), fields.number("num_experts_per_tok")
    size, window = fields.number("intermediate_size"), fields.number("sliding_window")

    def layer(kind: str) -> Layer:
        return Layer(
            "moe" if kind == FULL else "moe sliding",
            (
                *block_norms(hidden),
                *projections(hidden, heads, kv_heads, head_dim, bias=True),
                vector("self_attn", "sinks", heads, cut=COLUMN, deals="heads"),
                Matrix("mlp.router", experts, hidden, bias=True, own_bits=ROUTER_BITS),
                *glu("mlp.experts", hidden, size, bias=True, experts=experts, used=used),
            ),
            grouped(heads, kv_heads, head_dim, None if kind == FULL else window),
        )

    layers = fields.number("num_hidden_layers")
    kinds = fields.kinds(layers, ([SLIDING, FULL] * (layers // 2 + 1))[:layers])
    return whole(fields, stack(kinds, layer))


def glm4_moe(fields: Fields) -> Anatomy:
    """The first layers have one MLP, all others experts and a shared one."""
    hidden, head_dim = fields.number("hidden_size"), fields.head_dim
    heads, kv_heads = fields.number("num_attention_heads"), fields.kv_heads
    first, size = fields.count("first_k_dense_replace"), fields.number("moe_intermediate_size")
    bias = fields.flag("attention_bias")

    def layer(sparse: bool) -> Layer:
        experts = fields.count("n_routed_experts")
        shared = fields.count("n_shared_experts")
        if sparse:
            used = fields.number("num_experts_per_tok")
            mlp: tuple[Matrix, ...] = (
                *raw_router("mlp.gate", experts, hidden),
                *glu("mlp.switch_mlp", hidden, size, experts=experts, used=used),
                *(glu("mlp.shared_experts", hidden, size * shared) if shared else ()),
            )
        else:
            mlp = glu("mlp", hidden, fields.number("intermediate_size"))
        norms = norm("self_attn.q_norm", head_dim), norm("self_attn.k_norm", head_dim)
        attention = projections(hidden, heads, kv_heads, head_dim, bias=bias, o_bias=False)
        return Layer(
            "moe" if sparse else "dense",
            (*block_norms(hidden), *attention, *(norms * fields.flag("use_qk_norm")), *mlp),
            grouped(heads, kv_heads, head_dim),
        )

    sparse = (index >= first for index in range(fields.number("num_hidden_layers")))
    return whole(fields, stack(sparse, layer))


def minimax(fields: Fields) -> Anatomy:
    """MiniMax M2: queries and keys are normed over all heads at once, which takes all_sums of its own."""
    hidden, head_dim = fields.number("hidden_size"), fields.head_dim
    heads, kv_heads = fields.number("num_attention_heads"), fields.kv_heads
    experts, used = fields.number("num_local_experts"), fields.number("num_experts_per_tok")
    normed = fields.flag("use_qk_norm", True)
    wide = {"cut": COLUMN, "unit": head_dim}
    layer = Layer(
        "moe",
        (
            *block_norms(hidden),
            *projections(hidden, heads, kv_heads, head_dim),
            *(
                vector("self_attn.q_norm", "weight", heads * head_dim, deals="heads", **wide),
                vector("self_attn.k_norm", "weight", kv_heads * head_dim, deals="kv_heads", **wide),
            )
            * normed,
            Matrix("block_sparse_moe.gate", experts, hidden, own_bits=ROUTER_BITS),
            corrections("block_sparse_moe", experts),
            *glu(
                "block_sparse_moe.switch_mlp",
                hidden,
                fields.number("intermediate_size"),
                experts=experts,
                used=used,
            ),
        ),
        grouped(heads, kv_heads, head_dim),
        small_reduces=2 * normed,
    )
    layers = (layer,) * fields.number("num_hidden_layers")
    return whole(fields, layers, fields.flag("tie_word_embeddings"))


def mixtral(fields: Fields) -> Anatomy:
    """mlx-lm does not cut it."""
    hidden, heads, kv_heads = (
        fields.number("hidden_size"),
        fields.number("num_attention_heads"),
        fields.kv_heads,
    )
    experts, used = fields.number("num_local_experts", 8), fields.number("num_experts_per_tok", 2)
    head_dim, size = hidden // heads, fields.number("intermediate_size")
    layer = Layer(
        "moe",
        (
            *block_norms(hidden),
            *projections(hidden, heads, kv_heads, head_dim),
            Matrix("block_sparse_moe.gate", experts, hidden),
            *glu("block_sparse_moe.switch_mlp", hidden, size, experts=experts, used=used),
        ),
        grouped(heads, kv_heads, head_dim),
    )
    layers = (layer,) * fields.number("num_hidden_layers")
    return whole(fields, layers, fields.flag("tie_word_embeddings"), cuts="none")


def qwen2_moe(fields: Fields) -> Anatomy:
    """Experts and a shared one with a gate of its own; mlx-lm does not cut it."""
    hidden, heads, kv_heads = (
        fields.number("hidden_size"),
        fields.number("num_attention_heads"),
        fields.kv_heads,
    )
    experts, used = fields.number("num_experts"), fields.number("num_experts_per_tok")
    head_dim, shared = hidden // heads, fields.number("shared_expert_intermediate_size")
    size = fields.number("moe_intermediate_size")
    layer = Layer(
        "moe",
        (
            *block_norms(hidden),
            *projections(hidden, heads, kv_heads, head_dim, bias=True, o_bias=False),
            Matrix("mlp.gate", experts, hidden),
            *glu("mlp.switch_mlp", hidden, size, experts=experts, used=used),
            *glu("mlp.shared_expert", hidden, shared),
            Matrix("mlp.shared_expert_gate", 1, hidden),
        ),
        grouped(heads, kv_heads, head_dim),
    )
    return whole(fields, (layer,) * fields.number("num_hidden_layers"), cuts="none")
