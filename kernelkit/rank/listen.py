"""Stand in front of a model's layers while it runs, to see what goes in and out, or to answer for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten

# Is given the layer's number, the layer as it was, and its arguments.
Call = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def in_front(layers: Sequence[Module], call: Call) -> Iterator[None]:
    """Meanwhile `layers[i](...)` is `call(i, layers[i], args, kwargs)`; all else about a layer stays."""
    kinds = [type(layer) for layer in layers]
    for index, (layer, kind) in enumerate(zip(layers, kinds, strict=True)):
        layer.__class__ = _listening(kind, index, call)
    try:
        yield
    finally:
        # Backwards: a layer that stands in the list twice gets its first class again.
        for layer, kind in zip(reversed(layers), reversed(kinds), strict=True):
            layer.__class__ = kind


def _listening(kind: type[Module], index: int, call: Call) -> type[Module]:
    original: Any = kind.__call__

    def __call__(self: Module, *args: Any, **kwargs: Any) -> Any:
        return call(index, partial(original, self), args, kwargs)

    names = {"__call__": __call__, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), names)


def arrays_of(value: Any) -> list[mx.array]:
    """All arrays in a tree of lists, tuples and dictionaries."""
    flat: Any = tree_flatten([value])  # of a list, always pairs
    return [array for _, array in flat if isinstance(array, mx.array)]


def last_state(value: Any) -> mx.array:
    """Of what a layer takes or gives, the hidden state at the last token: `[width]`, float32.

    The first array is the hidden states, `[1, tokens, ...]`; what it has beside the tokens is made one axis.
    """
    hidden = arrays_of(value)[0]
    return hidden[0, -1].reshape(-1).astype(mx.float32)
