"""What kernelkit's sharding costs: beside mlx-lm's own where it has one, and what padding with zeros adds.

Random float32 models over two ranks. What padding should cost is foretold from the two models whose heads
divide: a token's time grows in a line with the bytes of the weights that a rank reads for it, from what it
takes whatever the size (collectives, starting operations, the head). Both costs are over the time halfway
between these two, where 9/3 heads would be if they could be halved. Bytes alone foretell too much where
weights are small; their ratio is kept among the facts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import Any

import kernelkit
from kernelkit import Cluster
from tests.benchmarks.measure import Measure, Outcome, Target, by_turns, say
from tests.benchmarks.ring import RANKS, ring

_WARM_UP = 1
_PROMPT = "The quick brown fox jumps over the lazy dog."
_QWEN = {"num_attention_heads": 16, "num_key_value_heads": 4, "hidden_size": 1024, "intermediate_size": 2816}
# Heads and KV heads; the middle one does not divide by two.
_LLAMAS = {"6/2": (6, 2), "9/3": (9, 3), "12/4": (12, 4)}
# One process more, so that this one never loads MLX.
_BUILD = """
import json, sys
from pathlib import Path
from tests.rank import tiny
for name, kind, changes in json.loads(sys.argv[2]):
    tiny.build(Path(sys.argv[1]) / name, kind, **changes)
"""


def run(quick: bool) -> Outcome:
    """Both strategies by turns with mlx-lm's own, then the three models by turns."""
    with tempfile.TemporaryDirectory(prefix="kernelkit-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        _build(folder, layers=4 if quick else 12)
        cluster = kernelkit.connect(RANKS)
        stack.callback(cluster.stop)
        strategies = ("tensor", "pipeline")
        measures = [_beside_upstream(cluster, folder / "qwen2", strategy, quick) for strategy in strategies]
        facts: dict[str, Any] = {"dtype": "float32", "layers": 4 if quick else 12}
        measures.append(_padding(cluster, folder, quick, facts))
    return Outcome(measures, _WARM_UP, facts)


def _build(folder: Path, layers: int) -> None:
    say("writing random models")
    llama = {"hidden_size": 576, "head_dim": 128, "intermediate_size": 768, "num_hidden_layers": layers}
    qwen: dict[str, Any] = {**_QWEN, "num_hidden_layers": layers}
    wanted = [("qwen2", "qwen2", qwen)]
    for name, (heads, kv_heads) in _LLAMAS.items():
        changes = {**llama, "num_attention_heads": heads, "num_key_value_heads": kv_heads}
        wanted.append((name.replace("/", "-"), "llama", changes))
    subprocess.run([sys.executable, "-c", _BUILD, str(folder), json.dumps(wanted)], check=True)


def _beside_upstream(cluster: Cluster, folder: Path, strategy: Any, quick: bool) -> Measure:
    tokens = 16 if quick else 24  # many short turns: a machine's calm comes and goes
    model = cluster.load(str(folder), strategy)
    with ring("plain_sharded", str(folder), strategy) as scripts:

        def ours() -> dict[str, Any]:
            answer = model.generate(_PROMPT, max_tokens=tokens, raw=True)
            return {"tokens": answer.tokens, "tokens_per_s": answer.tokens_per_s}

        def theirs() -> dict[str, Any]:
            for script in scripts:
                script.send({"prompt": _PROMPT, "max_tokens": tokens})
            answers = [script.answer() for script in scripts]
            return answers[0]

        done = by_turns(
            {f"kernelkit, {strategy}": ours, "mlx-lm": theirs},
            rounds=2 if quick else 25,
            warm_up=_WARM_UP,
            budget_s=15 if quick else 110,
            show=_show,
        )
    first, second = done.values()
    if any(turn["tokens"] != first[0]["tokens"] for turn in (*first, *second)):
        raise ValueError("the two generated different tokens")
    return Measure.compare(
        f"decode, qwen2, {strategy} parallel over 2 ranks",
        "tokens/s",
        [turn["tokens_per_s"] for turn in first],
        "mlx-lm's own sharding",
        [turn["tokens_per_s"] for turn in second],
        Target("ratio", ">=", 0.98),
    )


def _padding(cluster: Cluster, folder: Path, quick: bool, facts: dict[str, Any]) -> Measure:
    """Times of a token with 6/2, 9/3 and 12/4 heads; each is loaded anew for its turn."""
    tokens = 16 if quick else 48
    read_bytes: dict[str, int] = {}

    def turn(name: str) -> dict[str, Any]:
        model = cluster.load(str(folder / name.replace("/", "-")))
        read_bytes[name] = model.shards.size_bytes(0)
        model.generate(_PROMPT, max_tokens=4, raw=True)
        return {"tokens_per_s": model.generate(_PROMPT, max_tokens=tokens, raw=True).tokens_per_s}

    done = by_turns(
        {name: (lambda name=name: turn(name)) for name in _LLAMAS},
        rounds=2 if quick else 7,
        warm_up=_WARM_UP,
        budget_s=20 if quick else 60,
        show=_show,
    )
    times_s = {name: median(1 / turn["tokens_per_s"] for turn in turns) for name, turns in done.items()}
    halfway_s = mean((times_s["6/2"], times_s["12/4"]))
    bytes_alone = read_bytes["9/3"] / mean((read_bytes["6/2"], read_bytes["12/4"]))
    facts["padding"] = {
        "token_times_s": times_s,
        "read_bytes": read_bytes,
        "foretold_by_bytes_alone": bytes_alone,
    }
    name = "cost of padding 9/3 heads to 12/4, 2 ranks"
    foretold = _on_line(read_bytes, times_s) / halfway_s
    return Measure.compare(
        name, "ratio", [times_s["9/3"] / halfway_s], "foretold by 6/2 and 12/4 heads", [foretold]
    )


def _on_line(read_bytes: dict[str, int], times_s: dict[str, float]) -> float:
    """The time of a token at the bytes of the padded model, on the line through the other two."""
    part = (read_bytes["9/3"] - read_bytes["6/2"]) / (read_bytes["12/4"] - read_bytes["6/2"])
    return times_s["6/2"] + part * (times_s["12/4"] - times_s["6/2"])


def _show(turn: dict[str, Any]) -> str:
    return f"{turn['tokens_per_s']:.2f} tokens/s"
