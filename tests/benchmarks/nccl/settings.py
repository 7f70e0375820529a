"""Which settings of MLX and NCCL two GPUs decode fastest with: each in processes of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.benchmarks.measure import say
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, variable
from tests.benchmarks.nccl.speed import WARM_TOKENS, generate

# MLX ends a CUDA graph after so many operations, or so many values read; NCCL keeps launches of graphs and
# others in order, and tells its peers of the arrays in a graph.
_OPS, _VALUES = "MLX_MAX_OPS_PER_BUFFER", "MLX_MAX_MB_PER_BUFFER"
_MIXING, _REGISTER = "NCCL_GRAPH_MIXING_SUPPORT", "NCCL_GRAPH_REGISTER"
_SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {_MIXING: "0"},
    {_REGISTER: "0"},
    {_MIXING: "0", _REGISTER: "0"},
    {_OPS: "10"},
    {_OPS: "1000", _VALUES: "100000"},
    {"NCCL_CGA_CLUSTER_SIZE": "0"},
    {GRAPHS: "0"},
    {GRAPHS: "0", _MIXING: "0"},
)
_LEAST_S = 40.0
_ROUNDS = 3

Keep = Callable[[str, dict[str, Any]], None]


def settings(ground: Ground, keep: Keep) -> None:
    """8B in 16 bits: decoding of one sequence and of eight; and an all_sum of 8 KiB among others."""
    folder = str(ground.model(shapes.Case("8B", "bf16", 2)))
    for chosen in _SETTINGS:
        name = " ".join(f"{key}={value}" for key, value in chosen.items()) or "as they are"
        if ground.left_s < (1 if ground.tiny else _LEAST_S):
            keep(name, {"error": f"left out: {ground.left_s:.0f} s were left"})
            continue
        with ExitStack() as stack:
            for key, value in chosen.items():
                stack.enter_context(variable(key, value))
            cluster = stack.enter_context(ground.cluster(2, draws=True))
            found = {}
            cluster.run("from tests.benchmarks.nccl import onrank\nfound = onrank.chained(group)")
            found["an all_sum of 8 KiB among 64 in an eval, s"] = cluster["found"][0]
            model = cluster.load(folder, context=shapes.PROMPT_TOKENS + shapes.NEW_TOKENS)
            for batch in shapes.BATCHES:
                prompts = [shapes.prompt(number) for number in range(batch)]
                generate(model, prompts, WARM_TOKENS)
                made = [generate(model, prompts, ground.new_tokens // 4) for _ in range(_ROUNDS)]
                found[f"batch {batch}, decode tokens/s"] = [one["decode_tokens_per_s"] for one in made]
        keep(name, found)
        say(f"{name}: {found}")
