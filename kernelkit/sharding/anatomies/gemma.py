"""Gemma 3 and 4: windows, shared caches, experts beside an MLP, inputs of each layer's own."""

from __future__ import annotations

from kernelkit.sharding.anatomies.fields import FULL, SLIDING, Fields
from kernelkit.sharding.anatomies.parts import (
    ROUTER_BITS,
    block_norms,
    glu,
    grouped,
    norm,
    projections,
    stack,
    vector,
    whole,
)
from kernelkit.sharding.anatomy import Anatomy, Attention, Layer, Matrix

_FEEDFORWARD_NORMS = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
_EXPERT_NORMS = (
    "post_feedforward_layernorm_1",
    "post_feedforward_layernorm_2",
    "pre_feedforward_layernorm_2",
)


def gemma3_text(fields: Fields) -> Anatomy:
    """All layers but every sixth or so have a window; mlx-lm keeps a head of its own, and does not cut it."""
    hidden, head_dim = fields.number("hidden_size", 1152), fields.number("head_dim", 256)
    heads, kv_heads = fields.number("num_attention_heads", 4), fields.number("num_key_value_heads", 1)
    pattern, window = fields.number("sliding_window_pattern", 6), fields.number("sliding_window", 512)
    size = fields.number("intermediate_size", 6912)

    def layer(slides: bool) -> Layer:
        return Layer(
            f"dense{' sliding' if slides else ''}",
            (
                *block_norms(hidden),
                *(norm(name, hidden) for name in _FEEDFORWARD_NORMS),
                *projections(hidden, heads, kv_heads, head_dim),
                norm("self_attn.q_norm", head_dim),
                norm("self_attn.k_norm", head_dim),
                *glu("mlp", hidden, size),
            ),
            grouped(heads, kv_heads, head_dim, window if slides else None),
        )

    slides = ((at + 1) % pattern != 0 for at in range(fields.number("num_hidden_layers", 26)))
    return whole(fields, stack(slides, layer), cuts="none")


def gemma4_text(fields: Fields) -> Anatomy:
    """mlx-lm does not cut its layers."""
    layers = fields.number("num_hidden_layers", 35)
    pattern = fields.number("sliding_window_pattern", 5)
    kinds = fields.kinds(layers, [SLIDING if (at + 1) % pattern else FULL for at in range(layers)])
    first_shared = layers - fields.count("num_kv_shared_layers", 20)
    hidden, own = fields.number("hidden_size"), fields.count("hidden_size_per_layer_input", 256)

    def layer(kind: tuple[str, bool]) -> Layer:
        return _layer(fields, hidden, own, *kind)

    beside = (
        (
            Matrix(
                f"{fields.path}model.embed_tokens_per_layer",
                fields.number("vocab_size_per_layer_input", 262144),
                layers * own,
                looked_up=True,
            ),
            Matrix(f"{fields.path}model.per_layer_model_projection", layers * own, hidden),
            norm(f"{fields.path}model.per_layer_projection_norm", own),
        )
        if own
        else ()
    )
    return whole(
        fields,
        stack([(kind, at >= first_shared) for at, kind in enumerate(kinds)], layer),
        fields.flag("tie_word_embeddings", True),
        beside=beside,
        cuts="none",
    )


def _layer(fields: Fields, hidden: int, own: int, kind: str, shared: bool) -> Layer:
    wide = shared and fields.flag("use_double_wide_mlp", True)
    matrices, attention = _attention(fields, hidden, kind, shared)
    moe = fields.flag("enable_moe_block")
    return Layer(
        f"{'moe' if moe else 'dense'}{' sliding' if kind == SLIDING else ''}{' shared' if shared else ''}",
        (
            *block_norms(hidden),
            *(norm(name, hidden) for name in _FEEDFORWARD_NORMS),
            *matrices,
            *glu("mlp", hidden, fields.number("intermediate_size") * (2 if wide else 1)),
            *(_experts(fields, hidden) if moe else ()),
            *(_own_input(hidden, own) if own else ()),
            Matrix("", 1, None, array="layer_scalar", quantizable=False),
        ),
        attention,
    )


def _attention(fields: Fields, hidden: int, kind: str, shared: bool) -> tuple[tuple[Matrix, ...], Attention]:
    full = kind == FULL
    head_dim = fields.number("head_dim", 256)
    if full and (wider := fields.count("global_head_dim", 512)):
        head_dim = wider
    heads, kv_heads = fields.number("num_attention_heads", 8), fields.number("num_key_value_heads", 1)
    keys_alone = full and fields.flag("attention_k_eq_v")  # its values are its keys
    if keys_alone:
        kv_heads = fields.number("num_global_key_value_heads", kv_heads)
    rows = kv_heads * head_dim
    kept = (
        Matrix("self_attn.k_proj", rows, hidden),
        *(() if keys_alone else (Matrix("self_attn.v_proj", rows, hidden),)),
        norm("self_attn.k_norm", head_dim),
    )
    attention = Attention(
        "full" if full else "sliding",
        heads,
        0 if shared else kv_heads,
        head_dim,
        head_dim,
        head_dim,
        head_dim,
        None if full else fields.number("sliding_window", 512),
    )
    return (
        Matrix("self_attn.q_proj", heads * head_dim, hidden),
        *(() if shared else kept),
        Matrix("self_attn.o_proj", hidden, heads * head_dim),
        norm("self_attn.q_norm", head_dim),
    ), attention


def _experts(fields: Fields, hidden: int) -> tuple[Matrix, ...]:
    experts, used = fields.number("num_experts"), fields.number("top_k_experts")
    size = fields.number("moe_intermediate_size")
    return (
        Matrix("router.proj", experts, hidden, own_bits=ROUTER_BITS),
        vector("router", "scale", hidden),
        vector("router", "per_expert_scale", experts),
        *glu("experts.switch_glu", hidden, size, experts=experts, used=used),
        *(norm(name, hidden) for name in _EXPERT_NORMS),
    )


def _own_input(hidden: int, own: int) -> tuple[Matrix, ...]:
    return (
        Matrix("per_layer_input_gate", own, hidden),
        Matrix("per_layer_projection", hidden, own),
        norm("post_per_layer_input_norm", hidden),
    )
