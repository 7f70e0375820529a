"""One benchmark in a process of its own: it may fail or hang without taking the others along.

`python -m tests.benchmarks.child NAME OUT [--quick]` writes the outcome to OUT as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main(name: str, out: str, *flags: str) -> None:
    """Run the benchmark; whatever it raises is this process's traceback and exit status."""
    benchmark = importlib.import_module(f"tests.benchmarks.{name}")
    outcome = benchmark.run(quick="--quick" in flags)
    Path(out).write_text(json.dumps(outcome.to_dict()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
