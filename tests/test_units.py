"""Bytes, seconds and rates as text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.units import format_bytes, format_rate, format_seconds


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1536, "1.54 KB"),
        (269_000_000, "269 MB"),
        (1.5e9, "1.5 GB"),
        (2e12, "2 TB"),
    ],
)
def test_bytes(size_bytes: float, text: str) -> None:
    assert format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.00215, "2.15 ms"),
        (17e-6, "17 µs"),
        (1, "1 s"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (3599.9, "59 min 59 s"),
    ],
)
def test_seconds(time_s: float, text: str) -> None:
    assert format_seconds(time_s) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (52.31, "52.3 tokens/s"),
        (0.5, "0.5 tokens/s"),
        (1234.5, "1,234 tokens/s"),
        (1e6, "1,000,000 tokens/s"),
    ],
)
def test_rates(per_s: float, text: str) -> None:
    assert format_rate(per_s, "tokens") == text


_BYTES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_SECONDS = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_bytes_are_printed_without_exponent_and_within_half_a_percent(size_bytes: int) -> None:
    number, unit = format_bytes(size_bytes).split()
    assert "e" not in number
    assert float(number.replace(",", "")) * _BYTES[unit] == pytest.approx(size_bytes, rel=0.006)


@pytest.mark.parametrize("size_bytes", [999_499, 999_500, 999_999, 999_950_000, 999_999_999_999])
def test_bytes_just_below_a_unit_need_no_exponent(size_bytes: int) -> None:
    assert "e" not in format_bytes(size_bytes)


@settings(deadline=None)
@given(st.floats(1e-6, 59.9))
def test_seconds_are_printed_within_half_a_percent(time_s: float) -> None:
    number, unit = format_seconds(time_s).split()
    assert float(number) * _SECONDS[unit] == pytest.approx(time_s, rel=0.006)


@pytest.mark.parametrize("time_s", [0.0009996, 0.9996, 0.99999])
def test_seconds_just_below_a_unit_need_no_exponent(time_s: float) -> None:
    assert "e" not in format_seconds(time_s)


def test_a_rate_just_below_a_thousand_needs_no_exponent() -> None:
    assert "e+" not in format_rate(999.7, "tokens")
