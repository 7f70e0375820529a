"""Pad a llama with zeros until its heads and its MLP divide by the number of ranks.

A padded query head has q = 0, so its scores are all 0 and it averages values that are 0 as well; the
columns of `o_proj` that read it are 0. A padded MLP unit is silu(0) * 0, read by a column of zeros. The
sums only gain terms that are exactly 0, so the model's function is the one it was.
"""

from __future__ import annotations

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ModelShardError


def padded_heads(heads: int, kv_heads: int, ranks: int) -> tuple[int, int]:
    """The least head counts, from `(heads, kv_heads)` up, that divide by `ranks`.

    The query heads per KV head stay as they are: `(9, 3, 2) -> (12, 4)`, `(9, 3, 3) -> (9, 3)`.

    Raises:
        ModelShardError: `kv_heads` does not divide `heads`, or there are more ranks than heads.
    """
    if heads % kv_heads:
        raise ModelShardError(
            "the attention heads cannot be padded",
            expected="a whole number of query heads per KV head",
            got=f"{heads} heads, {kv_heads} KV heads",
        )
    if ranks > heads:
        raise ModelShardError(
            f"{heads} attention heads cannot be spread over {ranks} ranks",
            expected=f"at most {heads} ranks",
            got=f"{ranks} ranks",
            cure=f"%cluster connect with {heads} ranks or fewer",
        )
    padded_kv = _up_to_multiple(kv_heads, ranks)
    return padded_kv * (heads // kv_heads), padded_kv


def padded_mlp(size: int, ranks: int, group_size: int = 1) -> int:
    """The least MLP size from `size` up that gives each rank whole quantization groups."""
    return _up_to_multiple(size, ranks * group_size)


def pad_llama(model: Module, ranks: int) -> None:
    """Pad every layer of an mlx-lm llama in place, lazily, and only where it needs it.

    Args:
        model: `mlx_lm.models.llama.Model`, unsharded, its linear layers float or quantized.
        ranks: the number of ranks it is going to be sharded over.

    Raises:
        ModelShardError: as `padded_heads`, or a rank's heads do not fill whole quantization groups.
            Depends on shapes alone, so every rank raises alike.
    """
    for layer in model.model.layers:
        _pad_attention(layer.self_attn, ranks)
        _pad_mlp(layer.mlp, ranks)


def _pad_attention(attention: Module, ranks: int) -> None:
    heads, kv_heads = padded_heads(attention.n_heads, attention.n_kv_heads, ranks)
    size = attention.head_dim
    group_size = getattr(attention.o_proj, "group_size", 1)
    if (heads // ranks * size) % group_size:
        raise ModelShardError(
            f"the quantized attention cannot be cut into {ranks}",
            expected=f"each rank's columns a multiple of the quantization group, {group_size}",
            got=f"{heads // ranks} heads of {size} per rank",
            cure="another number of ranks, or load it dequantized",
        )
    more, more_kv = heads - attention.n_heads, kv_heads - attention.n_kv_heads
    _pad(attention.q_proj, rows=more * size)
    _pad(attention.k_proj, rows=more_kv * size)
    _pad(attention.v_proj, rows=more_kv * size)
    _pad(attention.o_proj, columns=more * size)
    attention.n_heads, attention.n_kv_heads = heads, kv_heads


def _pad_mlp(mlp: Module, ranks: int) -> None:
    size = mlp.gate_proj.weight.shape[0]
    more = padded_mlp(size, ranks, getattr(mlp.down_proj, "group_size", 1)) - size
    _pad(mlp.gate_proj, rows=more)
    _pad(mlp.up_proj, rows=more)
    _pad(mlp.down_proj, columns=more)


def _pad(linear: Module, *, rows: int = 0, columns: int = 0) -> None:
    """Append zero outputs (`rows`) and zero inputs (`columns`, whole quantization groups).

    In a quantized layer the new weights are 0 in every mode: code 0 times its scale, plus a bias of 0.
    """
    if not rows and not columns:
        return
    widths = {"weight": columns}
    if "scales" in linear:
        groups = columns // linear.group_size
        widths = {"weight": columns * linear.bits // 32, "scales": groups, "biases": groups}
    for name, width in widths.items():
        if name in linear:
            linear[name] = mx.pad(linear[name], [(0, rows), (0, width)])
    if "bias" in linear:
        linear["bias"] = mx.pad(linear["bias"], [(0, rows)])


def _up_to_multiple(number: int, unit: int) -> int:
    return -(-number // unit) * unit
