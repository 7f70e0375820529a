"""What every rank did and when: the whole run, and a moment of it so near that single spans can be seen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from kernelkit.amounts import check_amount
from kernelkit.errors import ArgumentError
from kernelkit.perf.timeline import Lane, Timeline, What, groups
from kernelkit.units import format_seconds
from kernelkit.views.picture import Picture
from kernelkit.views.timeline_cells import cells

# More rows than this no eye tells apart; then a row stands for several ranks.
MOST_ROWS = 64
_MOST_TICKS = 200
# With so many spans of a rank the whole run shows each of them; in the near view there are about so many.
_FEW_SPANS = 60
_NEAR_SPANS = 30
# Slices of time; near, the edges of single spans should not be seen to be steps.
_BINS = 480

KINDS: dict[str, tuple[What, ...]] = {
    "computing": ("compute",),
    "in collectives": ("collective",),
    "sending, receiving": ("send", "recv"),
    "waiting for others": ("wait",),
    "lost": ("lost",),
}


def timeline(run: Timeline, start_s: float | None = None, end_s: float | None = None) -> Picture:
    """Ranks down, time across, and beside it how much of the run each did what.

    Args:
        run: simulated or recorded.
        start_s, end_s: what the near view shows; by default some layers of a token in the middle of the run,
            or nothing where the whole run has few spans.

    Raises:
        ArgumentError: that is no part of the run, or this is no timeline.
    """
    if not isinstance(run, Timeline):
        raise ArgumentError(
            "this is no timeline",
            expected="a Timeline",
            got=type(run).__name__,
            cure="generate or run with record=True, and draw its .timeline; or kk.simulate(...)",
        )
    for name, at_s in (("start_s", start_s), ("end_s", end_s)):
        if at_s is not None:
            check_amount(name, at_s)
    drawn = scene(run, start_s, end_s)
    return Picture("timeline", drawn, repr(run), alt(run, drawn))


def scene(run: Timeline, start_s: float | None = None, end_s: float | None = None) -> dict[str, Any]:
    """All that the picture shows; shares are in thousandths."""
    rows = groups(run.world_size, MOST_ROWS)
    whole_s = run.duration_s or 1.0
    near = _near(run, start_s, end_s, whole_s)
    by_kind = [run.shares(*whats) for whats in KINDS.values()]
    return {
        "title": run.title,
        "conditions": list(run.conditions),
        "kinds": list(KINDS),
        "rows": [
            {
                "label": str(first) if first == last else f"{first}-{last}",
                "shares": [_mean(shares[first : last + 1]) for shares in by_kind],
                "idle": f"{_mean(run.idle_share[first : last + 1]):.0%}",
            }
            for first, last in rows
        ],
        "shares": [_mean(shares) for shares in by_kind],
        "token_times_s": list(run.token_times_s) if len(run.token_times_s) <= _MOST_TICKS else [],
        "whole": _panel(run, rows, 0.0, whole_s, _BINS),
        "near": None if near is None else _panel(run, rows, *near, 2 * _BINS),
    }


def alt(run: Timeline, drawn: dict[str, Any]) -> str:
    """The picture in a few sentences."""
    shares = zip(drawn["kinds"], drawn["shares"], strict=True)
    said = ", ".join(f"{share:.0%} {kind}" for kind, share in shares if share > 0)
    return f"Timeline, {run.title}. Of all ranks' time: {said or 'nothing'}."


def _panel(
    run: Timeline, rows: Sequence[tuple[int, int]], start_s: float, end_s: float, bins: int
) -> dict[str, Any]:
    kinds = tuple(KINDS.values())
    shares = [cells(run.ranks[first : last + 1], kinds, start_s, end_s, bins) for first, last in rows]
    return {
        "start_s": start_s,
        "end_s": end_s,
        "length": format_seconds(end_s - start_s),
        "cells": [[[round(1000 * value) for value in row] for row in one.tolist()] for one in shares],
    }


def _near(
    run: Timeline, start_s: float | None, end_s: float | None, whole_s: float
) -> tuple[float, float] | None:
    if start_s is not None or end_s is not None:
        start_s, end_s = start_s or 0.0, whole_s if end_s is None else end_s
        if not 0 <= start_s < end_s <= whole_s * (1 + 1e-9):
            got = f"{start_s} to {end_s}"
            raise ArgumentError("this is no part of the run", expected=f"in 0 to {whole_s:g} s", got=got)
        return start_s, end_s
    busiest = max(run.ranks, key=lambda lane: len(lane.start_s))
    if len(busiest.start_s) <= _FEW_SPANS:
        return None
    return _moment(busiest, run.token_times_s)


def _moment(lane: Lane, times_s: Sequence[float]) -> tuple[float, float]:
    """Some spans of one rank, from where a token begins whose end was kept."""
    kept_s = [time_s for time_s in times_s if time_s < lane.end_s[-1]]
    first = bisect_left(lane.start_s, kept_s[len(kept_s) // 2] if kept_s else 0.0)
    first = max(0, min(first, len(lane.start_s) - _NEAR_SPANS))
    last = min(len(lane.end_s), first + _NEAR_SPANS) - 1
    return lane.start_s[first], lane.end_s[last]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
