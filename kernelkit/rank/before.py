"""What the user's arrays were before the running cell, to tell afterwards which of them it changed.

An evaluation that never ends or that fails leaves arrays behind that MLX hands out to another thread at
once, with whatever their memory holds. Of a cell that broke, only arrays that it did not touch can be
trusted. A handle on each array is held while the cell runs: it costs no memory until the array is
changed, and keeps MLX from computing the new one into the old one's place. Whether a variable still is
what the handle is, MLX's own drawing of the two says, without waiting for either.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import psutil

from kernelkit.rank import ledger, state
from kernelkit.rank.graph import holds_collective, is_lazy, is_same

# Each takes less than a microsecond before every cell, and some in a cell that calls collectives.
_NOTED_ARRAYS = 2_000
_LONGEST_CONTAINER = 2_000
# What a cell overwrites is kept until its end; more than this must not be held twice.
_HELD_BYTES = psutil.virtual_memory().total // 4
# More than this together stays lazy: it may have been meant to.
_SECURED_BYTES = 2**30


class _Noted(NamedTuple):
    value: Any
    arrays: list[mx.array]


_noted: dict[str, _Noted] = {}
_unchanged: set[str] = set()
# Whether what is noted is known to be computed.
_secured = False
# Whether the latest cell called collectives; one that did not cannot have been broken by a peer.
_called = False


def remember() -> None:
    """A cell begins: note which variables hold arrays."""
    global _secured
    _noted.clear()
    _secured = False
    room, room_bytes = _NOTED_ARRAYS, _HELD_BYTES
    for name, value in list(state.shell.user_ns.items()):
        found = () if is_own(name, value) else mlx_arrays(value, longest=_LONGEST_CONTAINER)
        arrays = list(itertools.islice(found, room + 1))
        size = sum(array.nbytes for array in arrays)
        if arrays and len(arrays) <= room and size <= room_bytes:
            room -= len(arrays)
            room_bytes -= size
            _noted[name] = _Noted(value, [copy.copy(array) for array in arrays])


def secure() -> None:
    """Before the first collective: compute what earlier cells left lazy. A rank that waits could not."""
    global _secured
    room = _SECURED_BYTES
    for name, noted in list(_noted.items()):
        lazy = [array for array in noted.arrays if is_lazy(array)]
        room -= sum(array.nbytes for array in lazy)
        if lazy and (room < 0 or not compute(lazy)):
            del _noted[name]
    _secured = True


def settle_large() -> None:
    """At the end of a cell: compute the user's variables that a dropped collective is part of."""
    for name, value in sorted(state.shell.user_ns.items()):
        if not is_own(name, value):
            mx.eval(
                [array for array in mlx_arrays(value, longest=_LONGEST_CONTAINER) if holds_collective(array)]
            )


def compute(lazy: list[mx.array]) -> bool:
    """Compute lazy arrays one by one; not those that a collective is part of, which takes all ranks.

    Returns:
        Whether all of them are computed now.
    """
    done = 0
    for array in lazy:
        # What fails is told in the cell that uses it.
        with contextlib.suppress(RuntimeError, ValueError):
            if not holds_collective(array):
                mx.eval(array)
                done += 1
    return done == len(lazy)


def forget() -> None:
    """A cell has ended: keep the names of what it left alone, and let go of the arrays."""
    global _called, _unchanged
    _called = ledger.talked
    user = state.shell.user_ns
    _unchanged = {name for name in _noted if _called and name in user and _is_unchanged(name, user[name])}
    _noted.clear()


def is_trusted(name: str, value: Any, *, in_mlx: bool) -> bool:
    """Whether a variable with arrays is as it was before the running or latest cell, and computed then.

    Args:
        in_mlx: the main thread is in a call of MLX, which may be computing what was lazy.
    """
    if state.cell_runs:
        return (_secured or not in_mlx) and _is_unchanged(name, value)
    return name in _unchanged or not _called


def _is_unchanged(name: str, value: Any) -> bool:
    noted = _noted.get(name)
    if noted is None or value is not noted.value:
        return False
    now = list(itertools.islice(mlx_arrays(value), len(noted.arrays) + 1))
    return len(now) == len(noted.arrays) and all(map(is_same, now, noted.arrays))


def is_own(name: str, value: Any) -> bool:
    """Whether the name is IPython's or ours, not the user's."""
    hidden = state.shell.user_ns_hidden
    return name.startswith("_") or (name in hidden and hidden[name] is value)


def mlx_arrays(value: Any, longest: float = math.inf) -> Iterator[mx.array]:
    """The MLX arrays in nested containers of up to a length."""
    return (array for array in arrays_in(value, longest) if isinstance(array, mx.array))


def arrays_in(value: Any, longest: float = math.inf) -> Iterator[mx.array | np.ndarray[Any, Any]]:
    """The arrays in nested containers that hold up to `longest` items in all, each looked into once."""
    looked_into: set[int] = set()
    room = longest
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, mx.array | np.ndarray):
            yield item
        elif isinstance(item, dict | list | tuple) and len(item) <= room and id(item) not in looked_into:
            looked_into.add(id(item))
            room -= len(item)
            left += item.values() if isinstance(item, dict) else item


def nbytes(value: Any) -> int:
    """Bytes of the arrays in it."""
    return sum(array.nbytes for array in arrays_in(value))
