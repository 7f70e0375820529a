"""The parts of the run beside speed: what is right, how long a sum takes, what the magics say, and faults."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernelkit
from kernelkit import Cluster, ShardedModel
from kernelkit.errors import KernelkitError
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.ground import GRAPHS, Ground, gpus, told, variable

Keep = Callable[[str, Any], None]

_PROMPTS = (
    "What is the capital of France?",
    "Explain in one sentence why the sky is blue.",
    "It is a truth universally acknowledged, that",
)
_ON_RANKS = "from tests.benchmarks.nccl import onrank\nfound = onrank.{call}"
_MIB = 2**20
# Of a model's weights: as they are multiplied without quantization, and as in the file.
_FLOAT32, _KEEP = "float32", "keep"


def correct(ground: Ground, keep: Keep) -> None:
    """Collectives beside numpy, and greedy tokens of the teaching model."""
    with ground.cluster(2) as cluster:
        cluster.run(_ON_RANKS.format(call="against_numpy(group)"))
        keep("collectives against numpy, relative errors", cluster["found"])
    _same_tokens(ground, keep, "austen", (_FLOAT32, _KEEP))


def smollm2(ground: Ground, keep: Keep) -> None:
    """Greedy tokens of real weights whose heads must be padded for two ranks, in 32 bits."""
    from kernelkit.rank.folders import cache_root

    if not (cache_root() / "models" / "SmolLM2-135M-Instruct-q4" / "model.safetensors").is_file():
        keep("error", "its weights are not on this machine")
        return
    _same_tokens(ground, keep, "smollm2", (_FLOAT32,))


def _same_tokens(ground: Ground, keep: Keep, name: str, dtypes: tuple[str, ...]) -> None:
    """The greedy tokens of one GPU beside those of two, and what `%model check` says of the two.

    Sums of 16 bits are rounded, those of two ranks in another order. So in 32 bits too, and not in TF32,
    which multiplies with as few.
    """
    tokens: dict[tuple[int, str], list[list[int]]] = {}
    with variable("MLX_ENABLE_TF32", "0"):
        for ranks in (2, 1):
            with ground.cluster(ranks) as cluster:
                for dtype in dtypes:
                    model = cluster.load(name, dtype=dtype)
                    tokens[ranks, dtype] = _greedy(cluster, model, f"{name}, {dtype}", keep)
                    if ranks > 1:
                        checked = model.check(_PROMPTS, long=0)
                        facts = {"equal": bool(checked), "shown": repr(checked)}
                        keep(f"{name}, {dtype}, check", facts)
    for dtype in dtypes:
        both = list(zip(tokens[1, dtype], tokens[2, dtype], strict=True))
        same = [one == two for one, two in both]
        first = [_first_difference(one, two) for one, two in both]
        keep(f"greedy tokens of 2 ranks, {name}, {dtype}", {"same": same, "first_difference": first})


def _greedy(cluster: Cluster, model: ShardedModel, called: str, keep: Keep) -> list[list[int]]:
    made = [model.generate(prompt, 64, raw=called.startswith("austen")) for prompt in _PROMPTS]
    summary = model.summaries[0]
    facts = {
        "padding": summary["padding"],
        "dtype": summary["dtype"],
        "decode_tokens_per_s": [one.tokens_per_s for one in made],
        "text": made[0].text,
    }
    keep(f"{called} on {cluster.world_size} ranks", facts)
    return [one.tokens for one in made]


def _first_difference(one: list[int], two: list[int]) -> int | None:
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)


def sums(ground: Ground, keep: Keep) -> None:
    """All_sums of all sizes, and the anatomy of a small one; without CUDA's graphs too."""
    most = (_MIB if ground.tiny else 256 * _MIB, 0.5 if ground.tiny else 4.0)
    with variable(GRAPHS, "1"), ground.cluster(2) as cluster:
        cluster.run(_ON_RANKS.format(call=f"sums(group, {most[0]}, {most[1]})"))
        keep("all_sum by size", cluster["found"][0])
        cluster.run(_ON_RANKS.format(call="anatomy(group)"))
        keep("anatomy of an all_sum of 8 KiB", cluster["found"][0])
    with variable(GRAPHS, "0"), ground.cluster(2) as cluster:
        cluster.run(_ON_RANKS.format(call="anatomy(group)"))
        keep(f"the same with {GRAPHS}=0", cluster["found"][0])


def products(ground: Ground, keep: Keep) -> None:
    """Products of a layer's matrices with 1 to 512 rows, each by itself, on one GPU."""
    side, budget_s = (256, 0.02) if ground.tiny else (8192, 0.15)
    with ground.cluster(1) as cluster:
        for kind in shapes.QUANTIZATIONS:
            call = f"products({kind!r}, {side}, {budget_s})"
            cluster.run(f"from tests.benchmarks.nccl import onproducts\nfound = onproducts.{call}")
            keep(kind, cluster["found"][0])


