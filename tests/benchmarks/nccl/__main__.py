"""`python -m tests.benchmarks.nccl --out FILE`: all that a machine with two GPUs has to show, in minutes.

Every figure is written as soon as it is there, and a part that fails is kept with its error. `--backend ring
--tiny` is a rehearsal on processors; what it writes is no measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import machine
from tests.benchmarks.measure import say
from tests.benchmarks.nccl import parts, speed, turns
from tests.benchmarks.nccl.ground import Ground, gpus, told
from tests.benchmarks.nccl.settings import settings
from tests.benchmarks.nccl.table import markdown
from tests.benchmarks.nccl.trace import trace
from tests.benchmarks.table import replace_marked

ROOT = Path(__file__).resolve().parents[3]
PARTS: dict[str, Callable[..., None]] = {
    "correct": parts.correct,
    "sums": parts.sums,
    "faults": parts.faults,
    "by turns on 2 GPUs": turns.on_two,
    "by turns on 1 GPU": turns.on_one,
    "products": parts.products,
    "speed, bf16": speed.bf16,
    "magics": parts.magics,
    "speed, 4bit": speed.four_bits,
    "refused": parts.refused,
    "smollm2": parts.smollm2,
    "pipeline": parts.pipeline,
    "calibration": parts.calibration,
    "settings": settings,
    "trace": trace,
}
_MARKERS = ("<!-- nccl -->", "<!-- /nccl -->")
# A part does not begin with less than that.
_LEAST_S = 20.0
_NVIDIA = ("mlx-cuda-12", "mlx-cuda-13", "nvidia-nccl-cu13", "nvidia-cublas", "nvidia-cudnn-cu13")


class Report:
    """The one file; each change is on the disk before the next thing begins."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self._path = path
        self._data: dict[str, Any] = {**facts, "parts": {}}
        self.write()

    def keep(self, part: str, name: str, value: Any) -> None:
        self._data["parts"].setdefault(part, {})[name] = value
        self.write()

    def end(self, **facts: Any) -> None:
        self._data |= facts
        self.write()

    def write(self) -> None:
        text = json.dumps(self._data, indent=1, ensure_ascii=False, default=str)
        self._path.write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns how many parts failed."""
    options = _parser().parse_args(arguments)
    if options.readme:
        _write_readme()
        return 0
    began_s = time.monotonic()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = Report(options.out, _conditions(options))
    ground = Ground(options.backend, options.tiny, began_s + options.limit_s)
    failed = 0
    for name in options.only or PARTS:
        started_s = time.monotonic()
        say(f"{name}: {ground.left_s:.0f} s left")
        if ground.left_s < _LEAST_S:
            report.keep(name, "error", f"left out: {ground.left_s:.0f} s were left")
            continue
        try:
            PARTS[name](ground, lambda key, value, name=name: report.keep(name, key, value))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001, a part that fails must not end the others
            failed += 1
            words = "".join(traceback.format_exception(error))
            report.keep(name, "error", words)
            say(f"{name} failed: {words}")
        report.keep(name, "took_s", round(time.monotonic() - started_s, 1))
    report.end(took_s=round(time.monotonic() - began_s, 1), gpus_at_end=gpus())
    return failed


def _write_readme() -> None:
    """Put the stored run's tables between their markers."""
    stored = (
        json.loads((ROOT / "data" / "measurements" / name).read_text(encoding="utf-8"))
        for name in ("nccl.json", "nccl_predicted.json", "nccl_predicted_again.json")
    )
    readme = ROOT / "README.md"
    text = replace_marked(readme.read_text(encoding="utf-8"), markdown(*stored), _MARKERS)
    readme.write_text(text, encoding="utf-8")


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    facts = machine.describe(ROOT)
    for name in _NVIDIA:
        try:
            facts["versions"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    names = ("MLX_", "NCCL_", "CUDA_")
    return {
        "format": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "rehearsal": options.tiny,
        "backend": options.backend,
        "machine": {**facts, "commit": options.commit or facts["commit"]},
        "gpus": gpus(),
        "gpu_links": told("nvidia-smi", "topo", "-m"),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(names)},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nccl", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "nccl.json")
    parser.add_argument("--backend", default="nccl", choices=("nccl", "ring"))
    parser.add_argument("--tiny", action="store_true", help="a rehearsal with small models and few tokens")
    parser.add_argument("--limit-s", type=float, default=400.0, help="no case begins when it would end later")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be repeated")
    parser.add_argument("--readme", action="store_true", help="only put the stored run into README.md")
    parser.add_argument("--commit", default="", help="of the tree, where there is no git")
    return parser


if __name__ == "__main__":
    sys.exit(main())
