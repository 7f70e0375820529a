"""Speeds of the random models on one GPU and on two, through kernelkit and through the plain script."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from kernelkit import Cluster, ShardedModel
from tests.benchmarks.measure import say
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import Ground
from tests.benchmarks.processes import Script

# Of the plain script, which takes as long again: the question is whether kernelkit adds anything. Of 8B in 16
# bits `turns` has it.
_PLAIN_BATCHES = {"8B-4bit": (1, 8), "35B-bf16": (1,), "35B-4bit": (1,), "70B-4bit": (1,)}
# A batch gets a quarter of the tokens that would take longer, did its sequences come one after the other.
_LONG_S = 30.0
# What a case may still take; below that it is left out, and said so.
_LEAST_S = 25.0
_MOST_PROMPTS_S = 20.0
WARM_TOKENS = 8

Keep = Callable[[str, dict[str, Any]], None]


def bf16(ground: Ground, keep: Keep) -> None:
    """The cases with weights of 16 bits."""
    _run(ground, keep, "bf16")


def four_bits(ground: Ground, keep: Keep) -> None:
    """The cases with quantized weights."""
    _run(ground, keep, "4bit")


def _run(ground: Ground, keep: Keep, kind: str) -> None:
    """Every case: kernelkit's, then the plain script's of the same number of GPUs."""
    for gpus in (2, 1):
        mine = [case for case in shapes.CASES if (case.gpus, case.kind) == (gpus, kind)]
        if ground.left_s < (1 if ground.tiny else _LEAST_S):
            keep(f"{gpus} GPUs", {"error": f"left out: {ground.left_s:.0f} s were left"})
            continue
        with ground.cluster(gpus, draws=True) as cluster:
            for case in mine:
                _attempt(ground, keep, f"kernelkit, {case}", lambda case=case: _ours(ground, cluster, case))
        with ground.plain(gpus) as scripts:
            for case in (case for case in mine if case.model in _PLAIN_BATCHES):
                _attempt(ground, keep, f"plain, {case}", lambda case=case: _theirs(ground, scripts, case))


def _attempt(ground: Ground, keep: Keep, name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """One contestant's figures of a case, or why there are none: the others go on."""
    if ground.left_s < (1 if ground.tiny else _LEAST_S):
        keep(name, {"error": f"left out: {ground.left_s:.0f} s were left"})
        return
    began_s = time.monotonic()
    try:
        found = measure()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001, a benchmark's case must not end the others
        found = {"error": f"{type(error).__name__}: {error}"}
    keep(name, {**found, "took_s": round(time.monotonic() - began_s, 1)})
    say(f"{name}: {_line(found)}")


def _ours(ground: Ground, cluster: Cluster, case: shapes.Case) -> dict[str, Any]:
    context = shapes.PROMPT_TOKENS + shapes.NEW_TOKENS
    began_s = time.monotonic()
    model = cluster.load(str(ground.model(case)), context=context)
    found: dict[str, Any] = {
        "load_s": time.monotonic() - began_s,
        "weight_bytes": [model.shards.size_bytes(rank) for rank in range(case.gpus)],
    }
    try:
        for batch in shapes.BATCHES:
            if why := _too_long(ground, found, batch):
                found[f"batch {batch}"] = {"error": why}
                continue
            prompts = [shapes.prompt(number) for number in range(batch)]
            generate(model, prompts, WARM_TOKENS)
            found[f"batch {batch}"] = generate(model, prompts, _tokens(ground, found, batch))
    finally:
        model.unload()
    return found


def generate(model: ShardedModel, prompts: list[str], tokens: int) -> dict[str, Any]:
    """One generation, or one batch of them: rates, the times of single steps, and the most memory."""
    if len(prompts) == 1:
        one = model.generate(prompts[0], tokens, raw=True)
        rows, prompt_rate = [one], one.prompt_tokens_per_s
    else:
        rows, prompt_rate = list(model.generate(prompts, tokens, raw=True)), None
    times_s = [row.token_times_s for row in rows]
    found = _rates([row.tokens for row in rows], times_s, prompt_rate)
    return {**found, "peak_memory_bytes": list(rows[0].peak_memory_bytes)}


