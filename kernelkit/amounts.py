"""Figures that a caller gives: whole numbers and amounts, each checked with one clear error."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from kernelkit.errors import ArgumentError

# More of anything that is counted there is not, and floats still tell such numbers apart.
MOST = 10**15


def check_whole(name: str, value: Any, least: int = 1, most: int = MOST, such: str = "") -> None:
    """Refuse what is no whole number from `least` to `most`.

    Args:
        such: of what, with an example, for the error.

    Raises:
        ArgumentError: it is not.
    """
    if type(value) is not int or not least <= value <= most:
        above = f"above {least - 1}" if most == MOST else f"from {least:,} to {most:,}"
        expected = f"a whole number {above}{such}"
        raise ArgumentError(f"{name} is no number", expected=expected, got=shown(value))


def check_amount(name: str, value: Any, most: float = math.inf) -> None:
    """Refuse what is no finite number of 0 or more, and at most `most`.

    Raises:
        ArgumentError: it is not.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)  # numpy's as well
    if not is_number or not (0 <= value <= most and value < math.inf):
        upper = "and finite" if most == math.inf else f"and at most {most:g}"
        raise ArgumentError(
            f"{name} is no amount", expected=f"a number of 0 or more, {upper}", got=shown(value)
        )


def shown(value: Any) -> str:
    """Any value in an error; Python itself refuses to write a number of thousands of digits."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of over 30 digits"
    return repr(value)
