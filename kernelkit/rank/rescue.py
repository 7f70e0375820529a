"""Hand the user's variables over before this rank is given up, also while its main thread is blocked.

Called in a subshell's thread. What an evaluation that never ended, or that failed, was about to compute
must not pass for a result: MLX lets another thread read such arrays at once, with whatever their memory
holds. So `remember` notes before each cell where the arrays lie, and of a cell that broke only the
arrays that still lie there are carried. What earlier cells left lazy could not be computed any more once
the rank waits: `secure` does it before the first collective of a cell.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
import math
import threading
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import mlx.core as mx
import numpy as np

from kernelkit import values
from kernelkit.errors import TransferError
from kernelkit.rank import state, watch

_ENCODE_S = 1.0
# Noting them takes some microseconds each, before every cell.
_NOTED_ARRAYS = 300
# Larger ones than this together stay lazy: they may have been meant to.
_SECURED_BYTES = 2**30

# Name to the object and the addresses of its arrays, as they were before the running or latest cell.
_before: dict[str, tuple[int, list[int | None]]] = {}


def remember() -> None:
    """Note which variables hold computed arrays, and where: a cell begins."""
    _before.clear()
    room = _NOTED_ARRAYS
    for name, value in list(state.shell.user_ns.items()):
        found = () if _is_own(name, value) else _mlx_arrays(value, longest=_NOTED_ARRAYS)
        arrays = list(itertools.islice(found, room + 1))
        if arrays and len(arrays) <= room:
            room -= len(arrays)
            _before[name] = _fingerprint(value, arrays)


def secure() -> None:
    """Compute what the cells before this one left lazy: a rank that waits could not any more."""
    room = _SECURED_BYTES
    for name, (_, addresses) in list(_before.items()):
        value = state.shell.user_ns.get(name)
        if None not in addresses or _nbytes(value) > room:
            continue
        room -= _nbytes(value)
        arrays = list(_mlx_arrays(value))
        with contextlib.suppress(RuntimeError, ValueError):  # the cell that uses it will say so
            mx.eval(arrays)
        _before[name] = _fingerprint(value, arrays)


def compute() -> None:
    """In the main thread, where it is free: compute what is lazy, which only this thread can."""
    for name, value in list(state.shell.user_ns.items()):
        lazy = [] if _is_own(name, value) else [array for array in _mlx_arrays(value) if _is_lazy(array)]
        # One by one: what depends on a peer that is gone fails alone.
        with contextlib.suppress(RuntimeError, ValueError):
            mx.eval(lazy)


def rescuable() -> dict[str, Any]:
    """What there is to carry.

    Returns:
        `sizes`: name to bytes of its arrays; `modules`: name to the module that it stands for; `left`: name
        to why it cannot be carried.
    """
    sizes: dict[str, int] = {}
    modules: dict[str, str] = {}
    left: dict[str, str] = {}
    broke = _cell_broke()
    for name, value in list(state.shell.user_ns.items()):
        if _is_own(name, value):
            continue
        if isinstance(value, ModuleType):
            modules[name] = value.__name__
        elif isinstance(value, FunctionType | type):
            left[name] = "defined in a cell, run it again"
        elif any(map(_is_lazy, _mlx_arrays(value))):
            left[name] = "not computed"
        elif broke and _may_be_unfinished(name, value):
            left[name] = "changed in the cell that broke"
        else:
            sizes[name] = _nbytes(value)
    return {"sizes": sizes, "modules": modules, "left": left}


def rescue(name: str) -> str:
    """Encode one variable; its buffers go along as an event.

    Raises:
        TransferError: it is of a kind that cannot be carried, or waits for what never comes.
    """
    value = state.shell.user_ns.get(name)
    done: list[tuple[Any, list[values.Buffer]]] = []
    failed: list[TransferError] = []

    def encode() -> None:
        try:
            # A stream of its own: the default one may be stuck in a collective.
            with mx.stream(mx.new_stream(mx.cpu)):
                done.append(values.encode(value, name))
        except TransferError as error:
            failed.append(error)

    thread = threading.Thread(target=encode, name="kernelkit-rescue", daemon=True)
    thread.start()
    thread.join(_ENCODE_S + _nbytes(value) / 1e9)
    if failed:
        raise failed[0]
    if not done:
        raise TransferError(f"{name} was not encoded in time")
    tree, buffers = done[0]
    state.publish({"event": "buffers"}, buffers)
    return json.dumps(tree)


def import_modules(modules: dict[str, str]) -> list[str]:
    """Import modules again and bind them.

    Args:
        modules: name to module.

    Returns:
        The names whose module is not there.
    """
    missing = []
    for name, module in modules.items():
        try:
            state.shell.push({name: importlib.import_module(module)})
        except ImportError:
            missing.append(name)
    return missing


def _cell_broke() -> bool:
    """Whether the main thread is still in a cell, or MLX failed in the latest one."""
    return state.mlx_failed or watch.doing() != "idle"


def _is_own(name: str, value: Any) -> bool:
    """Whether the name is IPython's or ours, not the user's."""
    hidden = state.shell.user_ns_hidden
    return name.startswith("_") or (name in hidden and hidden[name] is value)


def _may_be_unfinished(name: str, value: Any) -> bool:
    arrays = list(_mlx_arrays(value))
    if not arrays:
        return False
    now = _fingerprint(value, arrays)
    return None in now[1] or _before.get(name) != now


def _fingerprint(value: Any, arrays: list[mx.array]) -> tuple[int, list[int | None]]:
    """Which object it is, and where its arrays lie; None for one that is not computed."""
    return id(value), [_address(array) for array in arrays]


def _address(array: mx.array) -> int | None:
    if _is_lazy(array):
        return None
    view = memoryview(array)  # type: ignore[arg-type]
    if not view.c_contiguous or not view.nbytes:
        return None
    return int(np.frombuffer(view.cast("B"), np.uint8).ctypes.data)


def _mlx_arrays(value: Any, longest: float = math.inf) -> Iterator[mx.array]:
    return (array for array in _arrays(value, longest) if isinstance(array, mx.array))


def _arrays(value: Any, longest: float = math.inf) -> Iterator[mx.array | np.ndarray[Any, Any]]:
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


def _nbytes(value: Any) -> int:
    return sum(array.nbytes for array in _arrays(value))


def _is_lazy(array: mx.array) -> bool:
    """Whether the array is still a node of a graph: the drawing of one that is computed has no operation."""
    drawing = io.StringIO()
    mx.export_to_dot(drawing, array)
    return "label" in drawing.getvalue()
