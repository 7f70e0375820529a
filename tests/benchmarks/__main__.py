"""Run the benchmarks, print their table, keep their figures.

A target that is missed is a `no` in the table and never a failure: timings depend on the machine.
Only a benchmark that could not run makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, table
from tests.benchmarks.processes import end_all_with

ROOT = Path(__file__).resolve().parents[2]
MEASUREMENTS = ROOT / "data" / "measurements"
# Seconds that each may take, in a full and in a quick run; what one leaves over is the next one's.
LIMITS_S = {
    "connect": (120, 44),
    "cell": (55, 22),
    "decode": (140, 40),
    "collectives": (45, 20),
    "imports": (35, 12),
    "links": (420, 220),
    "memory": (170, 80),
    "pictures": (120, 60),
    "plans": (60, 30),
    "prediction": (420, 200),
    "sharding": (400, 110),
}
# What is run and stored together, under the suite's name; the README has a table of each between its markers.
SUITES = {
    "quickstart": ["connect", "cell", "decode", "collectives", "imports"],
    "links": ["links"],
    "memory": ["memory"],
    "pictures": ["pictures"],
    "plans": ["plans"],
    "prediction": ["prediction"],
    "sharding": ["sharding"],
}
MARKERS = {suite: "bench" if suite == "quickstart" else suite for suite in SUITES}
_TAIL_LINES = 15


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    suite = options.suite
    if options.readme:
        try:
            _write_readme(suite)
        except (OSError, ValueError) as error:
            print(f"README.md is unchanged: {error}", file=sys.stderr)
            return 1
        return 0
    if options.only and options.store:
        _parser().error("--store keeps a whole run: leave --only out")
    report = run(options.only or SUITES[suite], options.quick)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    stored = MEASUREMENTS / f"{suite}.json"
    for path in (options.out, stored) if options.store else (options.out,):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"\n{table.plain(report)}\n\nwritten to {options.out}{f' and {stored}' if options.store else ''}")
    return 1 if any(part["error"] for part in report["benchmarks"].values()) else 0


def run(names: list[str], quick: bool) -> dict[str, Any]:
    """Run these benchmarks one after the other, each in its own process, and gather the report."""
    report: dict[str, Any] = {
        "format": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine.describe(ROOT),
        "benchmarks": {},
    }
    with tempfile.TemporaryDirectory(prefix="kernelkit-bench-", ignore_cleanup_errors=True) as folder:
        # Profiles, histories and connection files of all contestants: new, and gone afterwards, also
        # those of a contestant that had to be killed.
        own = {
            "IPYTHONDIR": f"{folder}/ipython",
            "JUPYTER_RUNTIME_DIR": f"{folder}/runtime",
            "TMPDIR": folder,
        }
        env = {**os.environ, **own}
        must_end_s = time.monotonic()
        for name in names:
            must_end_s += LIMITS_S[name][quick]
            report["benchmarks"][name] = _run_one(name, quick, must_end_s, Path(folder), env)
    return report


def _run_one(name: str, quick: bool, must_end_s: float, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    started_s = time.monotonic()
    limit_s = must_end_s - started_s
    print(f"{name} (at most {limit_s:.0f} s)", flush=True)
    out, errors = folder / f"{name}.json", folder / f"{name}.err"
    command = [sys.executable, "-m", "tests.benchmarks.child", name, str(out)]
    error = None
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *(["--quick"] if quick else [])], cwd=ROOT, env=env, stderr=stderr
        )
    try:
        if status := process.wait(limit_s):
            error = f"exit status {status}"
    except subprocess.TimeoutExpired:
        error = f"not done within {limit_s:.0f} s"
    finally:
        end_all_with("IPYTHONDIR", env["IPYTHONDIR"])
        process.wait()
    took_s = round(time.monotonic() - started_s, 1)
    if error:
        tail = errors.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        error = "\n".join([error, *tail])
        print(f"    failed: {error}", flush=True)
        return {"error": error, "took_s": took_s}
    return {"error": None, "took_s": took_s, **json.loads(out.read_text(encoding="utf-8"))}


def _write_readme(suite: str) -> None:
    """Put the table of a suite's stored report between its markers in the README."""
    readme = ROOT / "README.md"
    stored = MEASUREMENTS / f"{suite}.json"
    content = table.markdown(json.loads(stored.read_text(encoding="utf-8")))
    markers = (f"<!-- {MARKERS[suite]} -->", f"<!-- /{MARKERS[suite]} -->")
    text = table.replace_marked(readme.read_text(encoding="utf-8"), content, markers)
    readme.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("suite", nargs="?", default="quickstart", choices=list(SUITES), help="(quickstart)")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under two minutes")
    parser.add_argument("--only", action="append", choices=list(LIMITS_S), help="this one; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="where the JSON goes")
    parser.add_argument("--store", action="store_true", help="write it to data/measurements/ as well")
    parser.add_argument(
        "--readme", action="store_true", help="only put the suite's stored table into README.md"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
