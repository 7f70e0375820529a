"""Which sizes a link is measured with, and how often: what the time left can pay. Pure.

The time of the next size is predicted from those before it, so that a slow link is measured as far as it
goes and a fast one to the end. Nobody has to know beforehand which it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.hosts.linkfit import KIB, MIB, PING_BYTES
from kernelkit.units import format_seconds

_MOST_REPEATS = 15
# One size takes at most this part of the time left: the larger ones tell more.
_SHARE = 0.06
# But for a median of three it may take more, and for one message all that is left.
FEW_REPEATS, _FEW_SHARE = 3, 0.5
# Beyond that, what a first message at a size costs more (pages, buffers) is lost in its time.
_WARM_BELOW_S = 0.05


def lead_in_bytes(size_bytes: int) -> int:
    """The untimed message that goes before one of this size; 0 for none.

    A quarter of it, and from a mebibyte on at least one: shapers and switches save up less than that.
    """
    if size_bytes < 256 * KIB:
        return 0
    return size_bytes // 4 if size_bytes < MIB else max(MIB, size_bytes // 4)


@dataclass(frozen=True)
class Step:
    """What to do with one size.

    Attributes:
        repeats: how many messages each way; 0 to leave the size out.
        warm: whether one each way goes ahead untimed.
        limit_s: for all of them, beyond which three must do: a busy machine may take far longer than planned.
        reason: why it is left out.
    """

    repeats: int
    warm: bool = False
    limit_s: float = 0.0
    reason: str = ""


class Planner:
    """Predicts a size's time from the times of smaller ones.

    Args:
        latency_s: of 4 bytes one way.
        both_ways: one message counts for both directions.
    """

    def __init__(self, latency_s: float, *, both_ways: bool = False) -> None:
        self._latency_s = latency_s
        self._ways = 1 if both_ways else 2
        self._times: list[tuple[int, float]] = []

    def took(self, size_bytes: int, time_s: float) -> None:
        """Note what one message took, the slower way of the two."""
        self._times.append((size_bytes, time_s))

    def predict_s(self, size_bytes: int) -> float:
        """For one message one way; rather too long than too short.

        In proportion to the largest size so far, or by the slope of the last two where that gives more: a
        first one that fitted a shaper's bucket says nothing about the next.
        """
        if not self._times:
            return 2 * self._latency_s
        last_bytes, last_s = self._times[-1]
        in_proportion_s = last_s * size_bytes / last_bytes
        before_bytes, before_s = self._times[-2] if len(self._times) > 1 else (PING_BYTES, self._latency_s)
        slope = max(0.0, (last_s - before_s) / (last_bytes - before_bytes))
        return max(in_proportion_s, last_s + slope * (size_bytes - last_bytes))

    def step(self, size_bytes: int, left_s: float) -> Step:
        """What to do with a size while `left_s` seconds are left."""
        one_s = self.predict_s(size_bytes)
        in_all = 1 + lead_in_bytes(size_bytes) / size_bytes
        # A step also tells, hears that the other is ready, and is answered.
        each_s = self._ways * (in_all * one_s + 6 * self._latency_s)
        if each_s > left_s:
            return Step(0, reason=f"it would take {format_seconds(one_s)} each way")
        warm = one_s < _WARM_BELOW_S and 3 * each_s < left_s
        few = FEW_REPEATS if FEW_REPEATS * each_s <= _FEW_SHARE * left_s else 1
        repeats = min(_MOST_REPEATS, max(few, int(_SHARE * left_s / each_s)))
        return Step(repeats, warm, limit_s=max(2 * repeats * each_s, _SHARE * left_s))
