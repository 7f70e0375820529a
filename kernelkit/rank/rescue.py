"""Hand the user's variables over before this rank is given up, also while its main thread is blocked.

Called in a subshell's thread, but for `compute`. What a cell that broke may have left unfinished stays
behind; `before` knows what that is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import threading
from types import FunctionType, ModuleType
from typing import Any

import mlx.core as mx

from kernelkit import values
from kernelkit.errors import TransferError
from kernelkit.rank import before, state, watch

_ENCODE_S = 1.0


def compute() -> None:
    """In the main thread, where it is free: compute what is lazy, which only this thread can."""
    for name, value in list(state.shell.user_ns.items()):
        if before.is_own(name, value):
            continue
        lazy = [array for array in before.mlx_arrays(value) if before.is_lazy(array)]
        # One by one: what depends on a peer that is gone fails alone.
        with contextlib.suppress(RuntimeError, ValueError):
            mx.eval(lazy)


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
    for name, value in list(state.shell.user_ns.items()):
        if before.is_own(name, value):
            continue
        arrays = list(before.mlx_arrays(value))
        if isinstance(value, ModuleType):
            modules[name] = value.__name__
        elif isinstance(value, FunctionType | type):
            left[name] = "defined in a cell, run it again"
        elif any(map(before.is_lazy, arrays)):
            left[name] = "not computed"
        elif arrays and suspect and not before.is_trusted(name, value):
            left[name] = "changed in the cell that broke"
        else:
            sizes[name] = before.nbytes(value)
    return {"sizes": sizes, "modules": modules, "left": left}


def rescue(name: str) -> str:
    """Encode one variable; its buffers go along as an event.

    Raises:
        TransferError: it is of a kind that cannot be carried, or takes too long.
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
    thread.join(_ENCODE_S + before.nbytes(value) / 1e9)
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
