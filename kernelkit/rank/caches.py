"""The KV cache of a generation: made by its settings, continued by the next turn of a chat, or refused.

A chat's next prompt mostly begins with the tokens that its cache holds already. What both have in common is
kept, the rest is cut off, and only what is new is read. Where a cache cannot be cut (recurrent states, a
window that has moved on) and the prompt does not simply go on after it, the prompt is read anew.

Every decision here hangs on what is the same on all ranks, tokens and settings. What hangs on the kinds of
caches does not, since the ranks of a pipeline hold different layers: the notebook asks all of them before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx

from kernelkit.errors import ArgumentError
from kernelkit.settings import Settings

_FIRST_TOKENS = 4  # that a cache of limited size never lets go of, as in mlx-lm
# What MLX and mlx-lm raise where a model's caches cannot be quantized.
_CANNOT_QUANTIZE = (ValueError, TypeError, AttributeError, NotImplementedError, IndexError)


@dataclass
class Kept:
    """A cache, and which tokens it holds.

    Attributes:
        layers: mlx-lm's caches, one per layer of this rank; empty before the first use.
        tokens: what was read into them.
        after: the generation that left it so; the notebook says which one it means to go on from.
    """

    layers: list[Any] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    after: str = ""
    _kind: tuple[Any, ...] = ()

    def fit(self, model: Any, ids: Sequence[int], settings: Settings, *, can_trim: bool) -> int:
        """Make this the cache of a beginning of `ids`, as long a one as it can be.

        Args:
            can_trim: whether the caches of every rank can be cut.

        Returns:
            How many of the ids it holds; at least one is left to be read.
        """
        kind = (settings.max_kv_size, settings.kv_bits, settings.kv_group_size, settings.quantized_kv_start)
        shared = min(common(self.tokens, ids), len(ids) - 1)
        surplus = len(self.tokens) - shared
        if not self.layers or self._kind != kind or not shared or (surplus and not can_trim):
            self.layers, self.tokens, self._kind = make(model, settings), [], kind
            return 0
        if surplus:
            for layer in self.layers:
                layer.trim(surplus)
        self.tokens = self.tokens[:shared]
        return shared

    @property
    def can_trim(self) -> bool:
        """Whether this rank's caches can be cut."""
        return all(layer.is_trimmable() for layer in self.layers)


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """The number of equal tokens at the beginning."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def make(model: Any, settings: Settings) -> list[Any]:
    """New caches, empty: what mlx-lm would make, and limited also where mlx-lm lets the model choose."""
    from mlx_lm.models.cache import RotatingKVCache, make_prompt_cache

    layers = list(make_prompt_cache(model))
    if settings.max_kv_size is None or not _are_plain(layers):
        return layers
    return [RotatingKVCache(max_size=settings.max_kv_size, keep=_FIRST_TOKENS) for _ in layers]


def _are_plain(layers: list[Any]) -> bool:
    """Whether each holds keys and values of all tokens, and nothing else."""
    from mlx_lm.models.cache import KVCache

    return all(type(layer) is KVCache for layer in layers)


def check(model: Any, settings: Settings, *, batch: bool = False) -> None:
    """Refuse what this rank's part of the model cannot do. Nothing is computed and no collective runs.

    Args:
        batch: several prompts at once.

    Raises:
        ArgumentError: its caches cannot be quantized, limited, or joined into a batch.
    """
    name = type(model).__module__.rpartition(".")[2]
    layers = make(model, replace(settings, max_kv_size=None))
    kinds = ", ".join(sorted({type(layer).__name__ for layer in layers}))
    if settings.max_kv_size is not None and not _are_plain(layers):
        what = f"the KV cache of {name} cannot be limited: its layers have kinds of their own"
        raise ArgumentError(what, got=kinds, cure="leave max_kv_size out")
    if batch and not all(hasattr(layer, "merge") for layer in layers):
        what = f"{name} cannot generate for several prompts at once"
        raise ArgumentError(what, got=kinds, cure="one prompt at a time")
    if settings.kv_bits is not None:
        try:
            _try_quantized(model, layers, settings)
        except _CANNOT_QUANTIZE as error:
            raise ArgumentError(
                f"the KV cache of {name} cannot be quantized to {settings.kv_bits} bits "
                f"in groups of {settings.kv_group_size}",
                got=f"{kinds}: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}",
                cure="another kv_group_size, or leave kv_bits out",
            ) from error


def _try_quantized(model: Any, layers: list[Any], settings: Settings) -> None:
    """Two tokens without computing them: MLX checks shapes and kinds while it draws up the graph."""
    token = mx.zeros((1, 1), mx.int32)
    model(token, cache=layers)
    changed = 0
    for at, layer in enumerate(layers):
        if hasattr(layer, "to_quantized"):
            layers[at] = layer.to_quantized(group_size=settings.kv_group_size, bits=settings.kv_bits)
            changed += 1
    if not changed:
        raise ValueError("no layer has a cache of keys and values that can be")
    model(token, cache=layers)
