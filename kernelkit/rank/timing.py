"""When this rank is inside its collectives: each is run where it is called, and timed alone.

MLX computes lazily and lets computing and communication overlap, so there is no time "of communication" to
be read off a running program. While `recorded` is on, the ledger hands every collective to a clock: what goes
into it is computed first, then the collective runs, and only that is timed. The time includes waiting for the
slowest rank: a collective ends when all have come. The numbers are the same; the overlap is gone.

What that costs depends on how much overlapped. Two ranks on two CPU cores: SmolLM2, 70 ms a token, decoded
no slower; a tiny pipeline, 2 ms a token, a quarter slower. On GPUs it was not measured.
"""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import mlx.core as mx

from kernelkit.rank.agree import run_at_once

# What a rank sends stays below some 40 KB. The first are kept: clocks are set alike by the very first.
KEPT_SPANS = 2048


class Clock:
    """Notes when this rank was inside collectives, sends and receives.

    Attributes:
        total_s: inside, so far.
        count: how many were timed; the first `KEPT_SPANS` of them are kept one by one.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self.count = 0
        self._spans: list[tuple[float, float, tuple[str, int]]] = []

    def time(self, given: Any, out: mx.array, name: str = "") -> None:
        """Run what was called just now, and note its time.

        Args:
            given: what goes in, to be computed before the clock starts; a `recv` has only a shape.
            out: what comes out, still lazy.
            name: of the operation.
        """
        if isinstance(given, mx.array) and not run_at_once(given):
            return  # inside a function that MLX transforms nothing can run yet
        started_s = perf_counter()
        if run_at_once(out):
            ended_s = perf_counter()
            self.total_s += ended_s - started_s
            self.count += 1
            if len(self._spans) < KEPT_SPANS:
                size_bytes = given.nbytes if isinstance(given, mx.array) else out.nbytes
                self._spans.append((started_s, ended_s, (name, size_bytes)))

    def to_dict(self, began_s: float) -> dict[str, Any]:
        """All of it, small; `kernelkit.perf.recorded` reads it.

        Args:
            began_s: by `perf_counter`, from when on times are counted.

        Returns:
            `spans`, in order, each `[start_us, length_us, kind]`; `kinds`, each `[name, size_bytes]`;
            `dropped`, how many are not in it; `machine`, whose clock it is, and `origin_s`, when times begin
            by that clock; `elapsed_s`, until now, None where later spans were dropped.
        """
        kinds = list(dict.fromkeys(kind for _, _, kind in self._spans))
        place = {kind: i for i, kind in enumerate(kinds)}
        dropped = self.count - len(self._spans)
        return {
            "spans": [
                [round((start_s - began_s) * 1e6), round((end_s - start_s) * 1e6), place[kind]]
                for start_s, end_s, kind in self._spans
            ],
            "kinds": [list(kind) for kind in kinds],
            "dropped": dropped,
            # Not by name alone: several Macs may have the same.
            "machine": f"{platform.node()} {uuid.getnode():x}",
            "origin_s": began_s,
            "elapsed_s": None if dropped else perf_counter() - began_s,
        }


# The one that the ledger gives every collective to; None while nobody records.
clock: Clock | None = None


@contextmanager
def recorded(on: bool = True) -> Iterator[Clock | None]:
    """Time all collectives inside; not on, it does nothing and gives None."""
    global clock
    clock = Clock() if on else None
    try:
        yield clock
    finally:
        clock = None
