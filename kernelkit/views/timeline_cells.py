"""Many spans in few cells: of each slice of time, how much of it some ranks spent on each kind of thing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise

import numpy as np
from numpy.typing import NDArray

from kernelkit.perf.timeline import Lane, What


def cells(
    lanes: Sequence[Lane], kinds: Sequence[tuple[What, ...]], start_s: float, end_s: float, bins: int
) -> NDArray[np.float64]:
    """Shares of the lanes' time, 0 to 1; shape `[bins, kinds]`.

    Exact also where a slice holds many spans: the seconds of a kind up to some time grow along straight
    lines, and a slice has the difference at its ends.
    """
    edges_s = np.linspace(start_s, end_s, bins + 1)
    total = np.zeros((bins, len(kinds)))
    for lane in lanes:
        for number, whats in enumerate(kinds):
            spans = [
                (start, end)
                for start, end, what in zip(lane.start_s, lane.end_s, lane.what, strict=True)
                if what in whats
            ]
            if spans:
                total[:, number] += np.diff(_up_to(spans, edges_s))
    shares: NDArray[np.float64] = total / (len(lanes) * (end_s - start_s) / bins)
    return shares


def _up_to(spans: Sequence[tuple[float, float]], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds in these spans before each of the times."""
    sums = list(accumulate((end - start for start, end in spans), initial=0.0))
    known = list(chain.from_iterable(pairwise(sums)))
    return np.interp(times_s, list(chain.from_iterable(spans)), known)
