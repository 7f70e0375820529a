"""Pad the gated delta nets of qwen3_5, whose heads keep a state in place of keys and values."""

from __future__ import annotations

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.rank.pad import Padding, columns_of, modules, pad_columns, pad_rows
from kernelkit.sharding.padding import padded_mlp


def pad_delta(model: Module, parts: int, done: Padding) -> None:
    """Pad linear attention and, where it is cut by vocabulary, the head, in place and lazily.

    A padded head's columns of `out_proj` are 0, and all that it computes is finite: the decay is between 0
    and 1 for any input, and the norms have their epsilon.

    Args:
        done: what was done is noted there.
    """
    for _, module in modules(model):
        if "in_proj_qkv" in module and "out_proj" in module:
            _pad_net(module, parts, done)
    language = model["language_model"]
    if "lm_head" in language:
        _pad_vocabulary(language["lm_head"], parts, done)
        language.args.vocab_size = language["lm_head"]["weight"].shape[0]


def _pad_net(net: Module, parts: int, done: Padding) -> None:
    ratio = net.num_v_heads // net.num_k_heads
    unit = 1
    while unit * ratio * net.head_v_dim % getattr(net["out_proj"], "group_size", 1):
        unit += 1
    more_k = padded_mlp(net.num_k_heads, parts, unit) - net.num_k_heads
    if not more_k:
        return
    keys, values = more_k * net.head_k_dim, more_k * ratio * net.head_v_dim
    for module in (net["conv1d"], net["in_proj_qkv"]):
        _pad_segments(module, [net.key_dim, 2 * net.key_dim], [keys, keys, values])
    pad_rows(net["in_proj_z"], values, axis=0)
    for name in ("in_proj_b", "in_proj_a"):
        pad_rows(net[name], more_k * ratio, axis=0)
    for name in ("dt_bias", "A_log"):
        net[name] = mx.pad(net[name], [(0, more_k * ratio)])
    pad_columns(net["out_proj"], columns_of(net["out_proj"]) // net.num_v_heads * more_k * ratio)
    done.note("linear key heads", net.num_k_heads, net.num_k_heads + more_k)
    done.note("linear value heads", net.num_v_heads, net.num_v_heads + more_k * ratio)
    net.num_k_heads += more_k
    net.num_v_heads += more_k * ratio
    net.key_dim += keys
    net.value_dim += values
    net.conv_dim += 2 * keys + values
    net["conv1d"].groups += 2 * keys + values


def _pad_segments(module: Module, borders: list[int], widths: list[int]) -> None:
    """Append zero rows to each segment of fused rows."""
    for name in ("weight", "scales", "biases"):
        if isinstance(value := module.get(name), mx.array):
            segments = zip(mx.split(value, borders, axis=0), widths, strict=True)
            rest = [(0, 0)] * (value.ndim - 1)
            module[name] = mx.concatenate([mx.pad(part, [(0, more), *rest]) for part, more in segments])


def _pad_vocabulary(head: Module, parts: int, done: Padding) -> None:
    """Append tokens that no sampling takes: their logit is the least number there is."""
    rows = head["weight"].shape[0]
    more = padded_mlp(rows, parts) - rows
    if not more:
        return
    dtype = next(value.dtype for value in head.values() if mx.issubdtype(value.dtype, mx.floating))
    bias = head["bias"] if "bias" in head else mx.zeros((rows,), dtype=dtype)
    pad_rows(head, more, axis=0)
    done.note("rows of the head", rows, rows + more)
    # Not minus infinity, which would make the sum of all logits of a batch not a number.
    head["bias"] = mx.concatenate([bias, mx.full((more,), mx.finfo(dtype).min, dtype=dtype)])
