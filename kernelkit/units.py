"""Bytes, seconds and rates as text: one way to print each, so that tables line up and agree."""

from __future__ import annotations


def format_bytes(size_bytes: float) -> str:
    """`1536 -> '1.5 KB'`, in powers of 1,000 as disks and links are sold."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def format_seconds(time_s: float) -> str:
    """`0.00215 -> '2.15 ms'`; from a minute on, minutes and seconds."""
    if time_s >= 60:
        return f"{int(time_s // 60)} min {int(time_s % 60)} s"
    if time_s >= 1:
        return f"{time_s:.3g} s"
    if time_s >= 1e-3:
        return f"{time_s * 1e3:.3g} ms"
    return f"{time_s * 1e6:.3g} µs"


def format_rate(per_s: float, unit: str) -> str:
    """`(52.31, 'tokens') -> '52.3 tokens/s'`."""
    return f"{per_s:,.0f} {unit}/s" if per_s >= 1000 else f"{per_s:.3g} {unit}/s"
