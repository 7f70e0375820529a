"""What a user gives an experiment, checked and made JSON-like: parameters and results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from kernelkit.errors import ArgumentError

_EXAMPLE = 'run.record("decode", 12.3, unit="tokens/s")'


def check_name(name: Any, of: str) -> str:
    """A name that a table can show.

    Raises:
        ArgumentError: it is no text, or empty, or has several lines.
    """
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        raise ArgumentError(f"{of} needs a name", expected="a text of one line", got=repr(name))
    return name


def as_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON will have them, so that a record is the same before and after its file.

    Raises:
        ArgumentError: a value that is not JSON-like; it names the parameter.
    """
    return {check_name(name, "a parameter"): _plain(name, value) for name, value in given.items()}


def seeds_in(parameters: Mapping[str, Any]) -> dict[str, int]:
    """Those parameters that are called `seed` or `..._seed`."""
    return {
        name: value
        for name, value in parameters.items()
        if type(value) is int and (name == "seed" or name.endswith("_seed"))
    }


def as_values(name: str, value: Any, unit: Any) -> tuple[float, ...]:
    """The numbers of a result.

    Args:
        value: a number, NumPy's too, or several of a measurement that was repeated.

    Raises:
        ArgumentError: no finite number, or no unit.
    """
    values = list(value) if _is_several(value) else [value]
    for one in values:
        if isinstance(one, bool) or not isinstance(one, Real) or not math.isfinite(one):
            expected = "a finite number, several of them, or what model.generate gave"
            raise ArgumentError(f"{name} is no result", expected=expected, got=f"{one!r:.80}", cure=_EXAMPLE)
    if not values:
        raise ArgumentError(f"{name} is no result", expected="one number or more", got="none")
    if not isinstance(unit, str) or not unit.strip():
        expected = 'a unit such as "tokens/s", "s" or "B"; "1" for a plain number'
        raise ArgumentError(f"{name} has no unit", expected=expected, got=repr(unit), cure=_EXAMPLE)
    return tuple(float(one) for one in values)


def _is_several(value: Any) -> bool:
    """Whether it is a sequence, or an array with one axis."""
    return (isinstance(value, Sequence) and not isinstance(value, str | bytes)) or (
        getattr(value, "ndim", 0) == 1 and hasattr(value, "tolist")
    )


def _plain(name: str, value: Any) -> Any:
    def other(odd: Any) -> Any:
        if isinstance(odd, Integral):  # NumPy's numbers are welcome, but JSON does not know them
            return int(odd)
        if isinstance(odd, Real):
            return float(odd)
        raise TypeError(type(odd).__name__)

    try:
        return json.loads(json.dumps(value, allow_nan=False, default=other))
    except (TypeError, ValueError, RecursionError) as error:
        expected = "text, finite numbers, True, False, None, lists and dictionaries of them"
        raise ArgumentError(
            f"the parameter {name} cannot be recorded", expected=expected, got=f"{value!r:.80} ({error})"
        ) from error
