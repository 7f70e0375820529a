"""Which fields of a config mlx-lm cannot have meant, to be named where a model could not be built from it.

Asked after a failure alone: mlx-lm builds good models of configs that do not keep to its own annotations.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "null",
}
# Of these none can be 0.
_SIZES = ("_size", "_layers", "_heads", "head_dim")
_SHOWN = 40


def misfits(config: Mapping[str, Any], arguments: type) -> list[str]:
    """One phrase for each field that is missing, of another kind than the architecture's, or no size.

    Args:
        config: what is in `config.json`.
        arguments: the architecture's `ModelArgs`.
    """
    found = []
    if dataclasses.is_dataclass(arguments):
        hints = get_type_hints(arguments)
        for field in dataclasses.fields(arguments):
            required = field.default is field.default_factory is dataclasses.MISSING
            if field.name in config:
                found += _misfit(field.name, config[field.name], _kinds(hints[field.name]))
            elif required:
                found.append(f"{field.name} is missing")
    return found + _of_quantization(config.get("quantization"))


def _misfit(name: str, value: Any, kinds: tuple[type, ...]) -> list[str]:
    if not kinds or _is_one(value, kinds):
        size = name.endswith(_SIZES) and type(value) is int
        return [f"{name} is {value}, not a number above 0"] if size and value <= 0 else []
    words = " or ".join(_WORDS[kind] for kind in kinds)
    return [f"{name} is {repr(value)[:_SHOWN]}, not {words}"]


def _is_one(value: Any, kinds: tuple[type, ...]) -> bool:
    kind = type(value)
    return kind in kinds or (kind is int and float in kinds)


def _kinds(hint: Any) -> tuple[type, ...]:
    """What may stand in a field; nothing where that is not plain."""
    of = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return of if all(kind in _WORDS for kind in of) else ()


def _of_quantization(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [f"quantization is {repr(given)[:_SHOWN]}, not an object with bits and group_size"]
    return [f"quantization has no {name}" for name in ("bits", "group_size") if name not in given]
