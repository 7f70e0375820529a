"""Gated delta nets, which keep a state, and attention in every fourth layer: Qwen3-Next, Qwen3.5 and 3.6."""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.sharding.anatomies.fields import Fields
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
from kernelkit.sharding.anatomy import Anatomy, Attention, Cuts, Layer, Matrix
from kernelkit.sharding.pieces import COLUMN, REPLICATED, ROW

_PATH = "linear_attn"


@dataclass(frozen=True)
class Delta:
    """The sizes of one gated delta net: key heads, each with so many value heads."""

    hidden: int
    keys: int
    ratio: int
    key_dim: int
    value_dim: int
    kernel: int

    @classmethod
    def of(cls, fields: Fields) -> Delta:
        """Read them from a config."""
        keys = fields.number("linear_num_key_heads")
        return cls(
            fields.number("hidden_size"),
            keys,
            fields.number("linear_num_value_heads") // keys,
            fields.number("linear_key_head_dim"),
            fields.number("linear_value_head_dim"),
            fields.number("linear_conv_kernel_dim"),
        )

    @property
    def mixed(self) -> int:
        """Numbers of query, key and values of one key head."""
        return 2 * self.key_dim + self.ratio * self.value_dim

    def column(self, name: str, unit: int) -> Matrix:
        """One with so many rows for each key head."""
        return Matrix(f"{_PATH}.{name}", self.keys * unit, self.hidden, COLUMN, unit=unit, deals="heads")

    def rest(self) -> tuple[Matrix, ...]:
        """All but the projections of the inputs."""
        rows, values = self.keys * self.mixed, self.ratio * self.value_dim
        return (
            Matrix(
                f"{_PATH}.conv1d",
                rows,
                self.kernel,
                COLUMN,
                unit=self.mixed,
                deals="heads",
                conv=True,
                quantizable=False,
            ),
            self._vector("dt_bias"),
            norm(f"{_PATH}.norm", self.value_dim),
            Matrix(f"{_PATH}.out_proj", self.hidden, self.keys * values, ROW, unit=values, deals="heads"),
        )

    def decay(self, float32: bool) -> Matrix:
        """The logarithms of each head's decay."""
        return self._vector("A_log", float32)

    def _vector(self, name: str, float32: bool = False) -> Matrix:
        heads, unit = self.keys * self.ratio, self.ratio
        return vector(_PATH, name, heads, cut=COLUMN, unit=unit, deals="heads", float32=float32)

    def attention(self) -> Attention:
        """The last steps of the convolution, and a matrix in float32 for each value head."""
        heads = self.keys * self.ratio
        matrices = heads * self.value_dim * self.key_dim
        state = (self.kernel - 1) * self.keys * self.mixed + matrices
        return Attention("state", heads, 0, 0, 0, 0, 0, state_numbers=state, float32_numbers=matrices)


def qwen3_next(fields: Fields) -> Anatomy:
    """Every fourth layer has gated attention; mlx-lm does not cut the others."""
    delta = Delta.of(fields)
    inputs = (
        delta.column("in_proj_qkvz", delta.mixed + delta.ratio * delta.value_dim),
        delta.column("in_proj_ba", 2 * delta.ratio),
        delta.decay(float32=False),
        *delta.rest(),
    )
    step, alone = fields.number("decoder_sparse_step", 1), set(fields.items("mlp_only_layers") or ())

    def sparse(index: int) -> bool:
        return fields.count("num_experts") > 0 and index not in alone and (index + 1) % step == 0

    return _gated(fields, delta, inputs, [sparse(at) for at in range(_layers(fields))], cuts="none")


def qwen3_5(fields: Fields) -> Anatomy:
    """Qwen3.5 and 3.6, dense or with experts in every layer."""
    delta, values = Delta.of(fields), fields.number("linear_value_head_dim")
    inputs = (
        delta.column("in_proj_qkv", delta.mixed),
        delta.column("in_proj_z", delta.ratio * values),
        delta.column("in_proj_b", delta.ratio),
        delta.column("in_proj_a", delta.ratio),
        delta.decay(float32=True),
        *delta.rest(),
    )
    sparse = [fields.count("num_experts") > 0] * _layers(fields)
    return _gated(fields, delta, inputs, sparse, cuts="even")


def _layers(fields: Fields) -> int:
    return fields.number("num_hidden_layers")


def _gated(
    fields: Fields, delta: Delta, inputs: tuple[Matrix, ...], sparse: list[bool], cuts: Cuts
) -> Anatomy:
    hidden, heads, head_dim = delta.hidden, fields.number("num_attention_heads"), fields.head_dim
    step = fields.number("full_attention_interval", 4)
    attention = (
        *projections(
            hidden, heads, fields.kv_heads, head_dim, bias=fields.flag("attention_bias"), gated=True
        ),
        norm("self_attn.q_norm", head_dim),
        norm("self_attn.k_norm", head_dim),
    )

    def layer(kind: tuple[bool, bool]) -> Layer:
        linear, moe = kind
        mlp = _experts(fields, hidden) if moe else glu("mlp", hidden, fields.number("intermediate_size"))
        return Layer(
            f"{'moe' if moe else 'dense'}{' linear' if linear else ''}",
            (
                *block_norms(hidden),
                *(inputs if linear else attention),
                *mlp,
            ),
            delta.attention() if linear else grouped(heads, fields.kv_heads, head_dim),
        )

    kinds = [((at + 1) % step != 0, moe) for at, moe in enumerate(sparse)]
    return whole(
        fields,
        stack(kinds, layer),
        fields.flag("tie_word_embeddings"),
        head_cut=COLUMN if cuts == "even" else REPLICATED,
        cuts=cuts,
    )


def _experts(fields: Fields, hidden: int) -> tuple[Matrix, ...]:
    experts = fields.number("num_experts")
    size, shared = fields.number("moe_intermediate_size"), fields.number("shared_expert_intermediate_size")
    return (
        Matrix("mlp.gate", experts, hidden, own_bits=ROUTER_BITS),
        *glu("mlp.switch_mlp", hidden, size, experts=experts, used=fields.number("num_experts_per_tok")),
        *glu("mlp.shared_expert", hidden, shared),
        Matrix("mlp.shared_expert_gate", 1, hidden, own_bits=ROUTER_BITS),
    )
