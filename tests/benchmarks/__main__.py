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
STORED = ROOT / "data" / "measurements" / "quickstart.json"
# Seconds that each may take, in a full and in a quick run; what one leaves over is the next one's.
LIMITS_S = {
    "connect": (120, 44),
    "cell": (55, 22),
    "decode": (140, 40),
    "collectives": (45, 20),
    "imports": (35, 12),
}
_TAIL_LINES = 15


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.readme:
        try:
            _write_readme(options.readme)
        except (OSError, ValueError) as error:
            print(f"README.md is unchanged: {error}", file=sys.stderr)
            return 1
        return 0
    if options.only and options.store:
        _parser().error("--store keeps a whole run: leave --only out")
    report = run(options.only or list(LIMITS_S), options.quick)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    for path in (options.out, STORED) if options.store else (options.out,):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"\n{table.plain(report)}\n\nwritten to {options.out}{f' and {STORED}' if options.store else ''}")
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


def _write_readme(stored: Path) -> None:
    """Put the table of a stored report between the README's markers."""
    readme = ROOT / "README.md"
    content = table.markdown(json.loads(stored.read_text(encoding="utf-8")))
    readme.write_text(table.replace_marked(readme.read_text(encoding="utf-8"), content), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under two minutes")
    parser.add_argument("--only", action="append", choices=list(LIMITS_S), help="this one; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="where the JSON goes")
    parser.add_argument(
        "--store", action="store_true", help=f"write it to {STORED.relative_to(ROOT)} as well"
    )
    parser.add_argument(
        "--readme", type=Path, metavar="JSON", help="only put this report's table into README.md"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
