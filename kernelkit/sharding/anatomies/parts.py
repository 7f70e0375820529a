"""What models are put together from: attention by heads, MLPs, experts, and what lies outside the layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from kernelkit.sharding.anatomies.fields import Fields
from kernelkit.sharding.anatomy import Anatomy, Attention, Cuts, Keeps, Layer, Matrix
from kernelkit.sharding.pieces import COLUMN, REPLICATED, ROW

# A router is packed in so many bits by mlx-lm's conversion, where its architecture says so.
ROUTER_BITS = 8


def norm(path: str, size: int, bias: bool = False) -> Matrix:
    """A norm's vector."""
    return Matrix(path, size, None, bias=bias, quantizable=False)


def vector(path: str, array: str, size: int, **more: Any) -> Matrix:
    """An array of a module that is no weight."""
    return Matrix(path, size, None, array=array, quantizable=False, **more)


def corrections(path: str, experts: int) -> Matrix:
    """What corrects a router's scores, so that experts are chosen evenly."""
    return vector(path, "e_score_correction_bias", experts, float32=True)


def block_norms(hidden: int) -> tuple[Matrix, ...]:
    """Those before attention and before the MLP, by the names that most models have."""
    return norm("input_layernorm", hidden), norm("post_attention_layernorm", hidden)


def projections(
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    *,
    bias: bool = False,
    o_bias: bool | None = None,
    gated: bool = False,
    path: str = "self_attn",
) -> tuple[Matrix, ...]:
    """Queries, keys, values and output of grouped-query attention.

    Args:
        bias: of queries, keys and values, and, unless `o_bias` says otherwise, of the output.
        gated: each query head has a gate of its size beside it.
    """
    rows = head_dim * (2 if gated else 1)
    return (
        Matrix(f"{path}.q_proj", heads * rows, hidden, COLUMN, bias, unit=rows, deals="heads"),
        Matrix(f"{path}.k_proj", kv_heads * head_dim, hidden, COLUMN, bias, unit=head_dim, deals="kv_heads"),
        Matrix(f"{path}.v_proj", kv_heads * head_dim, hidden, COLUMN, bias, unit=head_dim, deals="kv_heads"),
        Matrix(
            f"{path}.o_proj",
            hidden,
            heads * head_dim,
            ROW,
            bias if o_bias is None else o_bias,
            unit=head_dim,
            deals="heads",
        ),
    )


def grouped(heads: int, kv_heads: int, head_dim: int, window: int | None = None) -> Attention:
    """Keys and values of `kv_heads`, of all tokens or of a window."""
    keeps: Keeps = "sliding" if window else "full"
    return Attention(keeps, heads, kv_heads, head_dim, head_dim, head_dim, head_dim, window)


def glu(path: str, hidden: int, size: int, bias: bool = False, **more: Any) -> tuple[Matrix, ...]:
    """Gate, up and down of an MLP, or, with `experts` and `used`, of as many of them."""
    return (
        Matrix(f"{path}.gate_proj", size, hidden, COLUMN, bias, **more),
        Matrix(f"{path}.up_proj", size, hidden, COLUMN, bias, **more),
        Matrix(f"{path}.down_proj", hidden, size, ROW, bias, **more),
    )


def stack(kinds: Iterable[Hashable], make: Callable[[Any], Layer]) -> tuple[Layer, ...]:
    """One layer for each kind, the same object where the kind is the same."""
    made: dict[Hashable, Layer] = {}
    return tuple(made[kind] if kind in made else made.setdefault(kind, make(kind)) for kind in kinds)


@dataclass(frozen=True)
class Names:
    """Where a model has its embedding, its last norm and its layers."""

    embedding: str = "model.embed_tokens"
    norm: str = "model.norm"
    layers: str = "model.layers"


def whole(
    fields: Fields,
    layers: tuple[Layer, ...],
    tied: bool = False,
    *,
    names: Names = Names(),
    head_cut: str = REPLICATED,
    beside: tuple[Matrix, ...] = (),
    cuts: Cuts = "any",
) -> Anatomy:
    """The model around its layers, as most are built.

    Args:
        head_cut: of a head that is no embedding.
        beside: further modules outside the layers.
    """
    hidden, vocab, path = fields.number("hidden_size"), fields.number("vocab_size"), fields.path
    head = () if tied else (Matrix(f"{path}lm_head", vocab, hidden, head_cut),)
    return Anatomy(
        str(fields.config.get("model_type")),
        hidden,
        vocab,
        layers,
        (
            Matrix(f"{path}{names.embedding}", vocab, hidden, looked_up=True),
            norm(f"{path}{names.norm}", hidden),
            *head,
            *beside,
        ),
        tied,
        fields.max_context(),
        fields.left_out,
        f"{path}{names.layers}",
        cuts,
    )
