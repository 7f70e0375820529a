"""Put the stored figures of the fault matrix and of chaos into the README: `python -m tests.ranks.readme`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.units import format_seconds
from tests.benchmarks.table import replace_marked
from tests.ranks.table import ROOT

MARKERS = ("<!-- faults -->", "<!-- /faults -->")
_COLUMNS = (
    "phase",
    "ranks",
    "faults",
    "told within, median / worst",
    "target",
    "back within",
    "hangs",
    "left",
)


def markdown(matrix: Mapping[str, Any], chaos: Mapping[str, Any]) -> str:
    """A row per phase and number of ranks, and what the random run gave."""
    rows: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for outcome in matrix["outcomes"]:
        rows.setdefault((outcome["phase"], outcome["ranks"]), []).append(outcome)
    lines: list[Sequence[str]] = [_COLUMNS, ["---"] * len(_COLUMNS)]
    lines += [_row(phase, ranks, outcomes) for (phase, ranks), outcomes in rows.items()]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n{_caption(matrix, chaos)}"


def _row(phase: str, ranks: int, outcomes: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    told = sorted(o["detection_s"] for o in outcomes if o["detection_s"] is not None)
    back = sorted(o["recovery_s"] for o in outcomes if o["recovery_s"] is not None)
    targets = sorted({o["detection_target_s"] for o in outcomes})
    return (
        phase,
        str(ranks),
        str(len(outcomes)),
        f"{_time(told[len(told) // 2])} / {_time(told[-1])}" if told else "",
        ", ".join(f"{target:.0f} s" for target in targets),
        _time(back[-1]) if back else "",
        str(sum(bool(o["hang"]) for o in outcomes)),
        str(sum(bool(o["leftovers"]) for o in outcomes)),
    )


def _caption(matrix: Mapping[str, Any], chaos: Mapping[str, Any]) -> str:
    machine, cases, random = matrix["machine"], matrix["summary"], chaos["summary"]
    return (
        f"{cases['cases']} cases: {cases['wrong']} with a wrong error or value, "
        f"{cases['targets_missed']} slower than their target "
        "(a stuck group from when it can be told, Ctrl-C until the prompt is back). "
        f"Out of memory: {matrix['out_of_memory']}. `make chaos`, seed {chaos['seed']}: "
        f"{random['cases']} random faults, {random['hangs']} hangs, {random['wrong']} wrong, "
        f"{random['with_leftovers']} leftovers. "
        f"{machine['cpu']}, {machine['cores']} cores; other work ran beside it."
    )


def _time(seconds: float) -> str:
    return format_seconds(max(seconds, 0.0))


def main() -> None:
    """Rewrite the README's part."""
    folder = ROOT / "data" / "measurements"
    reports = [
        json.loads((folder / name).read_text(encoding="utf-8")) for name in ("faults.json", "chaos.json")
    ]
    readme = ROOT / "README.md"
    text = replace_marked(readme.read_text(encoding="utf-8"), markdown(*reports), MARKERS)
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
