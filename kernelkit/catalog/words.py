"""Figures of the catalog as the cells of its tables."""

from __future__ import annotations

from collections.abc import Callable

_PREFIXES = ("", "K", "M", "G", "T", "P")


def amount(value: float, unit: str) -> str:
    """`(5.46e11, 'B') -> '546 GB'`: in powers of 1,000, with three digits.

    >>> amount(999.9, "B"), amount(1.228e12, "B"), amount(3.2e10, "parameter")
    ('1 KB', '1.23 TB', '32 Gparameter')
    """
    index = 0
    while value >= 999.5 and index < len(_PREFIXES) - 1:
        value, index = value / 1000, index + 1
    return f"{value:.3g} {_PREFIXES[index]}{unit}"


def span(pair: tuple[float, float] | None, form: Callable[[float], str]) -> str:
    """`650 GB/s to 690 GB/s`, once where both are the same, empty where there is none."""
    if pair is None:
        return ""
    low, high = map(form, pair)
    return low if low == high else f"{low} to {high}"
