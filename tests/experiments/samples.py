"""Records without a cluster, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kernelkit.experiments import Code, Experiment, Figure, Host, Model, Place, Written
from kernelkit.generation import Generation

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def generation(tokens: list[int], **fields: Any) -> Generation:
    made = Generation(
        text="two words",
        tokens=tokens,
        prompt_tokens=4,
        prompt_tokens_per_s=80.0,
        tokens_per_s=20.0,
        peak_memory_bytes=(1000, 2000),
        finish_reason="length",
        seed=5,
        token_times_s=tuple(0.1 * (i + 1) for i in range(len(tokens))),
        elapsed_s=(1.0, 1.0),
    )
    return replace(made, **fields)


def record(tokens: list[int] | None = None, **fields: Any) -> Experiment:
    """On one host of two ranks, with one number and one greedy text."""
    made = Experiment(
        name="greedy",
        began="2026-01-02T03:04:05+00:00",
        ended="2026-01-02T03:04:07+00:00",
        elapsed_s=2.25,
        parameters={"prompt": "It is", "max_tokens": 3},
        seeds={},
        figures=(Figure("loss", (1.5, 1.25, 1.75), "1"),),
        versions={"kernelkit": "0.1.0"},
        code=Code(COMMIT),
        models=(Model("austen", "ab" * 32, "tensor", None, 2, None, None, "float32"),),
        backend="ring",
        places=(Place(0, "vm", "cpu", "OpenBLAS"), Place(1, "vm", "cpu", "OpenBLAS")),
        hosts=(Host("vm", "a chip", 8_000_000_000, "Linux", "3.11.7", "0.32.4", "0.32.2"),),
        texts=(Written("answer", generation(tokens or [7, 8, 9]), 0),),
    )
    return replace(made, **fields)
