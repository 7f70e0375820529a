"""What a prepared model will need beside its weights, by tracing a forward pass that is never computed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten

from kernelkit.rank import ledger
from kernelkit.rank.pad import attention_of, modules
from kernelkit.rank.precision import parameters
from kernelkit.rank.stepcache import caches_in
from kernelkit.sharding.config import max_context as max_context
from kernelkit.sharding.paths import layer_and_module

# mlx-lm reads a prompt in pieces of so many tokens (mlx_lm.generate.generate_step).
PREFILL_TOKENS = 2048
# Residual, its norm, the layer's result, and the three of an MLP or of attention, which are alive at once.
# Caches grow by so many tokens at once.
_STEP = 256
_LIVE_HIDDEN, _LIVE_WIDE = 4, 3


def kv_bytes(model: Module, context: int) -> int:
    """Bytes of this rank's caches once one sequence has `context` tokens.

    MLX builds a graph before it computes: a forward pass over `context` tokens that nobody evaluates makes
    the caches' arrays with their shapes, of whatever kind they are (keys and values, latent vectors, windows,
    recurrent states), and reads and sends nothing.
    """
    return sum(value.nbytes for cache in _traced(model, context) for value in _arrays(cache))


def caches(model: Module) -> dict[str, Any]:
    """How this rank's caches of one sequence grow, from two such passes.

    Returns:
        `kv_bytes_per_token`, of those that keep all tokens; `windows`, `[tokens, bytes per token]` of those
        that keep the last so many; `state_bytes`, of those that are of one size.
    """
    per_token, windows, state_bytes = 0, Counter[int](), 0
    for short, long in zip(*(_traced(model, steps * _STEP) for steps in (1, 2)), strict=True):
        size, more = (sum(value.nbytes for value in _arrays(cache)) for cache in (short, long))
        grows = (more - size) // _STEP
        window = getattr(long, "max_size", None) or getattr(long, "chunk_size", None)
        if not grows:
            state_bytes += size
        elif window:
            windows[window] += grows
        else:
            per_token += grows
    kept = [[tokens, size] for tokens, size in sorted(windows.items())]
    return {"kv_bytes_per_token": per_token, "windows": kept, "state_bytes": state_bytes}


def _traced(model: Module, context: int) -> list[Any]:
    """The caches of all layers after a pass that nobody evaluates, those of a `CacheList` one by one."""
    from mlx_lm.models.cache import make_prompt_cache

    make: Any = make_prompt_cache  # not annotated upstream
    forward: Any = model
    made = make(model)
    with ledger.untold():
        forward(mx.zeros((1, context), dtype=mx.int32), cache=made)
    return list(caches_in(made))


def _arrays(cache: Any) -> list[mx.array]:
    try:
        state = cache.state
    except AttributeError:  # nothing was put into it, as in another rank's layer of a pipeline
        return []
    flat: Any = tree_flatten(state)  # of a list, always pairs
    return [value for _, value in flat if isinstance(value, mx.array)]


def activation_bytes(model: Module, context: int) -> int:
    """An estimate of what a forward pass over a piece of the prompt has in memory at once.

    `tokens * (4 * hidden + 3 * widest output here) * bytes of a number`, and on a CPU, where attention is
    not computed in tiles, the scores of one layer, `heads here * tokens * context` numbers, as well.
    """
    tokens = min(PREFILL_TOKENS, context)
    hidden, widest, heads, item_bytes = _sizes(model)
    size = tokens * (_LIVE_HIDDEN * hidden + _LIVE_WIDE * widest) * item_bytes
    if mx.default_device() != mx.Device(mx.gpu):
        size += heads * tokens * context * item_bytes
    return size


def _sizes(model: Module) -> tuple[int, int, int, int]:
    """Hidden size, widest output within a layer, heads here, bytes of a number."""
    hidden, widest, heads, item_bytes = 0, 0, 0, 2
    for path, module in modules(model):
        if (names := attention_of(module)) is not None:
            heads = max(heads, getattr(module, names[0]))
        weight = module.get("weight")
        if not isinstance(weight, mx.array):
            continue
        if weight.ndim == 1:  # of a norm
            hidden = max(hidden, weight.shape[0])
            item_bytes = weight.dtype.size if mx.issubdtype(weight.dtype, mx.floating) else item_bytes
        elif layer_and_module(f"{path}.weight")[0] is not None:
            widest = max(widest, weight.shape[-2])
    return hidden, max(widest, hidden), heads, item_bytes


def bits(model: Module) -> float:
    """Of a weight in memory, on average: scales and biases of quantized layers are counted in."""
    stored = sum(value.nbytes for _, value in parameters(model))
    numbers = 0
    for _, module in modules(model):
        for name, value in module.items():
            if not isinstance(value, mx.array):
                continue
            packed = name == "weight" and "scales" in module
            numbers += (
                value.size * 32 // module.bits
                if packed
                else 0
                if name in ("scales", "biases")
                else value.size
            )
    return 8 * stored / max(1, numbers)
