"""What loading a model costs each rank: the most memory meanwhile, what stays, what is read, and the time.

A random qwen2 of some 1.3 GB in float32 is written to the temporary folder and loaded over two ranks. Figures
are the worse rank's. `in MLX` counts MLX's own arrays; `of the process` is by how much the process grew. What
is read through a mapping of the file is counted by the rank itself, since the system does not; what MLX
reads, by the system.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import kernelkit
from kernelkit.units import format_bytes
from tests.benchmarks.measure import Measure, Outcome, Summary, Target, by_turns, say

_WARM_UP = 1
_RANKS = 2
# One process more, so that this one, whose ranks are measured, never holds the weights.
_BUILD = """
import sys
from pathlib import Path
import mlx.core as mx
from tests.rank import tiny
small = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=4)
large = dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=int(sys.argv[2]),
             num_attention_heads=16, num_key_value_heads=8)
tiny.build(Path(sys.argv[1]) / "large", "qwen2", **large)
tiny.build(Path(sys.argv[1]) / "small", "qwen2", **small)
"""
_BEFORE = """
import gc, psutil
gc.collect(); mx.clear_cache(); mx.reset_peak_memory()
_rss = psutil.Process().memory_info().rss
try:
    _read = psutil.Process().io_counters().read_chars
except AttributeError:  # macOS does not count them
    _read = None
"""
_AFTER = """
import json, resource, sys
_peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
json.dumps({
    "peak_bytes": mx.get_peak_memory(),
    "active_bytes": mx.get_active_memory(),
    "rss_growth_bytes": _peak_rss - _rss,
    "read_bytes": None if _read is None else psutil.Process().io_counters().read_chars - _read,
})
"""


def run(quick: bool) -> Outcome:
    """Load by each strategy in turn, in fresh ranks each time, since a process's peak never falls."""
    with tempfile.TemporaryDirectory(prefix="kernelkit-bench-") as name:
        folder = Path(name)
        say("writing a random model")
        layers = 3 if quick else 6
        subprocess.run([sys.executable, "-c", _BUILD, name, str(layers)], check=True)
        stored = sum(path.stat().st_size for path in (folder / "large").glob("*.safetensors"))
        results = by_turns(
            {strategy: partial(_load, folder, strategy) for strategy in ("tensor", "pipeline")},
            rounds=2 if quick else 3,
            warm_up=_WARM_UP,
            budget_s=30 if quick else 90,
            show=lambda load: f"{load['load_s']:.2f} s",
        )
    measures = [measure for strategy, loads in results.items() for measure in _measures(strategy, loads)]
    facts = {"stored_bytes": stored, "loads": results}
    say(f"{format_bytes(stored)} in the file")
    return Outcome(measures, _WARM_UP, facts)


def _measures(strategy: str, loads: list[dict[str, Any]]) -> list[Measure]:
    def measure(what: str, key: str, *targets: Target, unit: str = "") -> Measure:
        return Measure(
            f"{what}, {strategy}", unit, Summary.of([load[key] for load in loads]), targets=targets
        )

    found = [
        measure("in MLX after loading / bytes owned", "held", Target("value", "<=", 1.1)),
        measure("peak in MLX while loading / bytes owned", "peak"),
        measure("peak of the process while loading / bytes owned", "rss"),
        measure("time to load", "load_s", unit="s"),
    ]
    if loads[0]["read"] is not None:
        found.append(measure("read by a rank / bytes of the file", "read"))
    return found


def _load(folder: Path, strategy: Any) -> dict[str, Any]:
    with kernelkit.connect(_RANKS) as cluster:
        cluster.load(str(folder / "small"), strategy).unload()  # imports are not what is measured
        cluster.run(_BEFORE)
        started_s = time.perf_counter()
        model = cluster.load(str(folder / "large"), strategy)
        load_s = time.perf_counter() - started_s
        after = cluster.run(_AFTER)
    ranks = [json.loads((after[rank].value_repr or "").strip("'")) for rank in range(_RANKS)]
    mapped = [(model.summaries[rank]["read_bytes"] or {}).get("parts", 0) for rank in range(_RANKS)]
    owned = [model.summaries[rank]["weight_bytes"] for rank in range(_RANKS)]
    stored = sum(path.stat().st_size for path in (folder / "large").glob("*.safetensors"))

    def worst(key: str) -> float:
        return max(rank[key] / own for rank, own in zip(ranks, owned, strict=True))

    reads = [
        rank["read_bytes"] + parts
        for rank, parts in zip(ranks, mapped, strict=True)
        if rank["read_bytes"] is not None
    ]
    return {
        "held": worst("active_bytes"),
        "peak": worst("peak_bytes"),
        "rss": worst("rss_growth_bytes"),
        "read": max(reads) / stored if reads else None,
        "load_s": load_s,
        "ranks": ranks,
        "owned_bytes": owned,
    }
