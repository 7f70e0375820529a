"""Say what this rank is doing, also while its main thread is blocked in a collective."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

import mlx.core as mx
import psutil

from kernelkit.rank import ledger, native, state, traffic
from kernelkit.rank.programline import in_cell, line_of

_RECENT_CALLS = 8
_STACK_FRAMES = 12


def status() -> dict[str, Any]:
    """What changes from moment to moment; safe in a subshell's thread.

    Returns:
        `memory_bytes` (resident in this process), `mlx_bytes` and `mlx_peak_bytes` (MLX's allocator),
        `host_memory_bytes` and `host_used_bytes` (all of this host's, and what no other program could get),
        `gpu_memory_bytes` and `gpu_used_bytes` (of this rank's GPU, by all programs; None where it has no
        memory of its own), and all of `where`.
    """
    host = psutil.virtual_memory()
    return {
        "memory_bytes": psutil.Process().memory_info().rss,
        "mlx_bytes": mx.get_active_memory(),
        "mlx_peak_bytes": mx.get_peak_memory(),
        "host_memory_bytes": host.total,
        "host_used_bytes": host.total - host.available,
        **_gpu_memory(),
        **where(),
    }


def _gpu_memory() -> dict[str, int | None]:
    total = used = None
    if mx.default_device() == mx.Device(mx.gpu):
        facts = mx.device_info()
        if "total_memory" in facts:  # CUDA; Metal's memory is the host's
            total = int(facts["total_memory"])
            used = total - int(facts["free_memory"])
    return {"gpu_memory_bytes": total, "gpu_used_bytes": used}


def where() -> dict[str, Any]:
    """Where the main thread stands; some 100 µs, safe in a subshell's thread.

    Returns:
        `line` and `source` of the user's cell (0 and empty outside one); `doing` in a few words; `in_mlx`,
        whether it is in a call of MLX; `cpu_s`, the main thread's processor time, which stands still while it
        waits; `calls`, `recent`, `sent` and `received` as the ledger has them; `op_bytes` and `peer_bytes`
        as `traffic` has them.
    """
    leaf = _main_frame()
    cell = in_cell(leaf)
    place = line_of(cell.f_code, cell.f_lasti) if cell is not None else {"line": 0, "source": ""}
    return {
        "line": place["line"],
        "source": place["source"],
        "doing": doing(),
        "in_mlx": ledger.settling or (leaf is not None and native.in_mlx(leaf)),
        "cpu_s": _main_cpu_s(),
        "calls": ledger.count,
        "recent": ledger.ledger(_RECENT_CALLS),
        # JSON has no integers as keys.
        "sent": list(ledger.sent.items()),
        "received": list(ledger.received.items()),
        "op_bytes": dict(traffic.op_bytes),
        "peer_bytes": list(traffic.peer_bytes.items()),
    }


def report() -> dict[str, Any]:
    """Everything for a diagnosis: `where`, the `stack`, and the whole `ledger`."""
    return {**where(), "stack": _stack(), "ledger": ledger.ledger()}


def _stack() -> str:
    """The main thread's Python stack, from the user's cell inwards, as a traceback prints it."""
    leaf = _main_frame()
    cell = in_cell(leaf)
    frames = traceback.extract_stack(leaf)
    names = [frame.filename for frame in frames]
    start = names.index(cell.f_code.co_filename) if cell is not None else 0
    text = "".join(traceback.format_list(frames[start:][-_STACK_FRAMES:]))
    for name, number in state.shell.compile._filename_map.items():
        text = text.replace(f'File "{name}"', f"Cell In[{number}]")
    return text


def doing() -> str:
    """What the main thread does where that is no line of a cell: `idle`, an operation, a cell's end."""
    if ledger.settling:
        return "the end of its cell: computing the collectives that it left lazy"
    if state.operation:
        return f"kernelkit: {state.operation}"
    return "between two lines of its cell" if state.cell_runs else "idle"


def _main_frame() -> FrameType | None:
    return sys._current_frames().get(threading.main_thread().ident or 0)


def _main_cpu_s() -> float:
    main = threading.main_thread()
    if sys.platform == "linux":
        return time.clock_gettime(time.pthread_getcpuclockid(main.ident or 0))
    # macOS has no such clock; psutil lists a process's threads in the order in which they were started.
    first = psutil.Process().threads()[0]
    return first.user_time + first.system_time