def magics(ground: Ground, keep: Keep) -> None:
    """Connecting unasked, status, links, and what NCCL cannot do."""
    began_s = time.monotonic()
    with kernelkit.connect(backend="auto") as cluster:
        facts = {"ranks": cluster.world_size, "backend": cluster.backend, "why": cluster.why}
        keep("connect", {**facts, "took_s": time.monotonic() - began_s})
        keep("status", repr(cluster.status()))
        if cluster.backend == "nccl":
            try:
                cluster.load("austen", strategy="pipeline")
            except KernelkitError as error:
                keep("pipeline over nccl", str(error))
        report = cluster.links()
        keep("links", {"shown": repr(report), "report": report.to_dict()})


def calibration(ground: Ground, keep: Keep) -> None:
    """What `%cluster calibrate` measures, and foretells of the models of the run."""
    with ground.cluster(2) as cluster:
        found = cluster.calibrate()
        keep("calibration", found.to_dict())
        for kind in shapes.QUANTIZATIONS:
            for shape in ("8B", "35B"):
                config = shapes.config(shape, "bf16", tiny=ground.tiny)
                words = "4bit" if kind == "4bit" else "float32" if ground.tiny else "bfloat16"
                plan = cluster.plan(config, quantization=words, context=shapes.PROMPT_TOKENS + 128)
                rate = plan.decode_tokens_per_s
                keep(f"foretold by calibration, {shape}-{kind} on 2 GPUs", None if rate is None else rate.mid)


def faults(ground: Ground, keep: Keep) -> None:
    """A rank is killed in the middle of a generation: how soon it is told, what recovers, what stays."""
    before = gpus()
    with ground.cluster(2) as cluster:
        cluster.run("kept = [rank, 'a word']\nnumbers = mx.arange(1000) * (rank + 1)\nmx.eval(numbers)")
        model = cluster.load("austen")
        whole = model.generate(_PROMPTS[2], 400, raw=True)
        keep("generation that is left alone", {"tokens": len(whole.tokens), "took_s": max(whole.elapsed_s)})
        keep("kill -9 in mid-generation", _killed(cluster, model))
        began_s = time.monotonic()
        recovery = cluster.recover()
        facts = {"took_s": time.monotonic() - began_s, "shown": repr(recovery)}
        cluster.run("mine = [float(one) for one in numbers[:4].tolist()] if 'numbers' in globals() else None")
        facts["first_numbers_by_rank"] = cluster["mine"]
        assert cluster.model is not None
        again = cluster.model.generate(_PROMPTS[2], 400, raw=True)
        keep("recovery", {**facts, "same_tokens_after": again.tokens == whole.tokens})
        pids = [rank.pid for rank in cluster.status().ranks]
    keep("left behind", {"before": before, "after": gpus(), "processes": _alive(pids), "apps": _apps()})


def _killed(cluster: Cluster, model: ShardedModel) -> dict[str, Any]:
    """Kill rank 1 once some tokens are out, and time it from there to the error."""
    pid = cluster.status().ranks[1].pid
    killed_s: list[float] = []
    enough = threading.Event()

    def kill() -> None:
        enough.wait(30)
        killed_s.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        model.generate(_PROMPTS[2], 400, raw=True, on_text=lambda text: enough.set())
    except KernelkitError as error:
        return {
            "detected_s": time.monotonic() - killed_s[0],
            "error": str(error),
            "kind": type(error).__name__,
        }
    finally:
        enough.set()
        killer.join()
    return {"error": "the generation was over before the kill"}


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _apps() -> str:
    return told("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader")


def refused(ground: Ground, keep: Keep) -> None:
    """NCCL that cannot begin: a network that is not there. Its `exit(1)` must be told with what it wrote."""
    hosts = '[{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}, {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}]'
    text = f'{{"backend": "{ground.backend}", "envs": ["NCCL_SOCKET_IFNAME==nosuch0"], "hosts": {hosts}}}'
    path = ground.folder / "nosuch.json"
    path.write_text(text)
    began_s = time.monotonic()
    try:
        with kernelkit.connect(hostfile=path):
            keep("NCCL over a network that is not there", {"error": "it formed a group all the same"})
    except KernelkitError as error:
        took_s = time.monotonic() - began_s
        facts = {"kind": type(error).__name__, "error": str(error), "took_s": took_s}
        keep("NCCL over a network that is not there", facts)


def pipeline(ground: Ground, keep: Keep) -> None:
    """What is offered in place of a pipeline over NCCL: over MLX's ring, a GPU for each rank."""
    with kernelkit.connect(2, backend="ring") as cluster:
        model = cluster.load("austen", strategy="pipeline")
        one = model.generate(_PROMPTS[2], 64, raw=True)
        devices = [rank.device for rank in cluster.status().ranks]
        keep(
            "pipeline over ring",
            {"decode_tokens_per_s": one.tokens_per_s, "devices": devices, "text": one.text},
        )
