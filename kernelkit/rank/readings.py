"""Readings of one time, taken on all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import mlx.core as mx

from kernelkit.rank import state

PART_S = 0.3
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 50


@dataclass(frozen=True)
class Times:
    """Readings of one time: their median, and nine in ten above the low and below the high."""

    low_s: float
    median_s: float
    high_s: float

    @classmethod
    def of(cls, readings_s: Sequence[float]) -> Times:
        """Of two readings or more."""
        tenths, middle_s = quantiles(readings_s, n=10, method="inclusive"), median(readings_s)
        # Of readings that are alike, interpolation rounds to one beside them.
        return cls(min(tenths[0], middle_s), middle_s, max(middle_s, tenths[-1]))

    def each(self, count: int) -> Times:
        """Of one of so many alike."""
        return Times(self.low_s / count, self.median_s / count, self.high_s / count)

    def rates(self, amount: float) -> tuple[float, list[float]]:
        """So much in that time, per second; and at the least and the most."""
        return amount / self.median_s, [amount / self.high_s, amount / self.low_s]


def together(work: Callable[[], None]) -> Times:
    """Seconds of `work`, done as often on every rank, for `PART_S`; the first time does not count."""
    first_s = seconds(work)
    if mx.default_device() == mx.Device(mx.gpu):  # CUDA compiled the kernel meanwhile
        first_s = seconds(work)
    rounds = int(PART_S / max(slowest(first_s), 1e-6))
    return Times.of([seconds(work) for _ in range(min(_MOST_ROUNDS, max(_LEAST_ROUNDS, rounds)))])


def seconds(work: Callable[[], None]) -> float:
    started_s = perf_counter()
    work()
    return perf_counter() - started_s


def slowest(time_s: float) -> float:
    """The largest of all ranks' figures, on every rank; it brings them together too."""
    if state.world_size == 1:
        return time_s
    every: Any = mx.distributed.all_gather(mx.array([time_s]), group=state.group).tolist()
    return float(max(every))
