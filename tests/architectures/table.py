"""The table of all architectures: as it is stored, as it is shown, and what it adds up to."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from kernelkit.tables import text_table
from tests.architectures.verdict import TOLERANCE
from tests.benchmarks import machine

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "data" / "architectures.json"
STRATEGIES = ("tensor", "pipeline")
RANKS = (2, 3)
_PACKAGES = ("mlx", "mlx-lm", "transformers", "kernelkit")
_WORST_FIRST = ("wrong", "refused", "equal")

Table = dict[str, Any]


def empty() -> Table:
    """A table of the installed versions, without architectures."""
    return {
        "format": 1,
        "versions": {package: metadata.version(package) for package in _PACKAGES},
        "tolerance": TOLERANCE,
        "architectures": {},
    }


def read(path: Path = STORED) -> Table:
    """What is stored; an empty table where there is none, or one of other versions."""
    fresh = empty()
    if not path.exists():
        return fresh
    stored: Table = json.loads(path.read_text(encoding="utf-8"))
    return stored if stored["versions"] == fresh["versions"] else fresh


def add(table: Table, name: str, found: Mapping[str, Any]) -> None:
    """Put what was found of an architecture into the table, over what was known of the same cases."""
    kept = table["architectures"].get(name, {})
    if "does_not_load" in found or "does_not_load" in kept:
        kept = {}
    merged = {strategy: {**kept.get(strategy, {}), **found.get(strategy, {})} for strategy in STRATEGIES}
    rest = {key: value for key, value in found.items() if key not in STRATEGIES}
    table["architectures"][name] = {**rest, **{key: value for key, value in merged.items() if value}}


def write(table: Table, path: Path = STORED) -> None:
    """Store it, with the day, the commit and what it adds up to."""
    ordered = {
        **{key: value for key, value in table.items() if key != "architectures"},
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.describe(ROOT)["commit"],
        "counts": counts(table),
        "architectures": dict(sorted(table["architectures"].items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def worst(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """An architecture's verdict under one strategy: equal only if it is so on every number of ranks."""
    verdicts = {case["verdict"] for case in cases.values()}
    return next(verdict for verdict in _WORST_FIRST if verdict in verdicts)


def counts(table: Table) -> dict[str, dict[str, dict[str, int]]]:
    """How many architectures are equal, refused, wrong, or do not load in one process.

    Returns:
        By strategy, then for "all" numbers of ranks (the worst counts) and for each of them.
    """
    return {
        strategy: {"all": _count(table, strategy), **{str(n): _count(table, strategy, str(n)) for n in RANKS}}
        for strategy in STRATEGIES
    }


def _count(table: Table, strategy: str, ranks: str = "") -> dict[str, int]:
    found = table["architectures"].values()
    cases = [one[strategy] for one in found if strategy in one]
    verdicts = [case[ranks]["verdict"] for case in cases if ranks in case] if ranks else map(worst, cases)
    unloaded = sum("does_not_load" in one for one in found)
    return {**dict.fromkeys(reversed(_WORST_FIRST), 0), **Counter(verdicts), "does not load": unloaded}


def plain(table: Table) -> str:
    """The table for a terminal, with a line for each strategy."""
    columns = ("architecture", *(f"{strategy} {n}" for strategy in STRATEGIES for n in RANKS), "why")
    rows = [_row(name, found) for name, found in table["architectures"].items()]
    # The last column alone is long: it is cut where the terminal ends, and the file has all of it.
    room = shutil.get_terminal_size((10_000, 24)).columns
    wide = sum(max(len(row[at]) for row in (columns, *rows)) + 2 for at in range(len(columns) - 1))
    rows = [(*row[:-1], textwrap.shorten(row[-1], max(24, room - wide), placeholder="...")) for row in rows]
    lines = [text_table(columns, rows), "", *summary(table)]
    versions = ", ".join(f"{name} {version}" for name, version in table["versions"].items())
    return "\n".join([*lines, f"{versions}; commit {table.get('commit', '')}, {table.get('taken', '')}"])


def summary(table: Table) -> list[str]:
    """A line for each strategy, and how far equal and wrong lie apart."""
    lines = []
    for strategy, numbers in counts(table).items():
        totals = ", ".join(f"{number} {verdict}" for verdict, number in numbers["all"].items())
        each = ", ".join(f"on {n} ranks {numbers[str(n)]['equal']}" for n in RANKS)
        lines.append(f"{strategy}: {totals}; equal {each}")
    equal = max(_differences(table, "equal"), default=None)
    if equal is not None:
        lines.append(f"largest difference of what is equal: {equal:.1g} of the largest logit")
    return lines


def _differences(table: Table, verdict: str) -> Iterable[float]:
    for found in table["architectures"].values():
        for strategy in STRATEGIES:
            for case in found.get(strategy, {}).values():
                if case["verdict"] == verdict and "difference" in case:
                    yield case["difference"]


def _row(name: str, found: Mapping[str, Any]) -> list[str]:
    if "does_not_load" in found:
        return [name, *["-"] * (len(STRATEGIES) * len(RANKS)), f"does not load: {found['does_not_load']}"]
    cases = [found.get(strategy, {}).get(str(n), {}) for strategy in STRATEGIES for n in RANKS]
    reasons = dict.fromkeys(case["reason"] for case in cases if "reason" in case)
    return [name, *(_cell(case) for case in cases), "; ".join(reasons)]


def _cell(case: Mapping[str, Any]) -> str:
    verdict = str(case.get("verdict", ""))
    return f"{verdict} {case['difference']:.0e}" if "difference" in case else verdict
