"""Build frozen dataclasses from JSON, with the type of every field checked: files come from anywhere."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_PLAIN = (int, float, str, bool, types.NoneType)


def build(kind: type[T], data: Any) -> T:
    """A `kind` from what `dataclasses.asdict` gave, before or after JSON.

    Args:
        kind: a dataclass with fields of `int`, `float`, `str`, `bool`, `Literal`, tuples, dataclasses,
            mappings (of anything), or one of these or `None`.

    Raises:
        ValueError: a field is missing, unknown, or of another type; it names the field.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} is not an object")
    hints, required = _fields_of(typing.cast(Any, kind))
    if missing := required - data.keys():
        raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
    if unknown := data.keys() - hints.keys():
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(map(str, unknown)))}")
    return kind(**{name: _value(hints[name], value, name) for name, value in data.items()})


@functools.cache
def _fields_of(kind: type[Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The types of its fields, and the names of those without a default."""
    needed = (field.name for field in fields(kind) if field.default is MISSING)
    hints = typing.get_type_hints(kind)  # of class variables too
    return {field.name: hints[field.name] for field in fields(kind)}, frozenset(needed)


def _value(kind: Any, value: Any, name: str) -> Any:
    if kind in _PLAIN:
        fits = type(value) is kind or (kind is float and type(value) is int)  # to Python, True is an int
        if not fits:
            raise ValueError(f"{name} is {value!r:.50}, not {kind.__name__}")
        return value
    if is_dataclass(kind):
        return build(typing.cast("type[Any]", kind), value)
    options = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        if value not in options:
            raise ValueError(f"{name} is {value!r:.50}, not {' or '.join(map(repr, options))}")
        return value
    if typing.get_origin(kind) is tuple:
        return _tuple(options, value, name)
    if typing.get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {value!r:.50}, not an object")
        return value
    # What is left is a union with None.
    if value is None:
        return None
    (option,) = (option for option in options if option is not types.NoneType)
    return _value(option, value, name)


def _tuple(options: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {value!r:.50}, not a list")
    if options[-1] is Ellipsis:
        return tuple(_value(options[0], item, name) for item in value)
    if len(value) != len(options):
        raise ValueError(f"{name} has {len(value)} entries, not {len(options)}")
    return tuple(_value(option, item, name) for option, item in zip(options, value, strict=True))
