"""Which settings of MLX and NCCL two GPUs decode fastest with.

A setting holds for a process, so each has ranks of its own. These take turns with ranks that have MLX's own
settings, CUDA's graphs among them, since a machine is calm at times only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from kernelkit import ShardedModel
from tests.benchmarks.measure import by_turns, say
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, variable
from tests.benchmarks.nccl.speed import WARM_TOKENS, generate

# Whether NCCL keeps its launches in graphs and others in order.
_MIXING = "NCCL_GRAPH_MIXING_SUPPORT"
# Of each model: two programs have room on the cards.
_TRIED: dict[tuple[str, str], tuple[tuple[int, ...], tuple[dict[str, str], ...]]] = {
    ("70B", "4bit"): ((1,), ({GRAPHS: "0"},)),
    ("8B", "bf16"): ((1, 8), ({GRAPHS: "0"}, {_MIXING: "0"})),
}
# kernelkit's ranks have no graphs over nccl unless they are asked for.
_MLX = {GRAPHS: "1"}
_ROUNDS = 5
_LEAST_S = 60.0

Keep = Callable[[str, dict[str, Any]], None]


def settings(ground: Ground, keep: Keep) -> None:
    """Rates of decoding of both, round by round, and the median of their ratios."""
    for (shape, kind), (batches, tried) in _TRIED.items():
        folder = str(ground.model(shapes.Case(shape, kind, 2)))
        with _ranks(ground, folder, _MLX) as plain:
            for chosen in tried:
                name = f"{shape}-{kind}, {' '.join(f'{key}={value}' for key, value in chosen.items())}"
                if ground.left_s < (1 if ground.tiny else _LEAST_S):
                    keep(name, {"error": f"left out: {ground.left_s:.0f} s were left"})
                    continue
                with _ranks(ground, folder, _MLX | chosen) as other:
                    found = {f"batch {batch}": _by_turns(ground, plain, other, batch) for batch in batches}
                keep(name, found)
                say(f"{name}: { {batch: round(one['ratio'], 2) for batch, one in found.items()} }")


@contextmanager
def _ranks(ground: Ground, folder: str, chosen: dict[str, str]) -> Iterator[ShardedModel]:
    """The model on ranks that have those settings."""
    with ExitStack() as stack:
        with ExitStack() as named:
            for key, value in chosen.items():
                named.enter_context(variable(key, value))
            cluster = stack.enter_context(ground.cluster(2, draws=True))
        yield cluster.load(folder, context=shapes.PROMPT_TOKENS + shapes.NEW_TOKENS)


def _by_turns(ground: Ground, plain: ShardedModel, other: ShardedModel, batch: int) -> dict[str, Any]:
    prompts = [shapes.prompt(number) for number in range(batch)]
    for model in (plain, other):
        generate(model, prompts, WARM_TOKENS)

    def rate(model: ShardedModel) -> float:
        return float(generate(model, prompts, ground.new_tokens // 4)["decode_tokens_per_s"])

    rates = by_turns(
        {"as it is": lambda: rate(plain), "set": lambda: rate(other)},
        rounds=_ROUNDS,
        warm_up=0,
        show=lambda found: f"{found:.1f} tokens/s",
    )
    ratio = median(one / zero for zero, one in zip(rates["as it is"], rates["set"], strict=True))
    return {**rates, "ratio": ratio}
