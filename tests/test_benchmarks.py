"""The benchmarks' pure half: figures to a table, and the table into the README. No benchmark runs here."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.benchmarks import table
from tests.benchmarks.measure import Measure, Outcome, Summary, Target, by_turns

_README = f"# kernelkit\n\n{table.START}\nold\n{table.END}\n\nMore.\n"


@pytest.fixture
def report() -> dict[str, Any]:
    """One row against a peer, one without targets, one alone; figures that are easy to check by eye."""
    third, calm = Target("ratio", "<=", 1 / 3), Target("value", "<", 3.0)
    outcome = Outcome(
        [
            Measure.compare("ranks | up", "s", [1.0, 1.2, 1.1], "ipyparallel", [8.8, 9.9, 7.7], third, calm),
            Measure.compare("whole call", "s", [0.002], "script", [0.004]),
            Measure("heavy modules", "", Summary.of([2]), targets=(Target("value", "<=", 0),)),
        ],
        warm_up=1,
    )
    return {
        "quick": True,
        "machine": {
            "versions": {"python": "3.12.1", "mlx": "0.32.4"},
            "commit": "abc123",
            "os": "Linux",
            "cpu": "A CPU",
            "cores": 2,
            "memory_bytes": 8_000_000_000,
            "load_average_at_start": [0.25, 0.5, 0.75],
        },
        "benchmarks": {"one": {"error": None, "took_s": 1.0, **outcome.to_dict()}},
    }


def test_plain_table_shows_medians_ratio_and_verdict(report: dict[str, Any]) -> None:
    lines = [" ".join(line.split()) for line in table.plain(report).splitlines()]
    assert lines[0] == "measure kernelkit peer ratio target met"
    assert lines[2] == "ranks | up 1.1 s 8.8 s (ipyparallel) 0.12 ≤ 0.33 × and < 3 s yes"
    assert lines[3] == "whole call 2 ms 4 ms (script) 0.50"
    assert lines[4] == "heavy modules 2 ≤ 0 no"


def test_the_ratio_is_that_of_the_turns_so_that_a_drifting_machine_does_not_decide(
    report: dict[str, Any],
) -> None:
    drifting = Measure.compare("decode", "tokens/s", [10.0, 9.9, 5.1], "script", [10.0, 5.0, 5.0])
    report["benchmarks"]["one"]["measures"] = [drifting.to_dict()]
    row = table.plain(report).splitlines()[2]
    assert " ".join(row.split()) == "decode 9.9 tokens/s 5 tokens/s (script) 1.02"


def test_a_failed_benchmark_is_named_under_the_table(report: dict[str, Any]) -> None:
    report["benchmarks"]["two"] = {"error": "exit status 1\nBoom", "took_s": 0.1}
    assert table.plain(report).endswith("two failed: exit status 1\nBoom")
    with pytest.raises(ValueError, match="two"):
        table.markdown(report)


@pytest.mark.parametrize(
    ("relation", "limit", "verdict"),
    [("<=", 0.5, True), ("<", 0.5, False), (">=", 0.5, True), (">=", 0.51, False)],
)
def test_a_target_on_its_limit(report: dict[str, Any], relation: Any, limit: float, verdict: bool) -> None:
    row = report["benchmarks"]["one"]["measures"][1]
    row["targets"] = [{"of": "ratio", "relation": relation, "limit": limit}]
    assert table.met(row) is verdict


def test_no_target_no_verdict(report: dict[str, Any]) -> None:
    assert table.met(report["benchmarks"]["one"]["measures"][1]) is None


def test_markdown_escapes_bars_and_says_what_it_was_taken_on(report: dict[str, Any]) -> None:
    lines = table.markdown(report).splitlines()
    assert lines[1] == "| --- | --- | --- | --- | --- | --- |"
    assert lines[2].startswith("| ranks \\| up | 1.1 s | 8.8 s (ipyparallel) | 0.12 |")
    for part in ("A CPU", "2 cores", "8 GB", "python 3.12.1", "mlx 0.32.4", "load 0.25", "abc123", "quick"):
        assert part in lines[-1]


def test_readme_gets_the_table_between_its_markers_and_nothing_else() -> None:
    once = table.replace_marked(_README, "| new |")
    assert once == f"# kernelkit\n\n{table.START}\n| new |\n{table.END}\n\nMore.\n"
    assert table.replace_marked(once, "| new |") == once


@pytest.mark.parametrize(
    "text",
    ["no markers", f"{table.START} alone", f"{table.END} before {table.START}", _README + _README],
)
def test_readme_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        table.replace_marked(text, "| new |")


def test_rendering_changes_nothing_in_the_report(report: dict[str, Any]) -> None:
    before = copy.deepcopy(report)
    table.plain(report)
    table.markdown(report)
    assert report == before


def test_summary_has_the_inclusive_quartiles() -> None:
    assert Summary.of([1, 2, 3, 4, 5]) == Summary(median=3, q1=2, q3=4, n=5)
    assert Summary.of([7]) == Summary(median=7, q1=7, q3=7, n=1)


def test_turns_alternate_and_drop_the_warm_up(capsys: pytest.CaptureFixture[str]) -> None:
    called: list[str] = []

    def contestant(name: str) -> int:
        called.append(name)
        return len(called)

    contestants = {name: lambda name=name: contestant(name) for name in "ab"}
    results = by_turns(contestants, rounds=2, warm_up=1, show=str)
    assert called == ["a", "b", "a", "b", "b", "a"]
    assert results == {"a": [3, 6], "b": [4, 5]}


def test_out_of_time_leaves_two_rounds() -> None:
    results = by_turns({"a": lambda: 1}, rounds=9, warm_up=1, show=str, budget_s=0)
    assert results == {"a": [1, 1]}
