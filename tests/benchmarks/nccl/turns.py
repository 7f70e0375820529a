"""kernelkit and the plain script by turns, both with the model on the same cards.

One after the other, minutes apart, two programs differ by what the cards did meanwhile. By turns they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from kernelkit import ShardedModel
from tests.benchmarks.measure import by_turns
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, variable
from tests.benchmarks.nccl.speed import WARM_TOKENS, generate, generate_plain
from tests.benchmarks.processes import Script

# Each of a quarter of the tokens that other parts generate.
_ROUNDS, _BUDGET_S = 9, 30.0
# Both programs hold the weights, so not all models have room. Large ones come last: they take longest.
_ON_TWO = (("8B", "bf16"), ("8B", "4bit"), ("35B", "4bit"), ("70B", "4bit"))
_ON_ONE = (("8B", "bf16"), ("8B", "4bit"))
_LEAST_S = 60.0

Keep = Callable[[str, dict[str, Any]], None]


def on_two(ground: Ground, keep: Keep) -> None:
    """Batches of 1 and 8 on two GPUs; both programs without CUDA's graphs, as kernelkit's ranks are there."""
    _turns(ground, keep, [shapes.Case(shape, kind, 2) for shape, kind in _ON_TWO])


def on_one(ground: Ground, keep: Keep) -> None:
    """The same on one."""
    _turns(ground, keep, [shapes.Case(shape, kind, 1) for shape, kind in _ON_ONE])


def _turns(ground: Ground, keep: Keep, cases: list[shapes.Case]) -> None:
    for case in cases:
        if ground.left_s < (1 if ground.tiny else _LEAST_S):
            keep(case.model, {"error": f"left out: {ground.left_s:.0f} s were left"})
        else:
            with variable(GRAPHS, "0" if case.gpus > 1 else "1"):
                keep(case.model, _pair(ground, case))


def _pair(ground: Ground, case: shapes.Case) -> dict[str, Any]:
    found: dict[str, Any] = {}
    folder = str(ground.model(case))
    with ground.cluster(case.gpus, draws=True) as cluster, ground.plain(case.gpus) as scripts:
        model = cluster.load(folder, context=shapes.PROMPT_TOKENS + shapes.NEW_TOKENS)
        for script in scripts:
            script.send({"load": folder})
        for script in scripts:
            script.answer()
        for batch in shapes.BATCHES:
            prompts = [shapes.prompt(number) for number in range(batch)]
            found[f"batch {batch}"] = _by_turns(ground, model, scripts, prompts)
    return found


def _by_turns(
    ground: Ground, model: ShardedModel, scripts: list[Script], prompts: list[str]
) -> dict[str, Any]:
    """Medians of both, and of the ratios of each round."""
    tokens = ground.new_tokens // 4
    generate(model, prompts, WARM_TOKENS)
    generate_plain(scripts, prompts, WARM_TOKENS)
    turns = by_turns(
        {
            "kernelkit": lambda: generate(model, prompts, tokens),
            "plain": lambda: generate_plain(scripts, prompts, tokens),
        },
        rounds=_ROUNDS,
        warm_up=0,
        budget_s=_BUDGET_S,
        show=lambda made: f"{made['decode_tokens_per_s']:.1f} tokens/s",
    )
    found: dict[str, Any] = {
        name: {key: median(turn[key] for turn in mine) for key in _RATES} for name, mine in turns.items()
    }
    pairs = list(zip(turns["kernelkit"], turns["plain"], strict=True))
    for key in ("decode_tokens_per_s", "prefill_tokens_per_s"):
        ratios = [ours[key] / theirs[key] for ours, theirs in pairs]
        found[f"ratio, {key}"] = median(ratios)
        found[f"ratios, {key}"] = ratios
    found["same tokens"] = all(ours["tokens"] == theirs["tokens"] for ours, theirs in pairs)
    found["rounds"] = len(pairs)
    return found


_RATES = (
    *("prefill_tokens_per_s", "first_token_s", "decode_tokens_per_s"),
    *("median_step_s", "slowest_step_s"),
)
