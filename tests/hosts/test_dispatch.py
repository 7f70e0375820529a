"""What a host takes for a token, as data and as a calibration shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.calibration import Calibration, SumTime
from kernelkit.hosts.dispatch import Dispatch

_FOUND = {"kernel_s": [7e-6, 8e-6, 9e-6], "product_s": [2e-5, 2.2e-5, 3e-5], "sum_s": [6e-5, 8e-5, 2e-4]}


def _calibration(dispatch: dict[str, list[float]] | None) -> Calibration:
    kinds = {"bfloat16": {"read_bytes_per_s": 2e12, "flops_per_s": 4e14}}
    facts = {"host": "a", "device": "gpu", "mlx": "1", "op_s": 4e-6, "kinds": kinds, "sums": []}
    return Calibration.of("2026-01-01", "nccl", {0: {**facts, "dispatch": dispatch}})


def test_a_calibration_keeps_and_shows_it(tmp_path: Path) -> None:
    made = _calibration(_FOUND)
    made.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == made
    host = "rank 0's host, for one token: 8 µs a kernel"
    line = f"{host}, 22 µs a product of several rows, 80 µs more for an all_sum"
    assert line in repr(made)
    assert line in made._repr_mimebundle_()["text/html"].replace("&#x27;", "'")


def test_one_of_before_it_was_measured_is_read_as_well(tmp_path: Path) -> None:
    made = _calibration(None)
    stored = made.to_dict()
    for rank in stored["ranks"]:
        del rank["dispatch"]
    assert Calibration.from_dict(stored) == made
    assert "host, for one token" not in repr(made)


@pytest.mark.parametrize(
    "wrong",
    [{"kernel_s": (0.0, 1e-6, 2e-6)}, {"product_s": (2e-6, 1e-6, 3e-6)}, {"sum_s": (-1e-6, 0.0, 1e-6)}],
)
def test_what_no_measurement_gives_is_refused(wrong: dict[str, tuple[float, float, float]]) -> None:
    dispatch = Dispatch.of(_FOUND)
    assert dispatch is not None
    stored = _calibration(_FOUND).to_dict()
    stored["ranks"][0]["dispatch"] |= wrong
    with pytest.raises(ArgumentError, match="calibration does not fit together"):
        Calibration.from_dict(stored)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(dispatch, **wrong).check()


@pytest.mark.parametrize("wrong", [0, 1])
def test_every_ranks_host_is_looked_at(wrong: int) -> None:
    made = _calibration(_FOUND)
    first = made.ranks[0]
    odd = replace(first, dispatch=Dispatch((1e-6, 2e-6, 3e-6), (3e-6, 2e-6, 1e-6)))
    ranks = tuple(replace(odd if rank == wrong else first, rank=rank) for rank in (0, 1))
    stored = replace(made, ranks=ranks, sums=(SumTime(4096, 1e-4, 2e-4),)).to_dict()
    with pytest.raises(ArgumentError, match="product_s"):
        Calibration.from_dict(stored)


def test_an_all_sum_that_takes_nothing_more_is_possible() -> None:
    none = Dispatch.of({**_FOUND, "sum_s": [0.0, 0.0, 1e-6]})
    assert none is not None
    none.check()


def test_a_host_whose_readings_lie_far_apart_is_told() -> None:
    made = _calibration({**_FOUND, "kernel_s": [1e-6, 8e-6, 1e-3]})
    assert made.disturbed == ("rank 0's host, a kernel (1 µs to 1 ms)",)
    assert _calibration(_FOUND).disturbed == ()
