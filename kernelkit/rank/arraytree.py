"""Find and replace the arrays in what a layer is called with, and in what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import mlx.core as mx

Path = tuple[int | str, ...]


def arrays_in(value: Any, path: Path = ()) -> Iterator[tuple[Path, mx.array]]:
    """Each array in nested tuples, lists and dicts, with the way to it; all else is passed over."""
    if isinstance(value, mx.array):
        yield path, value
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from arrays_in(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from arrays_in(item, (*path, key))


def with_arrays(value: Any, arrays: Mapping[Path, mx.array | None], path: Path = ()) -> Any:
    """`value` built anew, with other things at some places; what is not a container stays the same object."""
    if path in arrays:
        return arrays[path]
    if isinstance(value, tuple | list):
        items = [with_arrays(item, arrays, (*path, index)) for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: with_arrays(item, arrays, (*path, key)) for key, item in value.items()}
    return value
