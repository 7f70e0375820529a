"""From timed messages to two figures of a link: its latency and its bandwidth. Pure.

The model is `time = latency + size / bandwidth` for one message one way.

Latency is half a ping-pong of 4 bytes, the median of many. Which half of it was spent on which way
cannot be told by one clock, so both ways get the same.

Bandwidth is the model fitted to the large sizes, the largest that was measured and those down to half of it,
by least squares, with the time of the quickest message of all as the latency (on a busy machine the others
are not the link's, and no message takes less than the link):

    bandwidth = sum(size**2) / sum(size * (time - latency)).

A time may be shorter than the link's own only where a buffer on the way had room: the probe fills that before
each large message, see `rank.probe_pair`. So the times are those of a link under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KIB, MIB = 2**10, 2**20
PING_BYTES = 4
# From a mebibyte on by twos, so that the largest a slow link can pay is not far below what it could.
SIZES_BYTES = (KIB, 16 * KIB, 64 * KIB, 256 * KIB, *(n * MIB for n in (1, 2, 4, 8, 16, 32, 64)))


@dataclass(frozen=True)
class Sample:
    """One size, timed.

    Attributes:
        size_bytes: of one message.
        seconds: for one message one way, the median.
        repeats: how many were timed.
        low_s: the fastest of them.
        p90_s: nine of ten were at least as fast.
        how: what was called: `send`, `all_sum` or `tcp`.
    """

    size_bytes: int
    seconds: float
    repeats: int
    low_s: float
    p90_s: float
    how: str


@dataclass(frozen=True)
class Skip:
    """A size that was not measured, and why: `it would take 5.4 s`."""

    size_bytes: int
    reason: str


def latency_s(samples: Sequence[Sample]) -> float | None:
    """Half a ping-pong in seconds; None where there was none."""
    return next((sample.seconds for sample in samples if sample.size_bytes == PING_BYTES), None)


def bandwidth_bytes_per_s(samples: Sequence[Sample]) -> float | None:
    """What large messages reach, by this module's formula; None where only pings were timed."""
    pings = any(sample.size_bytes == PING_BYTES for sample in samples)
    latency = min((sample.low_s for sample in samples), default=0.0) if pings else 0.0
    timed = [(s.size_bytes, s.seconds - latency) for s in samples if s.size_bytes > PING_BYTES]
    largest = max((size for size, _ in timed), default=0)
    large = [(size, time_s) for size, time_s in timed if size >= largest / 2]
    moved = sum(size * time_s for size, time_s in large)
    return sum(size**2 for size, _ in large) / moved if moved > 0 else None


def format_size(size_bytes: int) -> str:
    """Message sizes are powers of two: `4 B`, `16 KiB`, `64 MiB`."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g} {name}"
    return f"{size_bytes} B"
