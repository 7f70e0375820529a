"""Bytes, seconds and rates as text: one way to print each, so that tables line up and agree."""

from __future__ import annotations


def _three_digits(value: float) -> str:
    """Three significant digits, in full from 1,000 on, and no exponent.

    >>> [_three_digits(v) for v in (9.876, 98.76, 987.6, 98765.0)]
    ['9.88', '98.8', '988', '98,765']
    """
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def format_bytes(size_bytes: float) -> str:
    """`1536 -> '1.54 KB'`, in powers of 1,000 as disks and links are sold."""
    if abs(size_bytes) < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("KB", "MB", "GB"):
        size_bytes /= 1000
        # Where rounding would give 1,000 of a unit, it is one of the next.
        if abs(size_bytes) < 999.5:
            return f"{_three_digits(size_bytes)} {unit}"
    return f"{_three_digits(size_bytes / 1000)} TB"


def format_seconds(time_s: float) -> str:
    """`0.00215 -> '2.15 ms'`; from a minute on, minutes and seconds."""
    if time_s >= 60:
        minutes, seconds = divmod(int(time_s), 60)
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    if time_s >= 0.9995:
        return f"{_three_digits(time_s)} s"
    if time_s >= 0.9995e-3:
        return f"{_three_digits(time_s * 1e3)} ms"
    return f"{_three_digits(time_s * 1e6)} µs"


def format_rate(per_s: float, unit: str) -> str:
    """`(52.31, 'tokens') -> '52.3 tokens/s'`."""
    return f"{_three_digits(per_s)} {unit}/s"
