"""Tensor parallelism on any number of ranks: pad, let mlx-lm cut, and give each rank its share of the parts.

mlx-lm's own `shard` of an architecture knows which of its matrices are cut by column and which by row, and
makes them the layers that talk. It cuts into equal parts, so the model is first padded until it divides. A
rank whose share is several parts is cut several times, once for each, and the results are joined: columns
and rows that lie side by side are what one larger part would be.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, prod
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_unflatten

from kernelkit.errors import ModelShardError
from kernelkit.rank.norm import SpreadRMSNorm
from kernelkit.rank.pad import HEADS, KV_HEADS, Padding, attention_of, modules, pad
from kernelkit.rank.pad_delta import pad_delta
from kernelkit.rank.place import Place
from kernelkit.rank.precision import parameters
from kernelkit.sharding.config import text_config
from kernelkit.sharding.padding import ONCE, Repeat, Shares

Shapes = dict[str, tuple[int, ...]]

_MODELS = "mlx_lm.models."
_DELTA = {"qwen3_5", "qwen3_5_moe"}
# Queries, keys and values of these lie fused in one matrix, or heads in groups of their own, so neither
# zeros at the end nor parts side by side keep their order.
_FUSED = {"muse_spark", "kimi_k3", "deepseek_v41"}
# Their weights lie rotated along the inputs, in blocks; MLX does not know how to cut them.
_ROTATED = "HadamardQuantizedLinear"
_COUNTS = (
    ("num_attention_heads", "attention heads"),
    ("num_key_value_heads", "KV heads"),
    ("o_groups", "output groups"),
)


def cut_tensor(
    model: Module,
    config: dict[str, Any],
    group: mx.distributed.Group,
    shares: Shares,
    rebuild: Callable[[], Module],
) -> tuple[Shapes, Padding]:
    """Cut every layer of a lazily loaded model, in place; nothing is read, no collective runs.

    Returns:
        The shapes by path that it was padded to before it was cut; and what was done for it.

    Raises:
        ModelShardError: mlx-lm cannot cut this architecture, or not into such parts.
    """
    kind = str(config["model_type"])
    name = architecture(_cuttable(model))
    _check(model, kind, name, config, shares)
    full = _shapes(model)
    done = _pad(model, name, shares.parts)
    padded = _shapes(model)
    mine = range(shares.first(group.rank()), shares.first(group.rank() + 1))
    _shard(model, kind, Place(mine[0], shares.parts))
    others = []
    for index in mine[1:]:
        other = rebuild()
        _pad(other, name, shares.parts)
        _shard(other, kind, Place(index, shares.parts))
        others.append(other)
    if others:
        _join(model, others, padded, name)
    _set_group(model, group)
    if padded != full or not shares.even:
        _spread_norms(model, full, done.repeats, group)
    return padded, done


def architecture(model: Module) -> str:
    """The module of mlx-lm that made it, such as `llama`."""
    return type(model).__module__.removeprefix(_MODELS)


def _cuttable(model: Module) -> Module:
    """What of it mlx-lm can cut: the model, or the language model of one that also sees."""
    inner: Any = model.get("language_model")
    return inner if not hasattr(model, "shard") and hasattr(inner, "shard") else model


def _check(model: Module, kind: str, name: str, config: dict[str, Any], shares: Shares) -> None:
    if not hasattr(_cuttable(model), "shard"):
        raise ModelShardError(
            f"mlx-lm cannot cut the layers of {kind}",
            expected="an architecture with tensor parallelism, such as llama, qwen3 or deepseek_v3",
            got=kind,
            cure="--strategy pipeline",
        )
    if any(base.__name__ == _ROTATED for _, module in modules(model) for base in type(module).__mro__):
        raise ModelShardError(
            f"{kind} cannot be cut: the inputs of its layers are rotated in blocks, which mlx-lm cannot cut",
            expected="layers that are linear, quantized or not",
            got=_ROTATED,
            cure="--strategy pipeline",
        )
    if name in _DELTA | _FUSED and not shares.even:
        raise ModelShardError(
            f"{kind} cannot be cut into uneven shares: matrices that lie fused in one would lose their order",
            expected="one share for each rank, alike",
            got=", ".join(map(str, shares.by_rank)),
            cure="leave --split out, or --strategy pipeline",
        )
    if name not in _FUSED:
        return
    text = text_config(config)
    counts = {words: text[key] for key, words in _COUNTS if isinstance(text.get(key), int)}
    if "kv_lora_rank" in text:  # one compressed KV for all heads, whole on each rank
        counts.pop("KV heads", None)
    if any(count % shares.parts for count in counts.values()):
        common = gcd(*counts.values())
        working = [str(ranks) for ranks in range(1, common + 1) if common % ranks == 0]
        raise ModelShardError(
            f"{kind} cannot be cut into {shares.parts}: its heads do not divide, and matrices that lie fused "
            "in one are not padded",
            expected=f"{' or '.join(working)} ranks",
            got=f"{', '.join(f'{count} {words}' for words, count in counts.items())}, {shares.parts} ranks",
            cure=f"%cluster connect {working[-1]}, or --strategy pipeline",
        )


def _pad(model: Module, name: str, parts: int) -> Padding:
    if name in _FUSED:
        return Padding()
    done = pad(model, parts, wide_norms=name == "minimax")
    if name in _DELTA:
        pad_delta(model, parts, done)
    return done


def _shard(model: Module, kind: str, part: Place) -> None:
    shard: Any = _cuttable(model).shard
    try:
        shard(part)
    # mlx and mlx-lm refuse sizes that do not divide in these ways.
    except (ValueError, AssertionError) as error:
        raise ModelShardError(
            f"{kind} cannot be cut into {part.places}",
            expected="layer sizes that divide by the number of ranks, in whole quantization groups",
            got=str(error),
            cure="another number of ranks, or --strategy pipeline",
        ) from error


def _join(model: Module, others: list[Module], padded: Shapes, name: str) -> None:
    """Put the parts of this rank side by side, and count their heads together."""
    parts = [dict(parameters(part)) for part in (model, *others)]
    joined = {}
    for path, value in parts[0].items():
        axis = cut_axis(padded[path], tuple(value.shape))
        if axis is not None:
            joined[path] = mx.concatenate([part[path] for part in parts], axis=axis)
        elif name == "gpt_oss" and path.endswith("experts.down_proj.bias"):
            # mlx-lm gives each part its fraction of a bias that is added before the sum.
            joined[path] = value * len(parts)
    model.update(tree_unflatten(list(joined.items())))
    for _, module in modules(model):
        if attention_of(module) is not None or "num_heads" in vars(module):
            for count in (*HEADS, *KV_HEADS, "index_n_heads"):
                if count in vars(module):
                    setattr(module, count, getattr(module, count) * len(parts))


def cut_axis(padded: tuple[int, ...], here: tuple[int, ...]) -> int | None:
    """Along which axis an array was cut, None if it was not; in two parts or more, a part is smaller."""
    if len(here) == 1 and len(padded) > 1:  # some architectures flatten a vector when they cut it
        padded = (prod(padded),)
    return next((axis for axis, size in enumerate(padded) if size != here[axis]), None)


def _set_group(model: Module, group: mx.distributed.Group) -> None:
    """From now on the layers talk to the other ranks."""
    for _, module in modules(model):
        for name, value in list(vars(module).items()):
            if isinstance(value, Place):
                setattr(module, name, group)


def _spread_norms(
    model: Module, full: Shapes, repeats: dict[str, Repeat], group: mx.distributed.Group
) -> None:
    """Norms over the values of all heads must count the real ones alone."""
    for path, module in modules(model):
        for name, norm in module.items():
            if type(norm).__name__ == "ShardedRMSNorm":
                times = repeats.get(f"{path}.{name}", ONCE).times
                values = full[f"{path}.{name}.weight"][0] * times
                module[name] = SpreadRMSNorm(norm["weight"], norm.eps, values, group)


def _shapes(model: Module) -> Shapes:
    return {path: tuple(value.shape) for path, value in parameters(model)}
