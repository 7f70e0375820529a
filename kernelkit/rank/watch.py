"""Say what this rank is doing, also while its main thread is blocked in a collective."""

from __future__ import annotations

import linecache
import sys
import threading
from typing import Any

import mlx.core as mx
import psutil

from kernelkit.rank import state


def status() -> dict[str, Any]:
    """What changes from moment to moment; safe in a subshell's thread.

    Returns:
        `memory_bytes` (resident in this process), `mlx_bytes` and `mlx_peak_bytes` (MLX's allocator),
        `doing` (a few words; the notebook replaces it by `idle` when it runs nothing here).
    """
    return {
        "memory_bytes": psutil.Process().memory_info().rss,
        "mlx_bytes": mx.get_active_memory(),
        "mlx_peak_bytes": mx.get_peak_memory(),
        "doing": doing(),
    }


def doing() -> str:
    """The line of the user's cell that the main thread stands in: `line 3: mx.eval(y)`."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    cells = state.shell.compile._filename_map
    while frame is not None:
        name = frame.f_code.co_filename
        if name in cells:
            source = linecache.getline(name, frame.f_lineno).strip()
            return f"line {frame.f_lineno}: {source}"
        frame = frame.f_back
    return f"kernelkit: {state.operation}" if state.operation else "idle"
