"""The catalog of chips: what is sold, how fast its memory is, and that the figures fit with each other."""

from __future__ import annotations

import pytest

from kernelkit.catalog import chips
from kernelkit.catalog.chips import GIB, working_set_share
from kernelkit.errors import ArgumentError


@pytest.mark.parametrize(
    ("key", "bandwidth_gb", "most_gib", "rdma"),
    [
        ("m1", 68.25, 16, False),
        ("m2-ultra", 800, 192, False),
        ("m3-max", 400, 128, False),
        ("m3-max-30c", 300, 96, False),
        ("m3-ultra", 819, 512, True),
        ("m4", 120, 32, False),
        ("m4-pro", 273, 64, True),
        ("m4-max", 546, 128, True),
        ("m4-max-32c", 410, 36, True),
        ("m5", 153, 32, False),
        ("m5-max", 614, 128, True),
        ("h200", 4800, 141, False),
    ],
)
def test_what_the_data_sheets_say(key: str, bandwidth_gb: float, most_gib: int, rdma: bool) -> None:
    chip = chips()[key]
    assert chip.memory_nominal_bytes_per_s == bandwidth_gb * 1e9
    assert (max(chip.memory_sizes_bytes), chip.rdma) == (most_gib * GIB, rdma)


def test_nothing_that_was_measured_is_faster_than_the_data_sheet() -> None:
    for chip in chips().values():
        nominal = chip.memory_nominal_bytes_per_s or 0
        measured = chip.memory_measured_bytes_per_s or (0, 0)
        assert max(chip.decode_measured_bytes_per_s or 0, *measured) <= nominal, chip.key
        assert (chip.prefill_measured_flop_per_s or 0) <= (chip.fp16_flop_per_s or 0), chip.key


def test_the_variant_with_the_most_cores_has_its_familys_key() -> None:
    for chip in chips().values():
        family = [other for other in chips().values() if other.family == chip.family]
        most = max(family, key=lambda other: other.gpu_cores or 0)
        assert most.key == chip.family
        assert chips()[chip.variant] is chip


@pytest.mark.parametrize(("gib", "share"), [(8, 0.6667), (24, 0.6667), (64, 0.81), (96, 0.81), (512, 0.9062)])
def test_the_working_set_grows_with_the_memory(gib: int, share: float) -> None:
    assert working_set_share(gib * GIB) == pytest.approx(share, abs=1e-3)


def test_a_chip_that_is_not_there_is_answered_with_the_nearest() -> None:
    assert chips()["M4 Max"] is chips()["m4_max"]
    with pytest.raises(ArgumentError, match=r"(?s)no chip 'm4-mxa'.*did you mean m4-max"):
        chips()["m4-mxa"]
    assert "m9" not in chips()
    assert chips().get("m9") is None


def test_the_table_says_all_of_them() -> None:
    text, html = repr(chips()), chips()._repr_html_()
    row = next(line for line in text.splitlines() if line.startswith("m3-ultra "))
    assert "96, 256, 512" in row
    assert "819 GB/s" in row
    assert f"{len(chips())} chips" in html
    assert all(key in html for key in chips())
