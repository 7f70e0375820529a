"""Nemotron-H: each layer is one thing alone, a state space, attention, an MLP or experts."""

from __future__ import annotations

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies.experts import raw_router
from kernelkit.sharding.anatomies.fields import Fields
from kernelkit.sharding.anatomies.parts import Names, grouped, norm, projections, stack, vector, whole
from kernelkit.sharding.anatomy import Anatomy, Attention, Layer, Matrix

_LETTERS = {
    "full_attention": "*",
    "attention": "*",
    "linear_attention": "M",
    "mamba": "M",
    "conv": "M",
    "moe": "E",
    "mlp": "-",
}


def nemotron_h(fields: Fields) -> Anatomy:
    """mlx-lm does not cut its layers."""
    makers = {"M": _mamba, "*": _attention, "-": _mlp, "E": _moe}
    hidden = fields.number("hidden_size")

    def layer(letter: str) -> Layer:
        matrices, attention, kind = makers[letter](fields, hidden)
        return Layer(kind, (norm("norm", hidden), *matrices), attention, reduces=0)

    return whole(
        fields,
        stack(_pattern(fields), layer),
        names=Names("backbone.embeddings", "backbone.norm_f", "backbone.layers"),
        cuts="none",
    )


_Parts = tuple[tuple[Matrix, ...], Attention | None, str]


def _pattern(fields: Fields) -> list[str]:
    """A letter for each layer, as newer configs spell out."""
    pattern = fields.config.get("hybrid_override_pattern")
    words = fields.items("layers_block_type") or fields.items("layer_types")
    letters = [_LETTERS.get(str(word), "?") for word in words] if pattern is None and words else pattern
    if not letters or not isinstance(letters, list | str) or set(letters) - set(_LETTERS.values()):
        raise ArgumentError(
            "the config does not say what its layers are",
            expected="a hybrid_override_pattern of M, *, - and E, or layers_block_type",
            got=repr(pattern or words)[:80],
        )
    return list(letters)


def _mamba(fields: Fields, hidden: int) -> _Parts:
    heads, head_dim = fields.number("mamba_num_heads"), fields.number("mamba_head_dim")
    size, state = heads * head_dim, fields.number("ssm_state_size")
    mixed, kernel = size + 2 * fields.number("n_groups") * state, fields.number("conv_kernel")
    bias = fields.flag("mamba_proj_bias")
    conv_bias = fields.flag("use_conv_bias")
    matrices = (
        Matrix("mixer.conv1d", mixed, kernel, bias=conv_bias, conv=True, quantizable=False),
        Matrix("mixer.in_proj", size + mixed + heads, hidden, bias=bias),
        vector("mixer", "dt_bias", heads),
        vector("mixer", "A_log", heads, float32=True),
        vector("mixer", "D", heads),
        norm("mixer.norm", size),
        Matrix("mixer.out_proj", hidden, size, bias=bias),
    )
    kept = heads * head_dim * state
    numbers = (kernel - 1) * mixed + kept
    attention = Attention("state", heads, 0, 0, 0, 0, 0, state_numbers=numbers, float32_numbers=kept)
    return matrices, attention, "linear"


def _attention(fields: Fields, hidden: int) -> _Parts:
    heads, kv_heads, head_dim = fields.number("num_attention_heads"), fields.kv_heads, fields.head_dim
    bias = fields.flag("attention_bias")
    matrices = projections(hidden, heads, kv_heads, head_dim, bias=bias, path="mixer")
    return matrices, grouped(heads, kv_heads, head_dim), "attention"


def _two(path: str, inputs: int, size: int, bias: bool = False) -> tuple[Matrix, ...]:
    return (
        Matrix(f"{path}.up_proj", size, inputs, bias=bias),
        Matrix(f"{path}.down_proj", inputs, size, bias=bias),
    )


def _mlp(fields: Fields, hidden: int) -> _Parts:
    return _two("mixer", hidden, fields.number("intermediate_size"), fields.flag("mlp_bias")), None, "dense"


def _moe(fields: Fields, hidden: int) -> _Parts:
    """Experts of two matrices each, which may work on fewer numbers than pass from layer to layer."""
    experts, used = fields.number("n_routed_experts"), fields.number("num_experts_per_tok")
    size, bias = fields.number("moe_intermediate_size"), fields.flag("mlp_bias")
    latent = fields.count("moe_latent_size")
    inputs = latent or hidden
    matrices = [
        Matrix("mixer.switch_mlp.fc1", size, inputs, experts=experts, used=used),
        Matrix("mixer.switch_mlp.fc2", inputs, size, experts=experts, used=used),
        *raw_router("mixer.gate", experts, hidden),
    ]
    if fields.count("n_shared_experts"):
        shared = fields.number("moe_shared_expert_intermediate_size")
        matrices += _two("mixer.shared_experts", hidden, shared, bias)
    if latent:
        matrices += [
            Matrix("mixer.fc1_latent_proj", latent, hidden, bias=bias),
            Matrix("mixer.fc2_latent_proj", hidden, latent, bias=bias),
        ]
    return tuple(matrices), None, "moe"