def _theirs(ground: Ground, scripts: list[Script], case: shapes.Case) -> dict[str, Any]:
    load_s = max(answer["load_s"] for answer in _ask(scripts, {"load": str(ground.model(case))}))
    found: dict[str, Any] = {"load_s": load_s}
    for batch in _PLAIN_BATCHES[case.model]:
        if why := _too_long(ground, found, batch):
            found[f"batch {batch}"] = {"error": why}
            continue
        prompts = [shapes.prompt(number) for number in range(batch)]
        generate_plain(scripts, prompts, WARM_TOKENS)
        found[f"batch {batch}"] = generate_plain(scripts, prompts, _tokens(ground, found, batch))
    return found


def generate_plain(scripts: list[Script], prompts: list[str], tokens: int) -> dict[str, Any]:
    """One generation of the plain script, or one batch of them; `generate` is kernelkit's."""
    answers = _ask(scripts, {"prompts": prompts, "max_tokens": tokens})
    first = answers[0]
    rates = _rates(first["tokens"], first["times_s"], first.get("prompt_tokens_per_s"))
    return {**rates, "peak_memory_bytes": [answer["peak_memory_bytes"] for answer in answers]}


def _too_long(ground: Ground, found: dict[str, Any], batch: int) -> str:
    """Why a batch is left out: its prompts alone, read twice, would take what the others need."""
    if "batch 1" not in found:
        return ""
    prompts_s = 2 * batch * found["batch 1"]["first_token_s"]
    if prompts_s < min(_MOST_PROMPTS_S, ground.left_s / 3):
        return ""
    return f"left out: its prompts would take {prompts_s:.0f} s, of {ground.left_s:.0f} s that were left"


def _tokens(ground: Ground, found: dict[str, Any], batch: int) -> int:
    rate = found["batch 1"]["decode_tokens_per_s"] if batch > 1 else 0.0
    is_long = rate and batch * ground.new_tokens / rate > _LONG_S
    return ground.new_tokens // 4 if is_long else ground.new_tokens


def _ask(scripts: list[Script], request: dict[str, Any]) -> list[dict[str, Any]]:
    for script in scripts:
        script.send(request)
    return [script.answer() for script in scripts]


def _rates(
    tokens: Sequence[Sequence[int]], times_s: Sequence[Sequence[float]], prompt_rate: float | None
) -> dict[str, Any]:
    """Prompts until every row has its first token; decoding from there to the last one of all."""
    first_s, last_s = max(row[0] for row in times_s), max(row[-1] for row in times_s)
    after = sum(sum(time_s > first_s for time_s in row) for row in times_s)
    read = shapes.PROMPT_TOKENS * len(times_s)
    # A stall, as while a kernel is compiled, shows here and not in a rate.
    steps_s = [later - sooner for row in times_s for sooner, later in pairwise(row)]
    return {
        "prefill_tokens_per_s": prompt_rate if prompt_rate else read / first_s,
        "first_token_s": first_s,
        "decode_tokens_per_s": after / (last_s - first_s),
        "median_step_s": median(steps_s),
        "slowest_step_s": max(steps_s),
        "new_tokens": [len(row) for row in tokens],
        "tokens": [list(row[:16]) for row in tokens],
    }


def _line(found: dict[str, Any]) -> str:
    if "error" in found:
        return str(found["error"]).splitlines()[0]
    rates = [
        f"{name} {value['decode_tokens_per_s']:.1f} tokens/s"
        for name, value in found.items()
        if name.startswith("batch") and "error" not in value
    ]
    return f"loaded in {found['load_s']:.1f} s, {', '.join(rates)}"
