"""What the two processes of a probe do with each other, whatever carries their messages.

Rank 0 leads, rank 1 follows. Before each step the leader tells the follower over the link itself what
comes, so the two cannot get out of step, and the leader may stop whenever its time is up. All times are
taken by the leader's clock: a message of its own until a 4-byte answer is back, or 4 bytes of its own until
the follower's message is here. Either is the message's time plus the latency of 4 bytes one way.

That latency is subtracted as the quickest ping gave it, since on a busy machine the others say less of the
link, and at most half of the time: of the two, the message is not the quicker one.

A large message directly follows an untimed one, the same way. A traffic shaper saves up for a burst while
the other way is measured, and what fits its bucket goes faster than the link; the untimed message takes that
burst, and lets TCP's window grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Protocol

from kernelkit.hosts.linkfit import PING_BYTES
from kernelkit.rank.probe_plan import FEW_REPEATS, Planner, Step, lead_in_bytes

END, PING, TAKE, GIVE = range(4)
_WARM_PINGS = 20
_FIRST_PINGS = 30
_MOST_PINGS = 1000
# Of the time, for latency: hundreds of pings, and a noisy machine calms down within it.
_PING_SHARE = 0.06

Emit = Callable[[dict[str, Any]], None]


class Pair(Protocol):
    """A way to carry messages between the two.

    Attributes:
        how: its name in a sample.
        both_ways: whether one step moves the message in both directions, as a collective does.
    """

    how: str
    both_ways: bool

    def tell(self, op: int, amount: int) -> None: ...

    def hear(self) -> tuple[int, int]: ...

    def send(self, size_bytes: int) -> None: ...

    def recv(self, size_bytes: int) -> None: ...


def follow(pair: Pair) -> None:
    """Do what the leader says until it says that it is over."""
    while True:
        op, amount = pair.hear()
        if op == END:
            return
        if op == PING:
            for _ in range(amount):
                pair.recv(PING_BYTES)
                pair.send(PING_BYTES)
            continue
        pair.send(PING_BYTES)  # ready: what Python does between two steps is in nobody's time
        if op == TAKE:
            pair.recv(amount)
            pair.send(PING_BYTES)
        else:
            pair.recv(PING_BYTES)
            pair.send(amount)


def lead(pair: Pair, sizes_bytes: Sequence[int], budget_s: float, emit: Emit) -> None:
    """Measure, and emit an event for each sample and for each size that the budget could not pay.

    Args:
        sizes_bytes: of messages, ascending.
        budget_s: for all of it; the last message may exceed it by as much as its time was misjudged.
    """
    start_s = perf_counter()

    def left_s() -> float:
        return budget_s - (perf_counter() - start_s)

    latency_s = _measure_latency(pair, budget_s * _PING_SHARE, emit)
    planner = Planner(latency_s, both_ways=pair.both_ways)
    for size_bytes in sizes_bytes:
        step = planner.step(size_bytes, left_s())
        if step.repeats == 0:
            for direction in ("0>1", "1>0"):
                emit(
                    {
                        "event": "skipped",
                        "direction": direction,
                        "size_bytes": size_bytes,
                        "reason": step.reason,
                    }
                )
            continue
        times_s = _measure_size(pair, size_bytes, step, latency_s, left_s)
        planner.took(size_bytes, max(median(times) for times in times_s.values()))
        for direction, times in times_s.items():
            emit(_sample(direction, size_bytes, times, pair.how))
    pair.tell(END, 0)


def _measure_latency(pair: Pair, budget_s: float, emit: Emit) -> float:
    _ping(pair, _WARM_PINGS)
    times_s = _ping(pair, _FIRST_PINGS)
    more = min(_MOST_PINGS, int(budget_s / (2 * median(times_s))) - _FIRST_PINGS)
    if more > 0:
        times_s += _ping(pair, more)
    for direction in ("0>1", "1>0"):
        emit(_sample(direction, PING_BYTES, times_s, pair.how))
    return min(times_s)


def _ping(pair: Pair, count: int) -> list[float]:
    """Half of each round trip, in seconds."""
    pair.tell(PING, count)
    times_s = []
    for _ in range(count):
        start_s = perf_counter()
        pair.send(PING_BYTES)
        pair.recv(PING_BYTES)
        times_s.append((perf_counter() - start_s) / 2)
    return times_s


def _measure_size(
    pair: Pair, size_bytes: int, step: Step, latency_s: float, left_s: Callable[[], float]
) -> dict[str, list[float]]:
    """Times of single messages, one way and the other by turns, so that a disturbance meets both."""
    if step.warm:
        _give(pair, size_bytes)
        _take(pair, size_bytes)
    lead_in, start_s = lead_in_bytes(size_bytes), perf_counter()
    there: list[float] = []
    back: list[float] = []
    for _ in range(step.repeats):
        if lead_in:
            _give(pair, lead_in)
        there.append(_without(latency_s, _give(pair, size_bytes)))
        if pair.both_ways:
            back.append(there[-1])
        else:
            if lead_in:
                _take(pair, lead_in)
            back.append(_without(latency_s, _take(pair, size_bytes)))
        too_long = len(there) >= FEW_REPEATS and perf_counter() - start_s > step.limit_s
        if too_long or left_s() < there[-1] + back[-1]:
            break
    return {"0>1": there, "1>0": back}


def _without(latency_s: float, time_s: float) -> float:
    return max(time_s - latency_s, time_s / 2)


def _give(pair: Pair, size_bytes: int) -> float:
    pair.tell(TAKE, size_bytes)
    pair.recv(PING_BYTES)
    start_s = perf_counter()
    pair.send(size_bytes)
    pair.recv(PING_BYTES)
    return perf_counter() - start_s


def _take(pair: Pair, size_bytes: int) -> float:
    pair.tell(GIVE, size_bytes)
    pair.recv(PING_BYTES)
    start_s = perf_counter()
    pair.send(PING_BYTES)
    pair.recv(size_bytes)
    return perf_counter() - start_s


def _sample(direction: str, size_bytes: int, times_s: Sequence[float], how: str) -> dict[str, Any]:
    p90_s = quantiles(times_s, n=10, method="inclusive")[-1] if len(times_s) > 1 else times_s[0]
    return {
        "event": "sample",
        "direction": direction,
        "size_bytes": size_bytes,
        "seconds": median(times_s),
        "repeats": len(times_s),
        "low_s": min(times_s),
        "p90_s": p90_s,
        "how": how,
    }
