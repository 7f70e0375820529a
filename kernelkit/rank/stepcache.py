"""Keep the cache of a layer that another rank runs in step: its offsets, not its contents.

Models take masks and positions from the cache of the first layer of a kind, whoever runs that layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map


def caches_in(values: Any) -> Iterator[Any]:
    """The single caches among a layer's arguments, those of a `CacheList` one by one."""
    from mlx_lm.models.cache import CacheList, _BaseCache

    if isinstance(values, CacheList):
        yield from caches_in(list(values.caches))
    elif isinstance(values, _BaseCache):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from caches_in(value)
    elif isinstance(values, dict):
        yield from caches_in(list(values.values()))


def keep_in_step(caches: Sequence[Any], writes: Sequence[bool], like: mx.array) -> None:
    """Do to each cache's offsets what the layer would do.

    Keys and values become arrays of one head without width: they have their length in tokens and no bytes,
    and nothing is kept of the steps before.

    Args:
        caches: of one layer.
        writes: for each, whether the layer writes into it; layers that share a cache only read it.
        like: hidden states, `[..., batch, tokens, width]`.
    """
    batch, tokens = like.shape[-3], like.shape[-2]
    for cache, written in zip(caches, writes, strict=True):
        if not written:
            continue
        if not hasattr(cache, "update_and_fetch"):
            cache.advance(tokens)
            for index in range(len(cache.cache)):
                cache[index] = mx.zeros((batch, 0), like.dtype)
            continue
        nothing = _nothing((batch, 1, tokens, 0), like.dtype)
        cache.update_and_fetch(nothing, nothing)
        cache.keys, cache.values = tree_map(
            lambda array: _nothing(array.shape, array.dtype), (cache.keys, cache.values)
        )
        # Batches count their offsets in arrays; nobody else asks for these, and a chain of them would grow.
        counted = [
            v for k, v in vars(cache).items() if isinstance(v, mx.array) and k not in ("keys", "values")
        ]
        if counted:
            begin: Any = mx.async_eval  # not annotated upstream
            begin(counted)


def _nothing(shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    return mx.broadcast_to(mx.zeros((), dtype), shape)


def hang(cache: Any, arrays: Sequence[mx.array]) -> None:
    """From now on, who evaluates the cache evaluates these arrays too."""
    if not hasattr(cache, "update_and_fetch"):
        cache[0] = mx.depends(cache[0], list(arrays))
        return
    keys = cache.keys
    if isinstance(keys, mx.array):
        cache.keys = mx.depends(keys, list(arrays))
    else:  # quantized: codes, scales, biases
        cache.keys = (mx.depends(keys[0], list(arrays)), *keys[1:])
