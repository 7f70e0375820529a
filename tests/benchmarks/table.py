"""A stored report as a table, for the terminal and for the README. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.tables import text_table
from kernelkit.units import format_bytes, format_seconds

START, END = "<!-- bench -->", "<!-- /bench -->"
_COLUMNS = ("measure", "kernelkit", "peer", "ratio", "target", "met")
_SIGNS = {"<=": "≤", "<": "<", ">=": "≥"}


def plain(report: Mapping[str, Any]) -> str:
    """The table for a terminal, and the errors of benchmarks that failed under it."""
    rows = [[cell.replace("`", "") for cell in row] for row in _rows(report)]
    failed = {name: part["error"] for name, part in report["benchmarks"].items() if part.get("error")}
    errors = [f"{name} failed: {error}" for name, error in failed.items()]
    return "\n".join([text_table(_COLUMNS, rows), *errors])


def markdown(report: Mapping[str, Any]) -> str:
    """The table as Markdown, with a line that says what it was taken on.

    Raises:
        ValueError: a benchmark of the report failed; half a table is not for the README.
    """
    failed = [name for name, part in report["benchmarks"].items() if part.get("error")]
    if failed:
        raise ValueError(f"the report holds failed benchmarks: {', '.join(failed)}")
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *_rows(report)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{table}\n\n{_caption(report)}"


def replace_marked(text: str, content: str, markers: tuple[str, str] = (START, END)) -> str:
    """`text` with `content` on lines of its own between the two markers.

    Raises:
        ValueError: the markers are not there exactly once, in order.
    """
    first, last = markers
    before, start, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (start and end) or text.count(first) != 1 or text.count(last) != 1:
        raise ValueError(f"expected {first} and, after it, {last}, once each")
    return f"{before}{first}\n{content}\n{last}{after}"


def met(measure: Mapping[str, Any]) -> bool | None:
    """Whether all targets of a row are met; None where it has none."""
    verdicts = [_holds(target, measure) for target in measure["targets"]]
    return all(verdicts) if verdicts else None


def _rows(report: Mapping[str, Any]) -> list[Sequence[str]]:
    measures = [m for part in report["benchmarks"].values() for m in part.get("measures", [])]
    return [_row(measure) for measure in measures]


def _row(measure: Mapping[str, Any]) -> Sequence[str]:
    unit, peer = measure["unit"], measure["peer"]
    verdict = met(measure)
    return (
        measure["name"],
        _quantity(measure["kernelkit"]["median"], unit),
        f"{_quantity(peer['median'], unit)} ({measure['peer_name']})" if peer else "",
        f"{_ratio(measure):.2f}" if peer else "",
        " and ".join(_target(target, unit) for target in measure["targets"]),
        "" if verdict is None else "yes" if verdict else "no",
    )


def _ratio(measure: Mapping[str, Any]) -> float:
    """Turn by turn where there are several: a shared machine drifts from one to the next."""
    paired = measure.get("paired")
    if paired is not None and paired["n"] > 1:
        return float(paired["median"])
    return float(measure["kernelkit"]["median"]) / float(measure["peer"]["median"])


def _holds(target: Mapping[str, Any], measure: Mapping[str, Any]) -> bool:
    value = _ratio(measure) if target["of"] == "ratio" else float(measure["kernelkit"]["median"])
    limit = float(target["limit"])
    return {"<=": value <= limit, "<": value < limit, ">=": value >= limit}[target["relation"]]


def _target(target: Mapping[str, Any], unit: str) -> str:
    limit = target["limit"]
    amount = f"{limit:.2f} ×" if target["of"] == "ratio" else _quantity(limit, unit)
    return f"{_SIGNS[target['relation']]} {amount}"


def _quantity(value: float, unit: str) -> str:
    if unit == "s":
        return format_seconds(value) if value else "0 s"
    return f"{value:.3g} {unit}".strip()


def _caption(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Medians, the contestants by turns in one run (ratio: of the turns' ratios), warm-up left out. "
        f"{machine['cpu']}, "
        f"{machine['cores']} cores, {format_bytes(machine['memory_bytes'])}; {machine['os']}; "
        f"{versions}; load {machine['load_average_at_start'][0]} at the start; commit "
        f"{machine['commit'] or 'unknown'}{'; a quick run' if report['quick'] else ''}."
    )
