"""The unsharded model's answers on one rank, with no more than about one layer of it in memory at a time.

MLX is lazy: a layer's weights are read from the files when its result is computed. So each layer is computed
as soon as the model calls it, and its weights are let go of after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_map

from kernelkit.rank.listen import arrays_of, in_front, last_state

# So many tokens' logits are computed at once: [256, 128,000] in float32 are 131 MB.
PIECE_TOKENS = 256


class Reference:
    """One forward pass of the unsharded model over one sequence.

    Args:
        build: gives the model with its weights as promises, in the dtype of the sharded one.
        tokens: ids.
    """

    def __init__(self, build: Callable[[], Module], tokens: Sequence[int]) -> None:
        self._build = build
        self._tokens = mx.array(list(tokens))[None]
        self._model = build()
        self._layers: list[Module] = list(self._model.layers)
        self._own = _owned(self._model, self._layers)
        self._emptied: set[int] = set()
        self._last: Any = None
        self._logits: mx.array | None = None
        self.states: dict[int, mx.array] = {}

    def run(self, on_layer: Callable[[int, int], None] = lambda done, layers: None) -> None:
        """Compute all layers, one after the other.

        Afterwards `states` has by layer the hidden state after it at the last token, `[width]` in float32,
        and as layer -1 what the first one was given.

        Args:
            on_layer: called after each with how many are done, and of how many.
        """

        def call(index: int, layer: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if index in self._emptied:
                self._fill()
            if index == 0 and -1 not in self.states:
                self.states[-1] = last_state([args, kwargs])
            answer = layer(*args, **kwargs)
            self.states[index] = last_state(answer)
            mx.eval(arrays_of(answer), list(self.states.values()))
            self._empty(index)
            on_layer(index + 1, len(self._layers))
            self._last = answer
            return answer

        with in_front(self._layers, call):
            logits = self._model(self._tokens)
        if self._tokens.shape[1] <= PIECE_TOKENS:
            self._logits = logits[0]

    def logits(self, start: int, end: int) -> mx.array:
        """`[end - start, vocab]` in float32, lazily; after `run`.

        Of a long sequence, embeddings, last norm and head run again for these tokens alone, with what the
        last layer gave for them in place of all layers.
        """
        if self._logits is not None:
            return self._logits[start:end].astype(mx.float32)
        tokens = self._tokens.shape[1]

        def cut(value: Any) -> Any:
            if isinstance(value, mx.array) and value.ndim > 1 and value.shape[1] == tokens:
                return value[:, start:end]
            return value

        answer = tree_map(cut, [self._last])[0]
        with in_front(self._layers, lambda index, layer, args, kwargs: answer):
            logits: mx.array = self._model(self._tokens[:, start:end])[0]
        return logits.astype(mx.float32)

    def _empty(self, index: int) -> None:
        """Let go of a layer's weights; a product that nobody computes stands in for each."""
        for module in self._own[index]:
            for name, value in module.items():
                if isinstance(value, mx.array) and not name.startswith(
                    "_"
                ):  # those are constants, not weights
                    module[name] = mx.broadcast_to(mx.zeros((), value.dtype), value.shape)
        self._emptied.add(index)
        mx.clear_cache()

    def _fill(self) -> None:
        """Promises again, for a model that runs its layers several times."""
        fresh: Any = self._build()
        for layer, other in zip(self._layers, fresh.layers, strict=True):
            layer.update(other.parameters())
        self._emptied.clear()


def _owned(model: Module, layers: Sequence[Module]) -> list[list[Module]]:
    """Of each layer the modules that nothing else in the model uses."""
    skipped = {id(layer) for layer in layers}
    users: Counter[int] = Counter({id(module): 1 for module in _inside(model, skipped)})
    inside = [list(_inside(layer, set())) for layer in layers]
    for modules in inside:
        users.update({id(module) for module in modules})
    return [[module for module in modules if users[id(module)] == 1] for modules in inside]


def _inside(value: Any, skipped: set[int]) -> Iterator[Module]:
    """A module and all below it, but for `skipped` and what is below these."""
    if isinstance(value, Module):
        if id(value) in skipped:
            return
        yield value
    if isinstance(value, dict):  # a module is one
        for item in value.values():
            yield from _inside(item, skipped)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item, skipped)
