"""What the GPUs and the host did while a model decoded, by PyTorch's profiler inside the ranks.

The ranks need PyTorch for that: MLX has no profiler of its own for CUDA. PyTorch's reads what NVIDIA's
library tells of a whole process, so of MLX's kernels and calls too. It slows the host, as the two rates tell.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, variable

_BEGIN = """
import torch
torch.cuda.init()
from torch.profiler import ProfilerActivity, profile
_profile = profile(activities=[ProfilerActivity.CUDA])
_profile.start()
"""
_END = "_profile.stop()\n_profile.export_chrome_trace(f'{folder}/trace-{{rank}}.json')"
# With CUDA's graphs, as MLX has them, or without.
_CASES = (
    (shapes.Case("8B", "bf16", 2), "1"),
    (shapes.Case("8B", "bf16", 2), "0"),
    (shapes.Case("8B", "bf16", 1), "1"),
    (shapes.Case("70B", "4bit", 2), "1"),
)
_WARM_TOKENS, _TOKENS, _TRACED_TOKENS = 16, 64, 24
# Of the last ones, so that the prompt is not among them.
_READ_TOKENS = 12
_ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
_ON_HOST = ("cuda_runtime", "cuda_driver")
_SHOWN = 14
# Between kernels that were handed over in time lie one or two microseconds.
_GAP_US = 5.0

Keep = Callable[[str, dict[str, Any]], None]
Event = Mapping[str, Any]


def trace(ground: Ground, keep: Keep) -> None:
    """8B on one GPU and on two, and 70B of 4 bits on two: a sequence each."""
    for case, graphs in _CASES:
        folder = ground.folder / f"trace-{case.model}-{case.gpus}-{graphs}"
        folder.mkdir()
        with variable(GRAPHS, graphs), ground.cluster(case.gpus, draws=True) as cluster:
            model = cluster.load(str(ground.model(case)), context=shapes.PROMPT_TOKENS + shapes.NEW_TOKENS)
            model.generate(shapes.prompt(), _WARM_TOKENS, raw=True)
            plain = model.generate(shapes.prompt(), _TOKENS, raw=True)
            cluster.run(_BEGIN)
            traced = model.generate(shapes.prompt(), _TRACED_TOKENS, raw=True)
            cluster.run(_END.format(folder=folder))
        ranks = [
            facts(_events(folder / f"trace-{rank}.json"), 1 / traced.tokens_per_s)
            for rank in range(case.gpus)
        ]
        rates = {"tokens_per_s": plain.tokens_per_s, "traced_tokens_per_s": traced.tokens_per_s}
        keep(str(case) if graphs == "1" else f"{case}, {GRAPHS}=0", {**rates, "ranks": ranks})


def _events(path: Path) -> list[Event]:
    return [one for one in json.loads(path.read_text())["traceEvents"] if one.get("ph") == "X"]


def facts(events: Sequence[Event], token_s: float) -> dict[str, Any]:
    """Of the last tokens of a rank, for each of them.

    Args:
        events: of Chrome's format, `ts` and `dur` in microseconds; GPU's and host's by `cat`.
        token_s: how long a token took.
    """
    work = sorted((one for one in events if one["cat"] in _ON_GPU), key=lambda one: float(one["ts"]))
    ends_us = max(one["ts"] + one["dur"] for one in work)
    begins_us = ends_us - _READ_TOKENS * token_s * 1e6
    work = [one for one in work if one["ts"] >= begins_us]
    span_us = ends_us - work[0]["ts"]
    tokens = span_us / (token_s * 1e6)
    gaps_us = _gaps_us(work)
    sums_us = sorted(one["dur"] for one in work if "nccl" in one["name"].lower())
    host = [one for one in events if one["cat"] in _ON_HOST and one["ts"] >= begins_us]
    return {
        "tokens": tokens,
        "busy_share": 1 - sum(gaps_us) / span_us,
        "long_gaps_us": sum(gap_us for gap_us in gaps_us if gap_us > _GAP_US) / tokens,
        "kernels": _by_name(work, tokens),
        "all_sum_us": _spread(sums_us) if sums_us else None,
        "host": _by_name(host, tokens),
    }


def _gaps_us(work: Sequence[Event]) -> list[float]:
    """Between one kernel and the next, where none runs; in a graph some run side by side."""
    gaps_us, ended_us = [], work[0]["ts"]
    for one in work:
        gaps_us.append(max(0.0, one["ts"] - ended_us))
        ended_us = max(ended_us, one["ts"] + one["dur"])
    return gaps_us


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        name: values[min(len(values) - 1, int(part * len(values)))]
        for name, part in (("least", 0), ("median", 0.5), ("p90", 0.9), ("most", 1))
    }


def _by_name(events: Sequence[Event], tokens: float) -> list[dict[str, Any]]:
    """Those that take longest in all."""
    times_us: dict[str, list[float]] = defaultdict(list)
    for one in events:
        times_us[one["name"][:90]].append(one["dur"])
    longest = sorted(times_us.items(), key=lambda item: -sum(item[1]))[:_SHOWN]
    return [
        {
            "name": name,
            "us_per_token": sum(found) / tokens,
            "times_per_token": len(found) / tokens,
            "us_each": sum(found) / len(found),
        }
        for name, found in longest
    ]
