"""What a run found, as a table for the terminal and as JSON for the repository."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernelkit.tables import text_table
from kernelkit.units import format_seconds
from tests.benchmarks import machine
from tests.ranks.matrix import (
    DETECTION_TARGET_S,
    MEMORY_CAN_BE_LIMITED,
    RECOVERY_TARGET_S,
    STOP_TARGET_S,
    STUCK_TARGET_S,
)
from tests.ranks.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("phase", "fault", "ranks", "hit", "ended with", "detected", "recovered", "left", "right", "met")
NO_OOM = "NOT REAL: memory cannot be limited here (no writable memory cgroup); allocations fail in its place"


def report(kind: str, outcomes: Sequence[Outcome], **facts: Any) -> dict[str, Any]:
    """Everything that is known of a run, JSON-like."""
    return {
        "format": 1,
        "kind": kind,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(ROOT),
        "out_of_memory": "by the kernel" if MEMORY_CAN_BE_LIMITED else NO_OOM,
        "targets": {
            "detection_s": DETECTION_TARGET_S,
            "stuck_s": STUCK_TARGET_S,
            "stop_s": STOP_TARGET_S,
            "recovery_s": RECOVERY_TARGET_S,
        },
        **facts,
        "summary": summary(outcomes),
        "outcomes": [outcome.to_dict() for outcome in outcomes],
    }


def add_output(parser: argparse.ArgumentParser, stored: Path) -> None:
    """The options that say where a report goes: the build folder, and if asked for the repository."""
    out = ROOT / "build" / stored.name
    parser.add_argument("--out", type=Path, default=out, help="where the JSON goes")
    parser.add_argument(
        "--store", action="store_true", help=f"write it to {stored.relative_to(ROOT)} as well"
    )


def write(found: dict[str, Any], paths: Iterable[Path]) -> None:
    """Put a report into files."""
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, and the middle and the worst of the times."""
    return {
        "cases": len(outcomes),
        "hangs": sum(bool(outcome.hang) for outcome in outcomes),
        "wrong": sum(bool(outcome.problems) for outcome in outcomes),
        "with_leftovers": sum(bool(outcome.leftovers) for outcome in outcomes),
        "targets_missed": sum(not outcome.met for outcome in outcomes),
        "dead_detection_s": _spread(o.detection_s for o in outcomes if o.case.fault.deadly),
        "stuck_detection_s": _spread(o.detection_s for o in outcomes if not o.case.fault.deadly),
        "recovery_s": _spread(o.recovery_s for o in outcomes),
    }


def row(outcome: Outcome) -> tuple[str, ...]:
    """One line of the table."""
    case = outcome.case
    phase = f"{case.phase.name}, {case.strategy}" if case.strategy else case.phase.name
    return (
        phase,
        case.fault.name,
        str(case.world_size),
        "agent" if case.fault.to_agent else f"rank {case.victim}",
        "HANG" if outcome.hang else outcome.error or "a warning",
        _time(outcome.detection_s),
        _time(outcome.recovery_s),
        str(sum(map(len, outcome.leftovers.values()))),
        "yes" if outcome.good else "NO",
        "yes" if outcome.met else "no",
    )


def plain(outcomes: Sequence[Outcome], notes: bool = True) -> str:
    """The table, and under it what is not as it must be."""
    bad = [
        "\n".join(
            [f"\n{outcome.case}, then {outcome.then}:", *outcome.problems, *filter(None, [outcome.hang])]
            + [f"left: {outcome.leftovers}"] * bool(outcome.leftovers)
        )
        for outcome in outcomes
        if not outcome.good
    ]
    return "\n".join([text_table(COLUMNS, [row(outcome) for outcome in outcomes]), *(bad if notes else [])])


def plain_summary(outcomes: Sequence[Outcome]) -> str:
    """The counts as a few lines."""
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary(outcomes).items())


def _spread(times: Iterable[float | None]) -> dict[str, float]:
    known = [time for time in times if time is not None]
    if not known:
        return {}
    return {"median": round(statistics.median(known), 3), "max": round(max(known), 3)}


def _time(seconds: float | None) -> str:
    return "" if seconds is None else format_seconds(max(seconds, 0.0))
