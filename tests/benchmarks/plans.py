"""What plans take, and how near they come to published speeds.

A plan of the largest model, each time as if nothing had been planned before; and a sweep over numbers of
machines, links, strategies, contexts and quantizations.
"""

from __future__ import annotations

import time
from itertools import product
from statistics import median

from kernelkit.perf import plan, planning, published, sweep
from tests.benchmarks.measure import Measure, Outcome, Summary, Target

_LARGEST = "kimi-k2"
_ON = "4xm3-ultra-512"
_SWEPT = 1000
_LINKS = ("tb5-rdma", "tb5", "10gbe")


def run(quick: bool) -> Outcome:
    """Time both, and take the errors of the published rows."""
    plan(_LARGEST, _ON)  # reads the catalog
    single_s = [_fresh_s() for _ in range(5 if quick else 30)]
    swept_s = [_sweep_s() for _ in range(1 if quick else 5)]
    table = published()
    right = [told for _, _, told in table.pairs()]
    errors = [row.error for row in table.predicted if row.error is not None]
    return Outcome(
        [
            Measure("a plan of Kimi K2 over 4 Macs", "s", Summary.of(single_s), targets=(_at_most(0.1),)),
            Measure(f"{_SWEPT:,} plans, a sweep", "s", Summary.of(swept_s), targets=(_at_most(10),)),
            Measure(
                f"error of {len(errors)} published speeds of decoding, median",
                "",
                Summary.of([median(errors)]),
                targets=(_at_most(0.15),),
            ),
            Measure(
                f"pairs of {len(right)} where faster or slower is told right",
                "",
                Summary.of([sum(right)]),
                targets=(Target("value", ">=", len(right)),),
            ),
        ],
        1,
        {"ratios": {row.row.key: row.ratio for row in table.predicted}},
    )


def _at_most(limit: float) -> Target:
    return Target("value", "<=", limit)


def _fresh_s() -> float:
    planning.forget()
    started_s = time.perf_counter()
    plan(_LARGEST, _ON)
    return time.perf_counter() - started_s


def _sweep_s() -> float:
    """Of a thousand plans, in proportion to those that were made."""
    planning.forget()
    made, started_s = 0, time.perf_counter()
    for quantization, context in product(("4bit", "8bit"), (1024, 4096, 16_384, 65_536)):
        swept = sweep(
            _LARGEST, "m3-ultra-512", range(1, 9), _LINKS, quantization=quantization, context=context
        )
        made += len(swept.plans)
    return (time.perf_counter() - started_s) * _SWEPT / made
