"""Pad a model's layers with zeros until heads, experts and MLPs divide into equal parts.

A padded query head reads zeros from `o_proj`: its columns there are 0, so whatever it computes, and that is
finite, adds exactly 0. A padded MLP unit is read by a column of zeros in the same way. So the model's
function is the one it was. Where it takes less, KV heads are repeated in place of padding: each copy serves
a part of the query heads that the one did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.sharding.padding import Change, HeadPlan, Repeat, padded_mlp, plan_heads
from kernelkit.sharding.paths import order

HEADS = ("n_heads", "num_heads", "num_attention_heads")
KV_HEADS = ("n_kv_heads", "num_kv_heads", "num_key_value_heads")
# Modules whose outputs are dealt out head by head, one head after the other.
_BY_HEAD = ("q_proj", "q_b_proj", "kv_b_proj", "g_proj", "embed_q", "unembed_out")
_BY_KV_HEAD = ("k_proj", "v_proj", "k_norm", "index_q_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass
class Padding:
    """What was done to a model so that it divides.

    Attributes:
        repeats: by module path how KV heads stand in it, where they do so more than once.
        changes: of sizes, each once, however many layers it was done to.
    """

    repeats: dict[str, Repeat] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def note(self, what: str, before: int, after: int, times: int = 1) -> None:
        """Add a change, if it is one and a new one."""
        change = Change(what, before, after, times)
        if before != after and change not in self.changes:
            self.changes.append(change)


def modules(model: Module) -> list[tuple[str, Module]]:
    """Every module of the model with its path, outermost last."""
    named: Any = model.named_modules  # not annotated upstream
    return list(named())


def attention_of(module: Module) -> tuple[str, str | None] | None:
    """The names of its counts of query and KV heads, if it is an attention that ends in an `o_proj`."""
    heads = next((name for name in HEADS if name in vars(module)), None)
    if heads is None or "o_proj" not in module or not {"q_proj", "q_b_proj"} & module.keys():
        return None
    return heads, next((name for name in KV_HEADS if name in vars(module)), None)


def head_counts(model: Module) -> tuple[int | None, int | None]:
    """Query and KV heads of the first layer that has an attention, `(None, None)` without such a layer.

    Latent attention has no KV heads.
    """
    for layer in model.layers:
        for _, module in modules(layer):
            if (names := attention_of(module)) is not None:
                heads_name, kv_name = names
                return getattr(module, heads_name), getattr(module, kv_name) if kv_name else None
    return None, None


def pad(model: Module, parts: int, *, wide_norms: bool = False) -> Padding:
    """Pad every layer of an unsharded mlx-lm model in place, lazily, and only where it needs it.

    Args:
        wide_norms: its `q_norm` and `k_norm` are over the values of all heads, not of each alone.

    Raises:
        ModelShardError: its heads cannot be padded. It depends on shapes alone, so every rank raises alike.
    """
    done = Padding()
    for path, module in sorted(modules(model), key=lambda named: order(f"{named[0]}.weight")):
        if attention_of(module) is not None:
            repeat = _pad_attention(module, parts, wide_norms, done)
            if repeat.times > 1:
                done.repeats |= {f"{path}.{name}": repeat for name in _BY_KV_HEAD}
        elif all(name in module for name in _MLP):
            _pad_mlp(module, parts, done)
    # A loop coder has a gate per layer, with an output for each of its heads.
    for layer, gate in enumerate(getattr(getattr(model, "model", None), "gate_projections", ())):
        heads = model.layers[layer].self_attn.n_heads
        pad_rows(gate, heads - gate.num_heads)
        gate.num_heads = heads
    return done


def _pad_attention(attention: Module, parts: int, wide_norms: bool, done: Padding) -> Repeat:
    heads_name, kv_name = attention_of(attention) or ("", None)
    heads = getattr(attention, heads_name)
    # Latent attention has one compressed KV for all heads, which every rank keeps whole.
    kv_heads = getattr(attention, kv_name) if kv_name else heads
    plan = plan_attention(attention, parts)
    for name in (*_BY_HEAD, *(("q_norm",) if wide_norms else ())):
        if name in attention:
            _widen(attention[name], heads, plan.heads)
    for name in _BY_KV_HEAD if kv_name else ():
        if name in attention and (wide_norms or name != "k_norm"):
            _repeat(attention[name], kv_heads, plan.copies)
            _widen(attention[name], kv_heads * plan.copies, plan.kv_heads)
    if "index_q_proj" in attention:  # it serves one KV head each
        attention.index_n_heads = plan.kv_heads
    if "sinks" in attention:
        attention["sinks"] = mx.pad(attention["sinks"], [(0, plan.heads - heads)])
    pad_columns(attention["o_proj"], columns_of(attention["o_proj"]) // heads * (plan.heads - heads))
    setattr(attention, heads_name, plan.heads)
    done.note("heads", heads, plan.heads)
    if kv_name:
        setattr(attention, kv_name, plan.kv_heads)
        done.note("KV heads", kv_heads, plan.kv_heads, plan.copies)
    return Repeat(kv_heads, plan.copies)


def plan_attention(attention: Module, parts: int) -> HeadPlan:
    """How its heads divide into parts."""
    heads_name, kv_name = attention_of(attention) or ("", None)
    heads = getattr(attention, heads_name)
    kv_heads = getattr(attention, kv_name) if kv_name else heads
    output = attention["o_proj"]
    return plan_heads(heads, kv_heads, parts, columns_of(output) // heads, getattr(output, "group_size", 1))


def _pad_mlp(mlp: Module, parts: int, done: Padding) -> None:
    *experts, size, _ = mlp["gate_proj"]["weight"].shape
    more = padded_mlp(size, parts, getattr(mlp["down_proj"], "group_size", 1)) - size
    pad_rows(mlp["gate_proj"], more)
    pad_rows(mlp["up_proj"], more)
    pad_columns(mlp["down_proj"], more)
    done.note("rows of each expert" if experts else "MLP rows", size, size + more)


def columns_of(linear: Module) -> int:
    """Its inputs: a quantized layer packs them into words."""
    columns = int(linear["weight"].shape[-1])
    return columns * 32 // linear.bits if "scales" in linear else columns


def _widen(module: Module, heads: int, more: int) -> None:
    """Append heads of zeros: rows of a matrix, or matrices where each head has one; both the first axis."""
    pad_rows(module, module["weight"].shape[0] // heads * (more - heads), axis=0)


def _repeat(module: Module, heads: int, times: int) -> None:
    """Let each head stand several times in a row."""
    if times == 1:
        return
    for name, value in _arrays(module):
        rows = value.reshape(heads, -1, *value.shape[1:])
        module[name] = mx.repeat(rows, times, axis=0).reshape(-1, *value.shape[1:])


def pad_rows(module: Module, rows: int, axis: int | None = None) -> None:
    """Append zero outputs, by default to the rows of each matrix.

    In a quantized layer the new weights are 0 in every mode: code 0 times its scale, plus a bias of 0.
    """
    if not rows:
        return
    for name, value in _arrays(module):
        at = value.ndim - (1 if name == "bias" else 2) if axis is None else axis
        widths = [(0, 0)] * value.ndim
        widths[max(0, at)] = (0, rows)
        module[name] = mx.pad(value, widths)


def pad_columns(linear: Module, columns: int) -> None:
    """Append zero inputs, whole quantization groups."""
    if not columns:
        return
    widths = {"weight": columns}
    if "scales" in linear:
        groups = columns // linear.group_size
        widths = {"weight": columns * linear.bits // 32, "scales": groups, "biases": groups}
    for name, value in _arrays(linear):
        if name in widths:
            module_widths = [(0, 0)] * (value.ndim - 1) + [(0, widths[name])]
            linear[name] = mx.pad(value, module_widths)


def _arrays(module: Module) -> Iterator[tuple[str, mx.array]]:
    for name in ("weight", "scales", "biases", "bias"):
        if isinstance(value := module.get(name), mx.array):
            yield name, value
