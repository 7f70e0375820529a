"""What sets the pace of two GPUs, as tables: both programs by turns, settings by turns, and traces; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.nccl import shapes

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

_TURNS = (
    *("8B bf16: GPUs, batch, run", "decode, tokens/s", "plain script", "ratio of each turn"),
    *("prefill, tokens/s", "plain script", "ratio of each turn"),
)
_GRAPHS_ON, _GRAPHS_OFF = "MLX_USE_CUDA_GRAPHS=1", "MLX_USE_CUDA_GRAPHS=0"
# GPUs, how the run is called, and where its figures are.
_RUNS = (
    (2, "", "by turns on 2 GPUs", _GRAPHS_ON),
    (2, "without graphs", "by turns on 2 GPUs", _GRAPHS_OFF),
    (2, "third", "by turns on 2 GPUs, third run", "8B-bf16"),
    (
        *(2, "third, `NCCL_GRAPH_MIXING_SUPPORT=0`"),
        *("by turns on 2 GPUs, third run, NCCL_GRAPH_MIXING_SUPPORT=0", "8B-bf16"),
    ),
    (2, "fourth, without graphs", "by turns on 2 GPUs, fourth run, MLX_USE_CUDA_GRAPHS=0", "8B-bf16"),
    (1, "", "by turns on 1 GPU", _GRAPHS_ON),
    (1, "without graphs", "by turns on 1 GPU", _GRAPHS_OFF),
)
_SETTINGS = ("on two GPUs, kernelkit", "decode, tokens/s, as MLX has it", "with it", "ratio of each turn")
_TRACES = (
    *("a sequence, rank", "tokens/s", "traced", "GPU busy, ms a token", "of it in `all_sum`, waits included"),
    *("without work, ms a token", "one `all_sum`, median and most", "longest calls of the host, ms a token"),
)
_CALLS = 3


def pace(parts: Mapping[str, Any]) -> list[Table]:
    """The three tables, each with its columns."""
    return [
        (_TURNS, _turns(parts)),
        (_SETTINGS, _settings(parts["settings"])),
        (_TRACES, _traces(parts["trace"])),
    ]


def _turns(parts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for gpus, called, part, key in _RUNS:
        for batch in shapes.BATCHES:
            found = parts[part][key][f"batch {batch}"]
            ours, theirs = found["kernelkit"], found["plain"]
            rows.append(
                (
                    ", ".join(filter(None, (str(gpus), str(batch), called))),
                    f"{ours['decode_tokens_per_s']:,.1f}",
                    f"{theirs['decode_tokens_per_s']:,.1f}",
                    f"{found['ratio, decode_tokens_per_s']:.3f}",
                    f"{ours['prefill_tokens_per_s']:,.0f}",
                    f"{theirs['prefill_tokens_per_s']:,.0f}",
                    f"{found['ratio, prefill_tokens_per_s']:.3f}",
                )
            )
    return rows


def _settings(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, batches in found.items():
        if not isinstance(batches, Mapping):
            continue  # how long it took
        model, setting = name.split(", ", 1)
        for batch, one in batches.items():
            rates = (_span(one["as it is"]), _span(one["set"]))
            rows.append((f"{model}, {batch}: `{setting}`", *rates, f"{one['ratio']:.2f}"))
    return rows


def _span(rates: list[float]) -> str:
    return f"{min(rates):,.0f} to {max(rates):,.0f}"


def _traces(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for case, one in found.items():
        rates = f"{one['tokens_per_s']:.0f}", f"{one['traced_tokens_per_s']:.0f}"
        token_ms = 1e3 / one["traced_tokens_per_s"]
        for rank, facts in enumerate(one["ranks"]):
            sums = facts["all_sum_us"]
            # They run one by one; of other kernels some run side by side, so their times do not add up.
            summing_us = sum(k["us_per_token"] for k in facts["kernels"] if "nccl" in k["name"])
            calls = [call for call in facts["host"] if call["name"].startswith("cu")][:_CALLS]
            rows.append(
                (
                    *(f"{case}, rank {rank}", *rates),
                    f"{facts['busy_share'] * token_ms:.1f}",
                    f"{summing_us / 1e3:.1f}" if sums else "",
                    f"{(1 - facts['busy_share']) * token_ms:.1f}",
                    f"{sums['median']:.0f} µs, {sums['most'] / 1e3:.1f} ms" if sums else "",
                    ", ".join(f"`{call['name']}` {call['us_per_token'] / 1e3:.1f}" for call in calls),
                )
            )
    return rows
