"""Tokens per second through kernelkit, beside mlx-lm's own loop on a ring that was started by hand.

Same weights, same padding, same dtype, same BLAS with as many threads, same prompt; and the same tokens
must come out. Both rings stay alive and generate by turns: ranks that wait for a request wait in a
system call, and the share of a core that they use meanwhile is among the facts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

import kernelkit
from tests.benchmarks.measure import Measure, Outcome, Target, by_turns, say
from tests.benchmarks.ring import RANKS, ring

_WARM_UP = 1
_PROMPT = "Explain in a few sentences why the sky is blue and why sunsets are red."


@dataclass(frozen=True)
class _Turn:
    """One generation, and what the other ring used of the cores meanwhile."""

    tokens: list[int]
    tokens_per_s: float
    whole_s: float
    idle_cores: float


def run(quick: bool) -> Outcome:
    """Generate on both rings by turns.

    Raises:
        ValueError: the two generated different tokens, so their speeds do not compare.
    """
    max_tokens = 16 if quick else 48
    with ExitStack() as stack:
        say("kernelkit: 2 ranks, smollm2 (its first load converts the weights)")
        cluster = kernelkit.connect(RANKS)
        stack.callback(cluster.stop)
        model = cluster.load("smollm2")
        say("by hand: 2 ranks, the same folder")
        scripts = stack.enter_context(ring("plain_ring", model.path))
        ranks = cluster.status().ranks
        our_pids, their_pids = [rank.pid for rank in ranks], [script.pid for script in scripts]

        def ours() -> dict[str, Any]:
            generation = model.generate(_PROMPT, max_tokens=max_tokens)
            return {"tokens": generation.tokens, "tokens_per_s": generation.tokens_per_s}

        def theirs() -> dict[str, Any]:
            for script in scripts:
                script.send({"prompt": _PROMPT, "max_tokens": max_tokens})
            answers = [script.answer() for script in scripts]
            return answers[0]

        results = by_turns(
            {
                "kernelkit": partial(_turn, ours, their_pids),
                "by hand": partial(_turn, theirs, our_pids),
            },
            rounds=2 if quick else 6,
            warm_up=_WARM_UP,
            budget_s=20 if quick else 85,
            show=lambda turn: f"{turn.tokens_per_s:.2f} tokens/s",
        )
        blas = ranks[0].blas
    ours_done, theirs_done = results["kernelkit"], results["by hand"]
    if any(turn.tokens != ours_done[0].tokens for turn in (*ours_done, *theirs_done)):
        raise ValueError("the two rings generated different tokens")
    return Outcome(
        [
            Measure.compare(
                "decode, SmolLM2-135M, 2 ranks",
                "tokens/s",
                [turn.tokens_per_s for turn in ours_done],
                "plain mlx-lm script",
                [turn.tokens_per_s for turn in theirs_done],
                Target("ratio", ">=", 0.97),
            ),
            Measure.compare(
                f"whole call, {len(ours_done[0].tokens)} tokens, prompt included",
                "s",
                [turn.whole_s for turn in ours_done],
                "plain mlx-lm script",
                [turn.whole_s for turn in theirs_done],
            ),
        ],
        _WARM_UP,
        {
            "blas": blas,
            "dtype": model.summaries[0]["dtype"],
            "same_tokens": True,
            "idle_cores_of_plain_ring": max(turn.idle_cores for turn in ours_done),
            "idle_cores_of_kernelkit": max(turn.idle_cores for turn in theirs_done),
        },
    )


def _turn(generate: Callable[[], dict[str, Any]], waiting: Sequence[int]) -> _Turn:
    before_s, started_s = _cpu_s(waiting), time.perf_counter()
    answer = generate()
    whole_s = time.perf_counter() - started_s
    idle_cores = round((_cpu_s(waiting) - before_s) / whole_s, 4)
    return _Turn(answer["tokens"], answer["tokens_per_s"], whole_s, idle_cores)


def _cpu_s(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(t.user + t.system for t in times)
