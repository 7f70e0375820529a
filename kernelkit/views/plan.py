"""A plan: where a token's and a prompt's time goes, what fills each machine's memory, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.perf import words
from kernelkit.perf.ranges import Range
from kernelkit.perf.result import Plan, PlannedRank, Term
from kernelkit.units import format_bytes, format_rate, format_seconds
from kernelkit.views.memory import rank_names
from kernelkit.views.picture import Picture

# More bars than this nobody reads; of more, those with the least left are shown.
MOST_MACHINES = 12


def plan(planned: Plan) -> Picture:
    """Time by cause with its range, speeds, memory of the machines, and the reasons as sentences.

    A still picture, the same on every page.

    Args:
        planned: as `kernelkit.plan` gives it.

    Raises:
        ArgumentError: it is no plan.
    """
    if not isinstance(planned, Plan):
        got = type(planned).__name__
        raise ArgumentError("this is no plan", expected="a Plan", got=got, cure='kk.plan("kimi-k2")')
    drawn = scene(planned)
    return Picture("plan", drawn, repr(planned), alt(drawn))


def scene(planned: Plan) -> dict[str, Any]:
    """All that the picture shows."""
    return {
        "title": words.title(planned),
        "fits": planned.fits,
        "figures": _figures(planned),
        "times": [
            *_times("A token's time", planned.terms),
            *_times(f"A prompt's time, {planned.context:,} tokens", planned.prefill_terms),
        ],
        "memory": _memory(planned),
        "left_out": max(0, len(_alike(planned.ranks)) - MOST_MACHINES),
        "reasons": list(planned.reasons),
    }


def alt(drawn: dict[str, Any]) -> str:
    """The picture in a few sentences."""
    speeds = [
        f"{one['name']} {one['likely']}{one['range'] and ', ' + one['range']}." for one in drawn["figures"]
    ]
    return " ".join([f"Plan: {drawn['title']}.", *speeds, *drawn["reasons"]])


def _figures(planned: Plan) -> list[dict[str, str]]:
    def rate(value: float) -> str:
        return format_rate(value, "tokens")

    named: Sequence[tuple[str, Range | None, Callable[[float], str]]] = (
        ("decode", planned.decode_tokens_per_s, rate),
        ("prompt", planned.prefill_tokens_per_s, rate),
        ("first token", planned.time_to_first_token_s, format_seconds),
    )
    return [
        {"name": name, "likely": form(figure.mid), "range": _range(figure, form)}
        for name, figure, form in named
        if figure is not None
    ]


def _range(figure: Range, form: Callable[[float], str]) -> str:
    """`16.3 to 30.3 tokens/s`; empty of what is known."""
    if figure.low == figure.high:
        return ""
    low, high = form(figure.low), form(figure.high)
    (number, unit), (_, other) = low.split(" ", 1), high.split(" ", 1)
    return f"{number if unit == other else low} to {high}"


def _times(title: str, terms: Sequence[Term]) -> list[dict[str, Any]]:
    """One chart: all causes in a row, and each by itself; none where nothing is predicted."""
    shown = [term for term in terms if term.time_s.high > 0]
    if not shown:
        return []
    total = Range(*(sum(parts) for parts in zip(*(term.time_s.parts for term in shown), strict=True)))
    rows = [_row(term.cause, words.CAUSES.get(term.cause, term.cause), term.time_s, total) for term in shown]
    return [{"title": title, "whole": _row("", "all of it", total, total), "rows": rows}]


def _row(cause: str, name: str, time_s: Range, total: Range) -> dict[str, Any]:
    share = f", {time_s.mid / total.mid:.0%}" if cause else ""
    return {
        "cause": cause,
        "name": name,
        "time_s": list(time_s.parts),
        "likely": f"{format_seconds(time_s.mid)}{share}",
        "range": _range(time_s, format_seconds),
    }


def _alike(ranks: Sequence[PlannedRank]) -> list[list[PlannedRank]]:
    """Neighbours on machines of a kind that hold as much, together."""

    def key(rank: PlannedRank) -> tuple[object, ...]:
        sizes = (rank.weight_bytes, rank.kv_bytes, rank.activation_bytes, rank.limit_bytes)
        return (rank.node.partition(" #")[0], *sizes)

    return [list(members) for _, members in groupby(ranks, key)]


def _memory(planned: Plan) -> list[dict[str, Any]]:
    groups = _alike(planned.ranks)
    if len(groups) > MOST_MACHINES:
        tightest = sorted(groups, key=lambda members: members[0].free_bytes)[:MOST_MACHINES]
        groups = [members for members in groups if members in tightest]
    return [_machine(members) for members in groups]


def _machine(members: Sequence[PlannedRank]) -> dict[str, Any]:
    first, free_bytes = members[0], members[0].free_bytes
    left = f"{format_bytes(free_bytes)} free" if free_bytes >= 0 else f"lacks {format_bytes(-free_bytes)}"
    parts = [
        ("weights", "weights", first.weight_bytes),
        ("kv", "KV cache", first.kv_bytes),
        ("activations", "activations", first.activation_bytes),
    ]
    return {
        "ranks": rank_names([rank.rank for rank in members]) + (", each" if len(members) > 1 else ""),
        "machine": first.node if len(members) == 1 else first.node.partition(" #")[0],
        "parts": [{"kind": kind, "name": name, "bytes": size} for kind, name, size in parts],
        "words": ", ".join(f"{name} {format_bytes(size)}" for _, name, size in parts),
        "limit_bytes": first.limit_bytes,
        "left_bytes": free_bytes,
        "left": f"{left} of {format_bytes(first.limit_bytes)}",
    }
