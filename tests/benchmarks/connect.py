"""How long until two ranks are usable, beside ipyparallel's two engines.

Each start is a fresh Python process, so that imports count alike, and is timed from outside: from the
start of the interpreter until the result of a first trivial cell has come back. kernelkit's ranks have
formed and checked an MLX group by then; the engines have not.
"""

from __future__ import annotations

import time
from functools import partial

from tests.benchmarks.measure import Measure, Outcome, Target, by_turns
from tests.benchmarks.processes import Script

_WARM_UP = 1  # fills the file cache, and lets ipyparallel write its profile


def run(quick: bool) -> Outcome:
    """Start both by turns."""
    results = by_turns(
        {name: partial(_start, name) for name in ("kernelkit", "ipyparallel")},
        rounds=3 if quick else 7,
        warm_up=_WARM_UP,
        budget_s=30 if quick else 90,
        show=lambda times: f"{times['from_nothing_s']:.2f} s",
    )
    ours, theirs = results["kernelkit"], results["ipyparallel"]

    def compare(name: str, key: str, *targets: Target) -> Measure:
        return Measure.compare(
            name, "s", [t[key] for t in ours], "ipyparallel", [t[key] for t in theirs], *targets
        )

    return Outcome(
        [
            compare(
                "2 usable ranks, from nothing",
                "from_nothing_s",
                Target("ratio", "<=", 1 / 3),
                Target("value", "<", 3.0),
            ),
            compare("2 usable ranks, imports left out", "connect_s"),
        ],
        _WARM_UP,
    )


def _start(name: str) -> dict[str, float]:
    started_s = time.perf_counter()
    with Script(f"connect_{name}") as script:
        answer = script.answer()
        from_nothing_s = time.perf_counter() - started_s
    return {"from_nothing_s": from_nothing_s, **answer}
