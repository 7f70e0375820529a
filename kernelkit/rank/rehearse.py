"""Run a model once without reading or computing anything, and note how its layers are called.

What the layers of a model hand to each other is in no config: hidden states by position or by name, one array
or several, keys and values of an earlier layer. MLX is lazy, so a forward pass of promises tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_unflatten

from kernelkit.rank.arraytree import Path, arrays_in
from kernelkit.rank.precision import parameters
from kernelkit.rank.stepcache import caches_in

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
# Calls the layer as it was; or stands in for it.
Call = Callable[[Callable[..., Any], Arguments], Any]

# A prompt in two pieces: the second one meets caches that hold something.
PIECES = (3, 2)


@dataclass(frozen=True)
class Heard:
    """One call of one layer.

    Attributes:
        layer: counted over the model's list.
        takes: the arrays among its arguments; the first part of a path is 0 for those by position, 1 by name.
        caches: that it was given, those of a `CacheList` one by one.
        writes: for each of them, whether the layer wrote into it.
        answer: what it returned.
    """

    layer: int
    takes: dict[Path, mx.array]
    caches: tuple[Any, ...]
    writes: tuple[bool, ...]
    answer: Any


@contextmanager
def without_weights(model: Module) -> Iterator[None]:
    """Zeros in place of the weights: even a model that computes something on its way reads none.

    Afterwards every module holds what it held: some keep what they made of their weights in the first pass.
    """
    kept = parameters(model)
    modules: Any = model.modules  # not annotated upstream
    held = [(module, dict(module), dict(vars(module))) for module in modules()]
    zeros = [(path, mx.broadcast_to(mx.zeros((), value.dtype), value.shape)) for path, value in kept]
    model.update(tree_unflatten(zeros))
    try:
        yield
    finally:
        for module, items, attributes in held:
            dict.clear(module)
            dict.update(module, items)
            vars(module).clear()
            vars(module).update(attributes)
        model.update(tree_unflatten(kept))


def rehearse(
    model: Module, layers: Sequence[Module], stand_in: Callable[[int], Call] | None = None
) -> list[Heard]:
    """The calls of all layers in a forward pass of a prompt in two pieces, in their order.

    Args:
        model: with any weights; they are as before afterwards.
        layers: the modules of its list, each of them once.
        stand_in: gives what is called in place of the layer with that number; by default the layer is.
    """
    from mlx_lm.models.cache import make_prompt_cache

    heard: list[Heard] = []
    kinds = [type(layer) for layer in layers]
    for index, layer in enumerate(layers):
        redirect(layer, _listener(index, heard, stand_in(index) if stand_in else None))
    try:
        make: Any = make_prompt_cache  # not annotated upstream
        cache = make(model)
        with without_weights(model):
            for tokens in PIECES:
                model(mx.zeros((1, tokens), mx.int32), cache=cache)
    finally:
        for layer, kind in zip(layers, kinds, strict=True):
            layer.__class__ = kind
    return heard


def redirect(module: Module, call: Call) -> None:
    """From now on `module(...)` is `call(original, arguments)`; all else about the module looks as before."""
    kind = type(module)

    def __call__(self: Module, *args: Any, **kwargs: Any) -> Any:
        return call(lambda *a, **k: kind.__call__(self, *a, **k), (args, kwargs))

    override(module, __call__=__call__)


def override(module: Module, **methods: Any) -> None:
    """Give one module methods of its own, by a class that looks like the one it has."""
    kind = type(module)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    module.__class__ = type(kind.__name__, (kind,), {**names, **methods})


def _listener(index: int, heard: list[Heard], stand_in: Call | None) -> Call:
    def call(original: Callable[..., Any], arguments: Arguments) -> Any:
        caches = tuple(caches_in(list(arguments)))
        takes = dict(arrays_in(list(arguments)))
        with _watched(caches) as writes:
            if stand_in is None:
                answer = original(*arguments[0], **arguments[1])
            else:
                answer = stand_in(original, arguments)
        heard.append(Heard(index, takes, caches, tuple(writes), answer))
        return answer

    return call


@contextmanager
def _watched(caches: Sequence[Any]) -> Iterator[list[bool]]:
    """Which caches are written meanwhile; an `ArraysCache` shows it by what it holds."""
    writes: list[bool] = []
    before = [_content(cache) for cache in caches]
    yield writes
    for cache, content in zip(caches, before, strict=True):
        now = _content(cache)
        writes.append(any(a is not b for a, b in zip(content, now, strict=True)))


def _content(cache: Any) -> list[Any]:
    """Objects that are others once a cache has been written; an assignment to a slice keeps an array."""
    return [cache.offset] if hasattr(cache, "update_and_fetch") else list(cache.cache)
