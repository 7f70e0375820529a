"""Hold the logits of the sharded model against those of the unsharded one, piece by piece of the sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx


class Compared:
    """What comes out of a comparison, piece by piece."""

    def __init__(self, ids: Sequence[int], prompt_tokens: int) -> None:
        self._ids, self._prompt_tokens = ids, prompt_tokens
        self._own: dict[str, list[float]] = {"tops": [], "sums": []}
        self._held: dict[str, list[Any]] = {"differences": [], "best": [], "gaps": []}
        self._squares, self._apart, self._vocab = 0.0, 0.0, 0

    def take(self, logits: mx.array) -> None:
        """A piece of this rank's logits, `[tokens, vocab]` float32."""
        tops, sums = logits.max(axis=-1), mx.logsumexp(logits, axis=-1)
        mx.eval(logits, tops, sums)
        self._own["tops"] += _numbers(tops)
        self._own["sums"] += _numbers(sums)

    def compare(self, start: int, logits: mx.array, truth: mx.array) -> None:
        """Hold a piece that begins at position `start` against the unsharded model's."""
        mx.eval(truth)
        difference = mx.where(logits == truth, 0, mx.abs(logits - truth))
        difference = mx.where(mx.isnan(difference), math.inf, difference)
        self._apart += _number(difference.square().sum())
        difference = difference.max(axis=-1)
        finite = mx.isfinite(truth)
        squares = mx.where(finite, truth, 0).square().sum()
        self._held["differences"] += _numbers(difference)
        self._squares += _number(squares)
        self._vocab = truth.shape[-1]
        for position in range(max(start, self._prompt_tokens - 1), start + len(logits)):
            row = truth[position - start]
            gap = _number(row.max() - row[self._ids[position + 1]])
            self._held["gaps"].append(gap)
            self._held["best"].append(gap == 0)

    def answer(self) -> dict[str, Any]:
        """As `check_compare` returns it."""
        answer: dict[str, Any] = {name: _finite(values) for name, values in self._own.items()}
        if self._vocab:
            count = self._vocab * len(self._held["differences"])
            answer |= {name: _finite(values) for name, values in self._held.items()}
            mean = math.sqrt(self._apart / count)
            answer |= {"rms": math.sqrt(self._squares / count), "mean_difference": _finite([mean])[0]}
            answer["vocab"] = self._vocab
        return answer


def _numbers(values: mx.array) -> list[float]:
    return cast("list[float]", values.tolist())


def _number(value: mx.array) -> float:
    return float(cast("float", value.item()))


def _finite(values: Sequence[float]) -> list[float | None]:
    """JSON has no infinity."""
    return [value if math.isfinite(value) else None for value in values]
