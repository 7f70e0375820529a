"""kernelkit and the plain script by turns, both with the model on the same cards.

One after the other, minutes apart, two programs differ by what the cards did meanwhile. By turns they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from kernelkit import ShardedModel
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, variable
from tests.benchmarks.nccl.speed import WARM_TOKENS, generate, generate_plain
from tests.benchmarks.processes import Script

# Each of a quarter of the tokens that other parts generate.
_ROUNDS = 5
# Both programs hold the weights: of larger ones there is no room for two on one card.
_SHAPE, _LARGE = "8B", "35B"
_LEAST_S = 60.0

Keep = Callable[[str, dict[str, Any]], None]


def on_two(ground: Ground, keep: Keep) -> None:
    """8B in 16 bits on two GPUs, batches of 1 and 8."""
    _turns(ground, keep, 2)


def on_one(ground: Ground, keep: Keep) -> None:
    """The same on one."""
    _turns(ground, keep, 1)


def _turns(ground: Ground, keep: Keep, gpus: int) -> None:
    for graphs in ("1", "0"):
        name = f"{GRAPHS}={graphs}"
        if ground.left_s < (1 if ground.tiny else _LEAST_S):
            keep(name, {"error": f"left out: {ground.left_s:.0f} s were left"})
            continue
        with variable(GRAPHS, graphs):
            keep(name, _pair(ground, shapes.Case(_SHAPE, "bf16", gpus)))
            if gpus > 1:
                keep(f"{name}, {_LARGE}, kernelkit alone", _alone(ground, shapes.Case(_LARGE, "bf16", gpus)))


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


def _alone(ground: Ground, case: shapes.Case) -> dict[str, Any]:
    """A model that leaves no room for another program, so kernelkit's figures by themselves."""
    with ground.cluster(case.gpus, draws=True) as cluster:
        context = shapes.PROMPT_TOKENS + shapes.NEW_TOKENS
        model = cluster.load(str(ground.model(case)), context=context)
        found = {}
        for batch in shapes.BATCHES:
            prompts = [shapes.prompt(number) for number in range(batch)]
            generate(model, prompts, WARM_TOKENS)
            found[f"batch {batch}"] = generate(model, prompts, ground.new_tokens // 4)
        return found


def _by_turns(
    ground: Ground, model: ShardedModel, scripts: list[Script], prompts: list[str]
) -> dict[str, Any]:
    """Each has a turn; who is first in a round changes. Of the ratios the median over rounds."""
    ways: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
        ("kernelkit", lambda tokens: generate(model, prompts, tokens)),
        ("plain", lambda tokens: generate_plain(scripts, prompts, tokens)),
    ]
    for _, way in ways:
        way(WARM_TOKENS)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in ways}
    for number in range(_ROUNDS):
        for name, way in ways if number % 2 == 0 else reversed(ways):
            turns[name].append(way(ground.new_tokens // 4))
    found: dict[str, Any] = {
        name: {key: median(turn[key] for turn in mine) for key in _RATES} for name, mine in turns.items()
    }
    for key in ("decode_tokens_per_s", "prefill_tokens_per_s"):
        pairs = zip(turns["kernelkit"], turns["plain"], strict=True)
        found[f"ratio, {key}"] = median(ours[key] / theirs[key] for ours, theirs in pairs)
    found["same tokens"] = all(
        ours["tokens"] == theirs["tokens"]
        for ours, theirs in zip(turns["kernelkit"], turns["plain"], strict=True)
    )
    found["rounds"] = _ROUNDS
    return found


_RATES = (
    *("prefill_tokens_per_s", "first_token_s", "decode_tokens_per_s"),
    *("median_step_s", "slowest_step_s"),
)
