"""What a step of training reads, how fast it learns, and how many steps there are time for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import mlx.core as mx
import numpy as np

_WARM_STEPS = 10  # they compile kernels, so they say nothing of a step's time


def windows(tokens: np.ndarray, length: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Batches without end, `[batch, length + 1]`, int32: each epoch has other windows, in another order.

    The same on every rank, whatever their number: a rank takes its rows of it.
    """
    draw = np.random.default_rng(seed)
    left = np.zeros(0, dtype=np.int64)
    while True:
        while len(left) < batch:
            starts = np.arange(draw.integers(length), len(tokens) - length, length)
            left = np.concatenate([left, draw.permutation(starts)])
        starts, left = left[:batch], left[batch:]
        yield tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)


def schedule(step: int, steps: int, warmup: int) -> float:
    """The learning rate as a part of its highest: up in a line, then down to 5 % along half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Plan:
    """How many steps there will be: as many as were asked for, less if the time does not allow them.

    Rank 0's clock decides for all, or one rank would wait in a collective that another never enters.
    """

    def __init__(self, steps: int, limit_s: float, group: mx.distributed.Group) -> None:
        self.done, self.steps = 0, steps
        self._group, self._limit_s, self._start_s = group, limit_s, time.perf_counter()
        self._warm_s = 0.0

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start_s

    @property
    def step_s(self) -> float:
        """Seconds a step so far, looks at the held-out text included; without the first steps once it can."""
        counted = self.done - _WARM_STEPS
        return (self.elapsed_s - self._warm_s) / counted if counted > 0 else self.elapsed_s / self.done

    def tick(self) -> None:
        """A step was done."""
        self.done += 1
        if self.done == _WARM_STEPS:
            self._warm_s = self.elapsed_s
        elif self.done % _WARM_STEPS == 0:
            affordable = self.done + max(0, int((self._limit_s - self.elapsed_s) / self.step_s))
            mine = mx.array(min(self.steps, affordable) if self._group.rank() == 0 else 0)
            self.steps = int(mx.distributed.all_sum(mine, group=self._group).item())
