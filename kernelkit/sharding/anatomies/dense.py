"""Llama and its kin: grouped-query attention and one MLP in each layer."""

from __future__ import annotations

from kernelkit.sharding.anatomies.fields import SLIDING, Fields
from kernelkit.sharding.anatomies.parts import block_norms, glu, grouped, norm, projections, stack, whole
from kernelkit.sharding.anatomy import Anatomy, Cuts, Layer, Matrix


def llama(fields: Fields) -> Anatomy:
    """Also mistral's; layers may have a sliding window."""
    bias = fields.flag("attention_bias")
    return _dense(fields, qkv_bias=bias, o_bias=bias, mlp_bias=fields.flag("mlp_bias"), slides=True)


def ministral3(fields: Fields) -> Anatomy:
    """A llama without biases."""
    return _dense(fields, slides=True)


def qwen2(fields: Fields) -> Anatomy:
    """Its size of a head goes by the hidden size, whatever else its config says."""
    return _dense(Fields({**fields.config, "head_dim": None}, fields.path, fields.left_out), qkv_bias=True)


def qwen3(fields: Fields) -> Anatomy:
    """Its queries and keys are normed head by head."""
    return _dense(fields, head_norms=True)


def smollm3(fields: Fields) -> Anatomy:
    """A llama that mlx-lm does not cut, and whose layers keep all tokens."""
    bias = fields.flag("attention_bias")
    return _dense(fields, qkv_bias=bias, o_bias=bias, mlp_bias=fields.flag("mlp_bias"), cuts="none")


def seed_oss(fields: Fields) -> Anatomy:
    """A llama that mlx-lm does not cut, with a word of its own on the output's bias."""
    return _dense(
        fields,
        qkv_bias=fields.flag("attention_bias"),
        o_bias=fields.flag("attention_out_bias"),
        mlp_bias=fields.flag("mlp_bias"),
        cuts="none",
    )


def phi3(fields: Fields) -> Anatomy:
    """Queries, keys and values are one matrix, gate and up another."""
    hidden, heads, kv_heads = (
        fields.number("hidden_size"),
        fields.number("num_attention_heads"),
        fields.kv_heads,
    )
    head_dim, mlp = hidden // heads, fields.number("intermediate_size")
    layer = Layer(
        "dense",
        (
            *block_norms(hidden),
            Matrix("self_attn.qkv_proj", (heads + 2 * kv_heads) * head_dim, hidden),
            Matrix("self_attn.o_proj", hidden, heads * head_dim),
            *fused_glu("mlp", hidden, mlp),
        ),
        grouped(heads, kv_heads, head_dim),
    )
    layers = (layer,) * fields.number("num_hidden_layers")
    return whole(fields, layers, fields.flag("tie_word_embeddings"), cuts="none")


def glm4(fields: Fields) -> Anatomy:
    """Norms before and after; gate and up are one matrix."""
    hidden, head_dim = fields.number("hidden_size"), fields.head_dim
    heads, kv_heads, bias = (
        fields.number("num_attention_heads"),
        fields.kv_heads,
        fields.flag("attention_bias"),
    )
    layer = Layer(
        "dense",
        (
            *block_norms(hidden),
            norm("post_self_attn_layernorm", hidden),
            norm("post_mlp_layernorm", hidden),
            *projections(hidden, heads, kv_heads, head_dim, bias=bias, o_bias=False),
            *fused_glu("mlp", hidden, fields.number("intermediate_size")),
        ),
        grouped(heads, kv_heads, head_dim),
    )
    return whole(fields, (layer,) * fields.number("num_hidden_layers"), cuts="none")


def fused_glu(path: str, hidden: int, size: int) -> tuple[Matrix, ...]:
    """An MLP whose gate and up are one matrix."""
    return Matrix(f"{path}.gate_up_proj", 2 * size, hidden), Matrix(f"{path}.down_proj", hidden, size)


def _dense(
    fields: Fields,
    *,
    qkv_bias: bool = False,
    o_bias: bool = False,
    mlp_bias: bool = False,
    head_norms: bool = False,
    slides: bool = False,
    cuts: Cuts = "any",
) -> Anatomy:
    hidden, mlp = fields.number("hidden_size"), fields.number("intermediate_size")
    heads, kv_heads, head_dim = fields.number("num_attention_heads"), fields.kv_heads, fields.head_dim

    def layer(kind: str) -> Layer:
        sliding = slides and kind == SLIDING
        return Layer(
            "dense sliding" if sliding else "dense",
            (
                *block_norms(hidden),
                *projections(hidden, heads, kv_heads, head_dim, bias=qkv_bias, o_bias=o_bias),
                *((norm("self_attn.q_norm", head_dim), norm("self_attn.k_norm", head_dim)) * head_norms),
                *glu("mlp", hidden, mlp, mlp_bias),
            ),
            grouped(heads, kv_heads, head_dim, fields.number("sliding_window") if sliding else None),
        )

    layers = fields.number("num_hidden_layers")
    kinds = fields.kinds(layers) if slides else ["full"] * layers
    return whole(fields, stack(kinds, layer), fields.flag("tie_word_embeddings", True), cuts=cuts)
