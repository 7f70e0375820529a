"""Tokens per second over time, from the times at which tokens came: of each token, and smoothed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

# As many as a page can tell apart, and few enough for ten pictures a second.
MOST_POINTS = 600
# The smoothed line looks twice at so many tokens to either side: some, so that milliseconds do not show, but
# not a large part of a short text.
_LEAST_SIDE, _MOST_SIDE, _PART = 1, 20, 48
# Dots of a token that came together with the one before may lie far above: the axis does not follow them.
_HIGHEST_DOT = 2.5
_HEADROOM = 1.12


@dataclass(frozen=True)
class Point:
    """One dot, and the height of the smoothed line over it.

    Attributes:
        tokens: how many there were by then.
        time_s: since the call.
        tokens_per_s: since the dot before; None for the first token, which has none before it.
        smooth_tokens_per_s: of the tokens around it; None where there is no other.
    """

    tokens: int
    time_s: float
    tokens_per_s: float | None
    smooth_tokens_per_s: float | None


def points(times_s: Sequence[float], most: int = MOST_POINTS) -> list[Point]:
    """The first token, the last, and evenly chosen ones between them, at most `most` and one."""
    count = len(times_s)
    if not count:
        return []
    chosen = sorted({*range(0, count, every(count, most)), count - 1})
    smooth = _smooth(times_s)
    return [
        Point(i + 1, times_s[i], rate(times_s, before, i), smooth[i])
        for before, i in zip([0, *chosen], chosen, strict=False)
    ]


def every(count: int, most: int = MOST_POINTS) -> int:
    """How many tokens one dot stands for."""
    return max(1, math.ceil(count / most))


def window(count: int) -> int:
    """How many intervals between tokens the smoothed line looks at."""
    return 4 * _side(count) + 1


def rate(times_s: Sequence[float], first: int, last: int) -> float | None:
    """Tokens per second from token to token, counted from 0; None where no time passes."""
    passed_s = times_s[last] - times_s[first]
    return (last - first) / passed_s if passed_s > 0 else None


def _smooth(times_s: Sequence[float]) -> list[float | None]:
    """One over the running mean of the running mean of the intervals: those in the middle weigh most."""
    intervals_s = [after - before for before, after in pairwise(times_s)]
    if not intervals_s:
        return [None] * len(times_s)
    side = _side(len(times_s))
    mean_s = _running_mean(_running_mean(intervals_s, side), side)
    rates = [1 / value_s if value_s > 0 else None for value_s in mean_s]
    return [rates[0], *rates]  # each token has the interval before it, and the first that after it


def _side(count: int) -> int:
    return min(_MOST_SIDE, max(_LEAST_SIDE, count // _PART))


def _running_mean(values: Sequence[float], side: int) -> list[float]:
    """Of each value with `side` values before it and after it, as far as there are so many."""
    sums = list(accumulate(values, initial=0.0))
    ends = [(max(0, i - side), min(len(values), i + side + 1)) for i in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in ends]


def top_tokens_per_s(shown: Sequence[Point]) -> float | None:
    """Where the axis should end; None where nothing has a rate."""
    smooth = [point.smooth_tokens_per_s for point in shown if point.smooth_tokens_per_s is not None]
    dots = sorted(point.tokens_per_s for point in shown if point.tokens_per_s is not None)
    if not smooth or not dots:
        return None
    most = dots[min(len(dots) - 1, math.ceil(0.98 * len(dots)))]
    return _HEADROOM * max(max(smooth), min(most, _HIGHEST_DOT * max(smooth)))
