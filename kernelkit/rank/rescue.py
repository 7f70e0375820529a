"""Hand the user's variables over before this rank is given up, also while its main thread is blocked.

Called in a subshell's thread, but for `compute`. What a cell that broke may have left unfinished stays
behind; `before` knows what that is.
"""

from __future__ import annotations

import importlib
import json
import threading
from types import FunctionType, ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module

from kernelkit import values
from kernelkit.errors import TransferError
from kernelkit.rank import before, state, watch
from kernelkit.rank.graph import is_lazy

_ENCODE_S = 2.0
_SLOWEST_BYTES_PER_S = 5e7
# Exactly these: a subclass would come back as the plain type.
_CARRIED = {type(None), bool, int, float, complex, str, bytes, list, tuple, dict, mx.array, np.ndarray}


def compute() -> None:
    """In the main thread, where it is free: compute what is lazy, which only this thread can."""
    for name, value in list(state.shell.user_ns.items()):
        if not before.is_own(name, value):
            before.compute([array for array in before.mlx_arrays(value) if is_lazy(array)])


def rescuable(suspect: bool) -> dict[str, Any]:
    """What there is to carry.

    Args:
        suspect: this rank's latest cell is the one that broke.

    Returns:
        `sizes`: name to bytes of its arrays; `modules`: name to the module that it stands for; `left`: name
        to why it cannot be carried.
    """
    sizes: dict[str, int] = {}
    modules: dict[str, str] = {}
    left: dict[str, str] = {}
    suspect = suspect or state.mlx_failed or watch.doing() != "idle"
    in_mlx = bool(watch.where()["in_mlx"])
    for name, value in list(state.shell.user_ns.items()):
        if before.is_own(name, value):
            continue
        arrays = list(before.mlx_arrays(value))
        if isinstance(value, ModuleType):
            modules[name] = value.__name__
        elif isinstance(value, FunctionType | type):
            left[name] = "defined in a cell, run it again"
        elif odd := _odd_type(value):
            left[name] = odd
        elif any(map(is_lazy, arrays)):
            left[name] = "not computed"
        elif arrays and suspect and not before.is_trusted(name, value, in_mlx=in_mlx):
            left[name] = "changed in the cell that broke"
        else:
            sizes[name] = before.nbytes(value)
    return {"sizes": sizes, "modules": modules, "left": left}


def rescue(names: list[str]) -> dict[str, Any]:
    """Encode variables; their buffers go along as an event, those of the first variable first.

    Returns:
        `trees`: name to its encoded tree, as JSON, and its number of buffers; `failed`: name to why.
        Names in neither were not reached in time.
    """
    trees: dict[str, tuple[str, int]] = {}
    failed: dict[str, str] = {}
    buffers: list[values.Buffer] = []
    user = {name: state.shell.user_ns[name] for name in names if name in state.shell.user_ns}

    def encode() -> None:
        # A stream of its own: the default one may be stuck in a collective.
        with mx.stream(mx.new_stream(mx.cpu)):
            for name, value in user.items():
                try:
                    tree, mine = values.encode(value, name)
                except TransferError as error:
                    failed[name] = error.got or error.what
                    continue
                buffers.extend(mine)
                trees[name] = (json.dumps(tree), len(mine))

    thread = threading.Thread(target=encode, name="kernelkit-rescue", daemon=True)
    thread.start()
    thread.join(_ENCODE_S + sum(map(before.nbytes, user.values())) / _SLOWEST_BYTES_PER_S)
    reached = dict(trees)  # it may go on
    state.publish({"event": "buffers"}, buffers[: sum(count for _, count in reached.values())])
    return {"trees": reached, "failed": dict(failed)}


def _odd_type(value: Any) -> str:
    """Why a variable would come back as something else than it is, or nothing."""
    seen: set[int] = set()
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, Module):
            return "an nn.Module, make it again"
        if type(item) not in _CARRIED and not isinstance(item, np.generic):
            return f"{type(item).__module__}.{type(item).__qualname__}"
        if isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            left += [*item, *item.values()] if isinstance(item, dict) else item
    return ""


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
