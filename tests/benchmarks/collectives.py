"""What recording a collective costs, and what `--check` costs, on two ranks of one ring.

The same loop of small sums, computed one by one, runs in one cluster by turns: through the functions
that kernelkit puts in front of MLX's, through MLX's own, and with `--check`, where each is preceded by
another collective that compares the ranks.
"""

from __future__ import annotations

from functools import partial

from kernelkit import Cluster, connect
from tests.benchmarks.measure import Measure, Outcome, by_turns, say

_WARM_UP = 2
_SUMS = 300
_LOOP = """
import time
all_sum = mx.distributed.all_sum{own}
x = mx.ones(256)
mx.eval(all_sum(x))
started_s = time.perf_counter()
for _ in range({sums}):
    mx.eval(all_sum(x))
took_s = time.perf_counter() - started_s
"""


def run(quick: bool) -> Outcome:
    """Time a sum of 256 float32 in three ways."""
    with connect(2) as cluster:
        say(f"{_SUMS} sums of 1 KiB a turn")
        results = by_turns(
            {
                "recorded": partial(_one, cluster, ""),
                "MLX's own": partial(_one, cluster, ".__wrapped__"),
                "--check": partial(_one, cluster, "", check=True),
            },
            rounds=6 if quick else 25,
            warm_up=_WARM_UP,
            show=lambda took_s: f"{took_s * 1e6:.0f} µs",
            every=5,
            budget_s=10 if quick else 30,
        )
    ours = results["recorded"]
    return Outcome(
        [
            Measure.compare("one `all_sum` of 1 KiB, 2 ranks", "s", ours, "MLX alone", results["MLX's own"]),
            Measure.compare("the same under `--check`", "s", results["--check"], "kernelkit without", ours),
        ],
        _WARM_UP,
        {"sums": _SUMS},
    )


def _one(cluster: Cluster, own: str, *, check: bool = False) -> float:
    """Seconds per sum on rank 0."""
    cluster.run(_LOOP.format(own=own, sums=_SUMS), check=check)
    return float(cluster["took_s"][0]) / _SUMS
