"""What this rank asked of its group since the cell began: every collective in order, with its line.

MLX builds a graph first and blocks inside C++ later, so neither MLX nor Python can say in which
collective a rank waits. But a rank that waits is one whose program called a collective which another
rank's did not: comparing the ranks' ledgers names it. `install` puts a thin function in front of each of
MLX's collectives; a call costs about a microsecond more, and numbers are not touched.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import linecache
import sys
import weakref
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import mlx.core as mx

from kernelkit.rank import agree, state

# A training loop may run for days: old calls are dropped, the count goes on.
_KEPT_CALLS = 10_000

_COLLECTIVES = ("all_sum", "all_max", "all_min", "all_gather", "sum_scatter")
_PEER_TO_PEER = ("send", "recv", "recv_like")

Place = tuple[CodeType, int]


class _Call(NamedTuple):
    op: str
    shape: tuple[int, ...]
    dtype: mx.Dtype
    place: Place

    def to_dict(self, index: int) -> dict[str, Any]:
        kind = {"op": self.op, "shape": list(self.shape), "dtype": str(self.dtype).rpartition(".")[2]}
        return {"index": index, **kind, **describe(*self.place)}


calls: deque[_Call] = deque(maxlen=_KEPT_CALLS)
count = 0
sent: dict[int, int] = {}
received: dict[int, int] = {}
checking = False
# Called before the first collective of a cell.
before_first: list[Callable[[], None]] = []
settling = False
# Results that were built in this cell and may not have been computed yet.
_pending: dict[int, weakref.ref[mx.array]] = {}


def install() -> None:
    """Record every collective from now on; harmless to call once per process."""
    for name in _COLLECTIVES:
        setattr(mx.distributed, name, _collective(name, getattr(mx.distributed, name)))
    for name in _PEER_TO_PEER:
        setattr(mx.distributed, name, _peer_to_peer(name, getattr(mx.distributed, name)))


def begin(*, check: bool = False) -> None:
    """A new cell or operation: count from zero.

    Args:
        check: compare each collective with the other ranks before it runs, and run it at once.
    """
    global count, checking
    calls.clear()
    sent.clear()
    received.clear()
    _pending.clear()
    count, checking = 0, check


def settle() -> None:
    """Compute the collectives of this cell that are still to be computed.

    A result that is left lazy would make the first rank that looks at it in a later cell wait for
    the others, for ever if they do not look. So a collective runs in the cell that called it.
    """
    global settling
    waiting = [array for ref in list(_pending.values()) if (array := ref()) is not None]
    _pending.clear()
    settling = True
    try:
        for array in waiting:  # in the order of the calls, which is the same on all ranks
            with contextlib.suppress(ValueError):  # a stand-in that a transformed function let escape
                mx.eval(array)
    finally:
        settling = False


def summary() -> dict[str, int]:
    """Count and checksum of the collectives, equal on ranks that called the same in the same order."""
    checksum = 0
    for call in calls:
        checksum = zlib.crc32(f"{call.op}{call.shape}{call.dtype}".encode(), checksum)
    return {"calls": count, "checksum": checksum}


def ledger(last: int = _KEPT_CALLS) -> list[dict[str, Any]]:
    """The newest `last` collectives, oldest first, as dicts of `places.Call`."""
    kept = list(calls)
    first = count - len(kept)
    start = max(0, len(kept) - last)
    return [call.to_dict(first + i) for i, call in enumerate(itertools.islice(kept, start, None), start)]


def describe(code: CodeType, last_instruction: int) -> dict[str, Any]:
    """`line`, `source`, and `file` where it is not the cell: of a place in the program."""
    name = code.co_filename
    file = "" if name in state.shell.compile._filename_map else Path(name).name
    for start, end, line in code.co_lines():
        if start <= last_instruction < end and line is not None:
            return {"file": file, "line": line, "source": linecache.getline(name, line).strip()}
    return {"file": file, "line": 0, "source": ""}


def in_cell(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is a line of the user's cell."""
    cells = state.shell.compile._filename_map
    while frame is not None and frame.f_code.co_filename not in cells:
        frame = frame.f_back
    return frame


def _collective(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def collective(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)  # first: it refuses wrong arguments before anything is counted
        group = kwargs.get("group")
        if group is not None and group.size() != state.world_size:
            return out  # of a part of the ranks: the others' ledgers do not hold it
        x = args[0] if args else kwargs["x"]
        _note(_Call(name, x.shape, x.dtype, _caller()), out, group)
        return out

    return collective


def _peer_to_peer(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """`send(x, dst)`, `recv(shape, dtype, src)`, `recv_like(x, src)`: counted per peer, not compared."""
    at, keyword = (2, "src") if name == "recv" else (1, "dst" if name == "send" else "src")
    counts = sent if name == "send" else received

    @functools.wraps(original)
    def peer_to_peer(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        peer = int(args[at] if len(args) > at else kwargs[keyword])
        counts[peer] = counts.get(peer, 0) + 1
        _remember(out)
        return out

    return peer_to_peer


def _note(call: _Call, out: mx.array, group: mx.distributed.Group | None) -> None:
    global count
    if not count and state.cell_runs:
        for action in before_first:
            action()
    calls.append(call)
    count += 1
    if checking:
        agree.before_running(call.to_dict(count - 1), group)
    if not (checking and agree.run_at_once(out)):
        _remember(out)


def _remember(out: mx.array) -> None:
    key = id(out)
    _pending[key] = weakref.ref(out, lambda _: _pending.pop(key, None))


def _caller() -> Place:
    """The line of the cell that led here; of our own operations the line that called the collective."""
    outer = sys._getframe(2)
    frame = None if state.operation else in_cell(outer)
    frame = frame or outer
    return frame.f_code, frame.f_lasti
