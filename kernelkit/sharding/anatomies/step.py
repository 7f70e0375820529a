"""Step 3.5: windows with more heads than full attention, gates of heads, experts by a list of layers."""

from __future__ import annotations

from kernelkit.errors import ArgumentError
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
from kernelkit.sharding.anatomy import Anatomy, Layer, Matrix
from kernelkit.sharding.pieces import COLUMN


def step3p5(fields: Fields) -> Anatomy:
    """Step 3.5 Flash."""
    layers, hidden = fields.number("num_hidden_layers"), fields.number("hidden_size")
    head_dim, window = fields.number("head_dim"), fields.number("sliding_window", 512)
    full = fields.number("num_attention_heads"), fields.number("num_attention_groups")
    other = fields.config.get("attention_other_setting")
    sliding = full
    if other:
        more = Fields(other)
        sliding = more.number("num_attention_heads"), more.number("num_attention_groups")
    gated = fields.flag("use_head_wise_attn_gate", True)

    def layer(kind: tuple[str, bool]) -> Layer:
        slides, sparse = kind[0] == SLIDING, kind[1]
        heads, kv_heads = sliding if slides else full
        mlp = _experts(fields, hidden) if sparse else glu("mlp", hidden, fields.number("intermediate_size"))
        gate = Matrix("self_attn.g_proj", heads, hidden, COLUMN, deals="heads")
        return Layer(
            f"{'moe' if sparse else 'dense'}{' sliding' if slides else ''}",
            (
                *block_norms(hidden),
                *projections(hidden, heads, kv_heads, head_dim),
                norm("self_attn.q_norm", head_dim),
                norm("self_attn.k_norm", head_dim),
                *((gate,) if gated else ()),
                *mlp,
            ),
            grouped(heads, kv_heads, head_dim, window if slides else None),
        )

    kinds = fields.kinds(layers, [SLIDING if at % 2 == 0 else FULL for at in range(layers)])
    sparse = _sparse(fields, layers)
    return whole(
        fields,
        stack([(kind, at in sparse) for at, kind in enumerate(kinds)], layer),
        fields.flag("tie_word_embeddings"),
    )


def _sparse(fields: Fields, layers: int) -> set[int]:
    listed = fields.config.get("moe_layers_enum")
    if not listed:
        return set(range(1, layers))
    try:
        return {int(number) for number in str(listed).split(",")}
    except ValueError as error:
        raise ArgumentError(
            "the config's moe_layers_enum is no list", expected="3,4,5", got=repr(listed)[:80]
        ) from error


def _experts(fields: Fields, hidden: int) -> tuple[Matrix, ...]:
    experts, size = fields.number("moe_num_experts", 288), fields.number("moe_intermediate_size", 1280)
    return (
        Matrix("mlp.gate.gate", experts, hidden, own_bits=ROUTER_BITS),
        vector("mlp.gate", "router_bias", experts, float32=True),
        *glu("mlp.switch_mlp", hidden, size, experts=experts, used=fields.number("moe_top_k", 8)),
        *glu("mlp.share_expert", hidden, fields.number("share_expert_dim", 1280)),
    )
