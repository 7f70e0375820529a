"""What a calibrated cluster foretells of itself, beside what comes: three sizes of model, over three links.

Two ranks: on this machine, and in two network namespaces whose link is shaped to 1 Gbit/s and to 100 Mbit/s;
these need root on Linux. Each round calibrates first and then decodes with each model, so that prediction and
measurement meet the same load of the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import kernelkit
from kernelkit import Cluster
from tests.benchmarks.measure import Measure, Outcome, Summary, Target, say
from tests.hosts.lab import Lab, why_not

_PROMPT = "The quick brown fox jumps over the lazy dog."
# Layers, hidden size, MLP: some 25, 130 and 340 million weights of float32.
_MODELS = {"small": (8, 512, 1408), "middle": (12, 1024, 2816), "large": (12, 1536, 4096)}
_LINKS = {"1 Gbit/s": "1gbit", "100 Mbit/s": "100mbit"}
# Each of the two hosts takes this machine's cores for its own; OpenBLAS's threads would wait for one another.
_ONE_THREAD = f"OPENBLAS_NUM_THREADS={max(1, (os.cpu_count() or 1) // 2)}"
# One process more, so that this one never loads MLX.
_BUILD = """
import json, sys
from pathlib import Path
from tests.rank import tiny
for name, changes in json.loads(sys.argv[2]).items():
    tiny.build(Path(sys.argv[1]) / name, "llama", **changes)
"""


def run(quick: bool) -> Outcome:
    """All models on each ground, and the errors of all together."""
    if reason := why_not():
        raise RuntimeError(f"the hosts cannot be built: {reason}")
    rounds = 1 if quick else 3
    measures: list[Measure] = []
    errors: list[float] = []
    with tempfile.TemporaryDirectory(prefix="kernelkit-bench-") as name:
        folder = Path(name)
        _build(folder, quick)
        for ground, cluster in _grounds(folder):
            measured = _on(cluster, folder, rounds)
            for model, pairs in measured.items():
                told, came = ([pair[at] for pair in pairs] for at in (0, 1))
                errors.append(median(abs(theirs - mine) / mine for theirs, mine in pairs))
                measures.append(
                    Measure.compare(f"decode, {model}, {ground}", "tokens/s", came, "foretold", told)
                )
    measures.append(
        Measure(
            f"error of {len(errors)} predictions, median",
            "",
            Summary.of([median(errors)]),
            targets=(Target("value", "<=", 0.2),),
        )
    )
    return Outcome(measures, 1, {"dtype": "float32", "models": {k: list(v) for k, v in _MODELS.items()}})


def _build(folder: Path, quick: bool) -> None:
    say("writing random models")
    wanted = {}
    for name, (layers, hidden, mlp) in _MODELS.items():
        heads = hidden // 64
        wanted[name] = {
            "num_hidden_layers": layers // 4 if quick else layers,
            "hidden_size": hidden,
            "intermediate_size": mlp,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 4,
        }
    subprocess.run([sys.executable, "-c", _BUILD, str(folder), json.dumps(wanted)], check=True)


def _grounds(folder: Path) -> Iterator[tuple[str, Cluster]]:
    with kernelkit.connect(2) as cluster:
        yield "this machine", cluster
    with Lab(hosts=2) as lab, lab.inside():
        hostfile = folder / "hosts.json"
        hostfile.write_text(json.dumps({**json.loads(lab.hostfile()), "envs": [_ONE_THREAD]}))
        for name, rate in _LINKS.items():
            with _shaped(lab, rate), kernelkit.connect(hostfile=hostfile) as cluster:
                yield name, cluster


@contextmanager
def _shaped(lab: Lab, rate: str) -> Iterator[None]:
    lab.shape(0, rate)
    try:
        yield
    finally:
        lab.unshape(0)


def _on(cluster: Cluster, folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """By model, of each round the tokens/s foretold and measured."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _MODELS}
    for number in range(rounds):
        cluster.calibrate()
        for name, pairs in found.items():
            model = cluster.load(folder / name)
            model.generate(
                _PROMPT, max_tokens=4, raw=True
            )  # the first one reads the weights for the first time
            beside = cluster.compare(model.generate(_PROMPT, max_tokens=24, raw=True))
            if beside is None:
                raise RuntimeError("no speed was measured")
            decode = beside.pairs[0]
            pairs.append((decode.predicted, decode.measured))
            say(f"{number}: {name}: foretold {decode.predicted:.3g}, measured {decode.measured:.3g} tokens/s")
    return found
