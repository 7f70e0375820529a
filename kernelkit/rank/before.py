"""What the user's arrays were before the running cell, to tell afterwards which of them it changed.

An evaluation that never ends or that fails leaves arrays behind that MLX hands out to another thread at
once, with whatever their memory holds. Of a cell that broke, only arrays that it did not touch can be
trusted. A handle on each array is held while the cell runs: it costs no memory until the array is
changed, and keeps MLX from computing the new one into the old one's place, so that a change shows.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from kernelkit.rank import ledger, state

# Each takes some microseconds before every cell.
_NOTED_ARRAYS = 300
# More than this is not held twice; a change is then told from where the arrays lie alone.
_HELD_BYTES = 2**30
# More than this together stays lazy: it may have been meant to.
_SECURED_BYTES = 2**30


class _Noted(NamedTuple):
    object_id: int
    arrays: list[mx.array]
    addresses: list[int | None]
    lazy: bool


_noted: dict[str, _Noted] = {}
_unchanged: set[str] = set()
# Whether the latest cell called collectives; one that did not cannot have been broken by a peer.
_called = False


def remember() -> None:
    """A cell begins: note which variables hold arrays."""
    _noted.clear()
    room, room_bytes = _NOTED_ARRAYS, _HELD_BYTES
    for name, value in list(state.shell.user_ns.items()):
        found = () if is_own(name, value) else mlx_arrays(value, longest=_NOTED_ARRAYS)
        arrays = list(itertools.islice(found, room + 1))
        if not arrays or len(arrays) > room:
            continue
        room -= len(arrays)
        lazy = any(map(is_lazy, arrays))
        size = nbytes(value)
        if size <= room_bytes:
            room_bytes -= size
            _noted[name] = _Noted(id(value), [copy.copy(array) for array in arrays], [], lazy)
        else:
            _noted[name] = _Noted(id(value), [], [_address(array) for array in arrays], lazy)


def secure() -> None:
    """Before the first collective: compute what earlier cells left lazy. A rank that waits could not."""
    room = _SECURED_BYTES
    for name, noted in list(_noted.items()):
        size = sum(array.nbytes for array in noted.arrays)
        if noted.lazy and noted.arrays and size <= room:
            room -= size
            with contextlib.suppress(RuntimeError, ValueError):  # the cell that uses it will say so
                mx.eval(noted.arrays)
                _noted[name] = noted._replace(lazy=False)


def forget() -> None:
    """A cell has ended: keep the names of what it left alone, and let go of the arrays."""
    global _called, _unchanged
    _called = ledger.count > 0 or bool(ledger.sent or ledger.received)
    user = state.shell.user_ns
    _unchanged = {name for name in _noted if name in user and _is_unchanged(name, user[name])}
    _noted.clear()


def is_trusted(name: str, value: Any) -> bool:
    """Whether a variable with arrays is as it was before the running or latest cell, and computed then."""
    if state.cell_runs:
        return _is_unchanged(name, value)
    return name in _unchanged or not _called


def _is_unchanged(name: str, value: Any) -> bool:
    noted = _noted.get(name)
    if noted is None or noted.lazy or id(value) != noted.object_id:
        return False
    before = [_address(array) for array in noted.arrays] or noted.addresses
    return None not in before and before == [_address(array) for array in mlx_arrays(value)]


def _address(array: mx.array) -> int | None:
    """Where the array's numbers lie, or None where there is no one place: lazy, strided, empty."""
    if is_lazy(array):
        return None
    view = memoryview(array)  # type: ignore[arg-type]
    if not view.c_contiguous or not view.nbytes:
        return None
    return int(np.frombuffer(view.cast("B"), np.uint8).ctypes.data)


def is_lazy(array: mx.array) -> bool:
    """Whether the array is still a node of a graph: the drawing of one that is computed has no operation."""
    drawing = io.StringIO()
    mx.export_to_dot(drawing, array)
    return "label" in drawing.getvalue()


def is_own(name: str, value: Any) -> bool:
    """Whether the name is IPython's or ours, not the user's."""
    hidden = state.shell.user_ns_hidden
    return name.startswith("_") or (name in hidden and hidden[name] is value)


def mlx_arrays(value: Any, longest: float = math.inf) -> Iterator[mx.array]:
    """The MLX arrays in nested containers of up to a length."""
    return (array for array in arrays_in(value, longest) if isinstance(array, mx.array))


def arrays_in(value: Any, longest: float = math.inf) -> Iterator[mx.array | np.ndarray[Any, Any]]:
    """The arrays in nested containers of up to a length, each container looked into once."""
    looked_into: set[int] = set()
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, mx.array | np.ndarray):
            yield item
        elif isinstance(item, dict | list | tuple) and len(item) <= longest and id(item) not in looked_into:
            looked_into.add(id(item))
            left += item.values() if isinstance(item, dict) else item


def nbytes(value: Any) -> int:
    """Bytes of the arrays in it."""
    return sum(array.nbytes for array in arrays_in(value))
