"""A calibration as data: what it says between its measurements, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.calibration import Calibration

_KINDS = {"float32": {"read_bytes_per_s": 5e9, "flops_per_s": 9e10}}


def _facts(first_s: float, last_s: float) -> dict[str, object]:
    sums = [
        {"size_bytes": 4096, "time_s": first_s, "alone_s": 2e-4},
        {"size_bytes": 2**20, "time_s": last_s, "alone_s": 2e-3},
    ]
    return {"host": "vm", "device": "cpu", "mlx": "1", "op_s": 1e-5, "kinds": _KINDS, "sums": sums}


@pytest.fixture
def calibration() -> Calibration:
    return Calibration.of("2026-01-01", "ring", {0: _facts(1e-4, 2e-3), 1: _facts(2e-4, 1e-3)})


def test_an_all_sum_lasts_as_long_as_on_its_slowest_rank(calibration: Calibration) -> None:
    assert [one.time_s for one in calibration.sums] == [2e-4, 2e-3]
    assert calibration.sum_latency_s == 2e-4
    assert calibration.sum_bytes_per_s == 2**20 / 2e-3


def test_sizes_between_and_beyond_the_measured_ones(calibration: Calibration) -> None:
    assert calibration.sum_s(4) == calibration.sum_s(4096) == 2e-4
    assert calibration.sum_s((4096 + 2**20) / 2) == pytest.approx(1.1e-3)
    assert calibration.sum_s(2**22) == pytest.approx(8e-3)
    alone = replace(calibration, ranks=calibration.ranks[:1], sums=())
    assert alone.sum_s(4096) == 0
    assert alone.sum_latency_s is None


def test_it_is_kept_as_json_and_shows_every_rank(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    text = repr(calibration)
    assert text.count("5 GB/s") == 2
    assert "90 GFLOP/s" in text
    assert "524 MB/s" in text


def _spread(low: float, high: float) -> dict[str, object]:
    facts = _facts(1e-4, 1e-3)
    kinds = {"float32": {**_KINDS["float32"], "read_span_bytes_per_s": [low, high]}}
    sums = [{**one, "span_s": [8e-5, 2e-3]} for one in facts["sums"]]  # type: ignore[attr-defined]
    return {**facts, "kinds": kinds, "sums": sums, "op_span_s": [9e-6, 1.2e-5]}


def test_readings_that_lie_far_apart_are_told(tmp_path: Path) -> None:
    made = Calibration.of("2026-01-01", "ring", {0: _spread(4.5e9, 5.5e9), 1: _spread(2e9, 5.1e9)})
    assert made.disturbed == (
        "rank 1's float32 read (2 GB/s to 5.1 GB/s)",
        "all_sum of 4.1 KB (80 µs to 2 ms)",
        "all_sum of 1.05 MB (80 µs to 2 ms)",
    )
    assert "calibrate again" in repr(made)
    assert made.sum_span_s(4096) == (8e-5, 1e-4, 2e-3)
    made.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == made
    with pytest.raises(ArgumentError, match="is not within"):
        Calibration.from_dict(Calibration.of("2026-01-01", "ring", {0: _spread(6e9, 7e9)}).to_dict())


def test_a_calm_machine_has_no_warning(calibration: Calibration) -> None:
    assert calibration.disturbed == ()
    assert "Disturbed" not in repr(calibration)


@pytest.mark.parametrize(
    ("field", "value"), [("ranks", []), ("sums", [{"size_bytes": 0, "time_s": 1.0, "alone_s": 1.0}])]
)
def test_what_no_measurement_gives_is_refused(calibration: Calibration, field: str, value: object) -> None:
    with pytest.raises(ArgumentError, match="calibration does not fit together"):
        Calibration.from_dict({**calibration.to_dict(), field: value})


def test_a_file_that_lacks_what_plans_need_is_refused(calibration: Calibration) -> None:
    stored = calibration.to_dict()
    kinds = stored["ranks"][0]["kinds"]
    for rank, wrong in ((0, []), (1, []), (1, [*kinds, *kinds])):
        ranks = [dict(one) for one in stored["ranks"]]
        ranks[rank]["kinds"] = wrong
        with pytest.raises(ArgumentError, match=f"rank {rank} with weights of"):
            Calibration.from_dict({**stored, "ranks": ranks})
    with pytest.raises(ArgumentError, match="2 ranks and no all_sum"):
        Calibration.from_dict({**stored, "sums": []})
