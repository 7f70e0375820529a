"""Put together what the ranks recorded: one timeline, on one clock.

A rank knows when it went into a collective and when it came out. That it waited there for another shows
only beside the other ranks' times, so clocks matter. Ranks of one machine share one (`time.perf_counter`
counts from the machine's start, on Linux and on macOS). Clocks of several machines are set alike at the end
of the first collective, which all ranks leave at nearly the same time: what a step of the link takes is the
error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.perf.timeline import Lane, Span, Timeline, What

_BETWEEN = "between collectives"
_KINDS: dict[str, What] = {"send": "send", "recv": "recv", "recv_like": "recv"}
_ONE_CLOCK = "recorded on one machine, by its one clock"
_SET_ALIKE = (
    "recorded on several machines, whose clocks were set alike at the end of the first collective: waiting "
    "and collective are told apart as exactly as that, some latencies of the link"
)
_ALONE = "each collective ran alone, not beside computing; between them ranks compute, and do all else"


@dataclass(frozen=True)
class _Call:
    start_s: float
    end_s: float
    name: str
    size_bytes: int

    @property
    def what(self) -> What:
        return _KINDS.get(self.name, "collective")


def timeline_of(recordings: Sequence[Mapping[str, Any]], token_times_s: Sequence[float]) -> Timeline:
    """All ranks' recordings as one timeline.

    Args:
        recordings: by rank, as `rank.timing.Clock.to_dict` gave it.
        token_times_s: since rank 0's call.
    """
    calls = [_calls(recording) for recording in recordings]
    origins_s = [recording["origin_s"] for recording in recordings]
    one_clock = len({recording["machine"] for recording in recordings}) == 1
    if one_clock:
        shifts_s = [origin_s - min(origins_s) for origin_s in origins_s]
    else:
        ends_s = [next((c.end_s for c in mine if c.what == "collective"), 0.0) for mine in calls]
        shifts_s = [max(ends_s) - end_s for end_s in ends_s]
    calls = [[_shifted(call, by_s) for call in mine] for mine, by_s in zip(calls, shifts_s, strict=True)]
    last_in_s = _last_in(calls)
    lanes = tuple(
        _lane(mine, by_s, last_in_s, recording["elapsed_s"])
        for mine, by_s, recording in zip(calls, shifts_s, recordings, strict=True)
    )
    dropped = max(recording["dropped"] for recording in recordings)
    conditions = [_ONE_CLOCK if one_clock else _SET_ALIKE, _ALONE]
    if dropped:
        conditions.append(f"the first {len(calls[0]):,} collectives; {dropped:,} later ones were not kept")
    times_s = tuple(time_s + shifts_s[0] for time_s in token_times_s)
    return Timeline("recorded", lanes, times_s, 1, tuple(conditions), dropped)


def _calls(recording: Mapping[str, Any]) -> list[_Call]:
    """With times since the rank's own call."""
    kinds = recording["kinds"]
    return [
        _Call(start_us / 1e6, (start_us + length_us) / 1e6, *kinds[kind])
        for start_us, length_us, kind in recording["spans"]
    ]


def _shifted(call: _Call, by_s: float) -> _Call:
    return _Call(call.start_s + by_s, call.end_s + by_s, call.name, call.size_bytes)


def _last_in(calls: Sequence[Sequence[_Call]]) -> list[float]:
    """Of each collective, when the last rank went into it."""
    own = [[call.start_s for call in mine if call.what == "collective"] for mine in calls]
    return [max(starts_s) for starts_s in zip(*own, strict=False)]


def _lane(
    calls: Sequence[_Call], begin_s: float, last_in_s: Sequence[float], elapsed_s: float | None
) -> Lane:
    spans, at_s, number = [], begin_s, 0
    for call in calls:
        start_s = max(at_s, call.start_s)
        end_s = max(start_s, call.end_s)
        spans.append(Span(at_s, start_s, "compute", _BETWEEN, 0))
        met_s = start_s
        if call.what == "collective":
            if number < len(last_in_s):
                met_s = min(end_s, max(start_s, last_in_s[number]))
            number += 1
        spans.append(Span(start_s, met_s, "wait", call.name, 0))
        spans.append(Span(met_s, end_s, call.what, call.name, call.size_bytes))
        at_s = end_s
    if elapsed_s is not None:
        spans.append(Span(at_s, begin_s + elapsed_s, "compute", _BETWEEN, 0))
    # To a tenth of a microsecond: clocks give no more, and files stay small.
    return Lane.of(
        [span._replace(start_s=round(span.start_s, 7), end_s=round(span.end_s, 7)) for span in spans]
    )
