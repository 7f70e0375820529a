"""What a benchmark reports, and the one way to take it: by turns, so that noise hits all alike."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")

_FEWEST_ROUNDS = 2


@dataclass(frozen=True)
class Summary:
    """The middle and the spread of what one contestant took.

    Attributes:
        n: how many times it was measured; warm-up runs are not among them.
    """

    median: float
    q1: float
    q3: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarize at least one value; the quartiles of a single one are itself."""
        q1, median, q3 = (
            statistics.quantiles(values, n=4, method="inclusive") if values[1:] else [values[0]] * 3
        )
        return cls(_rounded(median), _rounded(q1), _rounded(q3), len(values))


@dataclass(frozen=True)
class Target:
    """What the project set itself to reach.

    Attributes:
        of: kernelkit's own median (`value`), or its ratio to the peer's (`ratio`).
        relation: how it must compare with `limit`.
    """

    of: Literal["value", "ratio"]
    relation: Literal["<=", "<", ">="]
    limit: float


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        name: what is measured, in a few words.
        unit: of both contestants' values.
        kernelkit: what kernelkit took.
        peer_name: whom it is compared with; empty where there is nobody.
        peer: what that one took.
        targets: all must be met.
        paired: kernelkit over the peer, turn by turn; where the machine drifts it says more than the
            ratio of the medians.
    """

    name: str
    unit: str
    kernelkit: Summary
    peer_name: str = ""
    peer: Summary | None = None
    targets: tuple[Target, ...] = ()
    paired: Summary | None = None

    @classmethod
    def compare(
        cls,
        name: str,
        unit: str,
        ours: Sequence[float],
        peer_name: str,
        theirs: Sequence[float],
        *targets: Target,
    ) -> Measure:
        """kernelkit's values beside a peer's, taken by turns."""
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        return cls(
            name, unit, Summary.of(ours), peer_name, Summary.of(theirs), targets, paired=Summary.of(ratios)
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """What one benchmark gives back.

    Attributes:
        warm_up: turns before the measured ones; they are in no figure.
        facts: what else belongs to the figures, JSON-like.
    """

    measures: list[Measure]
    warm_up: int
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        measures = [measure.to_dict() for measure in self.measures]
        return {"measures": measures, "warm_up_excluded": self.warm_up, "facts": self.facts}


def by_turns(
    contestants: dict[str, Callable[[], T]],
    *,
    rounds: int,
    warm_up: int,
    show: Callable[[T], str],
    every: int = 1,
    budget_s: float = math.inf,
) -> dict[str, list[T]]:
    """Call the contestants one after the other, round after round: A B, B A, A B ...

    Args:
        contestants: name and what to call; it returns what it measured.
        rounds: how many measured rounds.
        warm_up: rounds before them, whose results are dropped.
        show: one result as text, for the progress line.
        every: show one round in so many.
        budget_s: after this time no new round begins, once there are two; on a slow machine there are fewer.
    """
    results: dict[str, list[T]] = {name: [] for name in contestants}
    started_s = time.monotonic()
    for turn in range(-warm_up, rounds):
        if turn >= _FEWEST_ROUNDS and time.monotonic() - started_s > budget_s:
            say(f"out of time: {turn} rounds in place of {rounds}")
            break
        names = list(contestants) if turn < 0 or turn % 2 == 0 else list(reversed(contestants))
        latest = {name: contestants[name]() for name in names}
        if turn >= 0:
            for name, result in latest.items():
                results[name].append(result)
        if turn < 0 or (turn + 1) % every == 0 or turn + 1 == rounds:
            where = f"{turn + 1}/{rounds}" if turn >= 0 else "warm-up, not counted"
            say(f"{where}: " + ", ".join(f"{name} {show(latest[name])}" for name in contestants))
    return results


def say(text: str) -> None:
    """A progress line, shown at once, also while standard output is taken for something else."""
    print(f"    {text}", file=sys.__stdout__, flush=True)


def _rounded(value: float) -> float:
    """Five digits: more would only make the stored file change for nothing."""
    return float(f"{value:.5g}")
