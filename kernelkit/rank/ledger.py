"""What this rank asked of its group since the cell began: every collective in order, with its line.

MLX builds a graph first and blocks inside C++ later, so neither MLX nor Python can say in which
collective a rank waits. But a rank that waits is one whose program called a collective which another
rank's did not: comparing the ranks' ledgers names it. `install` puts a thin function in front of each of
MLX's collectives, and numbers are not touched. The host builds a graph with dozens of them for each token of
a model: so a call that is like an earlier one costs little more than a look into a dict.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import mlx.core as mx

from kernelkit.errors import CollectiveMismatchError
from kernelkit.rank import agree, state, timing, traffic
from kernelkit.rank.graph import is_lazy
from kernelkit.rank.programline import caller, line_of

# A training loop may run for days: old calls are dropped, the count goes on.
_KEPT_CALLS = 10_000
# A model has as many as it has kinds of layers; a program that has a new shape each time learns nothing.
_MOST_KNOWN = 4096

# Results that are held until the end of their cell, so that it can compute them whoever dropped them.
_HELD_RESULT_BYTES = 2**20
_HELD_RESULTS = 256

_COLLECTIVES = ("all_sum", "all_max", "all_min", "all_gather", "sum_scatter")
_PEER_TO_PEER = ("send", "recv", "recv_like")

# What tells one call from another: operation, shape, dtype, and the place in the program. Of a code object
# the id: its hash goes through all of its bytecode each time, and two cells may have equal ones.
_Key = tuple[str, tuple[int, ...], mx.Dtype, int, int]


class _Call:
    """One call, and every other that is like it.

    Attributes:
        coded: of what ranks must agree on, for the checksum.
        sends: what it sends.
    """

    def __init__(self, op: str, x: mx.array, frame: FrameType) -> None:
        self._kind = op, x.shape, x.dtype
        self._place = frame.f_code, frame.f_lasti  # held, so that no other code gets its id
        op, shape, dtype = self._kind
        self.coded = f"{op}{shape}{dtype}".encode()
        self.sends = traffic.of_collective(op, x)

    def to_dict(self, index: int) -> dict[str, Any]:
        op, shape, dtype = self._kind
        kind = {"op": op, "shape": list(shape), "dtype": str(dtype).rpartition(".")[2]}
        return {"index": index, **kind, **line_of(*self._place)}


calls: deque[_Call] = deque(maxlen=_KEPT_CALLS)
# The different ones since `begin`.
_known: dict[_Key, _Call] = {}
count = 0
# Of the group's whole life: what was sent in one cell may be received in the next.
sent: dict[int, int] = {}
received: dict[int, int] = {}
# Whether the program called anything of the group since `begin`.
talked = False
checking = False
# Called before the first collective, send or recv of a cell.
before_first: list[Callable[[], None]] = []
# Called at the end of a cell that dropped large results.
at_settle: list[Callable[[], None]] = []
settling = False
# How many functions are being traced by `mx.compile` just now.
tracing = 0
# Results of this cell that may not have been computed yet, in the order of the calls.
_pending: list[mx.array | weakref.ref[mx.array]] = []
_prune_at = _HELD_RESULTS
_dropped_checksum = 0


def install() -> None:
    """Record every collective from now on; harmless to call once per process."""
    for name in _COLLECTIVES:
        setattr(mx.distributed, name, _collective(name, getattr(mx.distributed, name)))
    for name in _PEER_TO_PEER:
        setattr(mx.distributed, name, _peer_to_peer(name, getattr(mx.distributed, name)))
    mx.compile = _compile(mx.compile)


@contextlib.contextmanager
def untold() -> Iterator[None]:
    """What is called inside is built and never run: it is neither counted nor compared."""
    global tracing
    tracing += 1
    try:
        yield
    finally:
        tracing -= 1


def begin(*, check: bool = False) -> None:
    """A new cell or operation: count from zero.

    Args:
        check: compare each collective with the other ranks before it runs, and run it at once.
    """
    global count, checking, talked, _prune_at, _dropped_checksum
    calls.clear()
    _known.clear()
    traffic.begin()
    _pending.clear()
    _prune_at, _dropped_checksum = _HELD_RESULTS, 0
    count, checking, talked = 0, check, False


def settle() -> None:
    """Compute the collectives of this cell that are still to be computed.

    A result that is left lazy would make the first rank that looks at it in a later cell wait for
    the others, for ever if they do not look. So a collective runs in the cell that called it: on every
    rank, in the order of the calls, also where a rank has dropped the result.
    """
    global settling
    waiting, large = [], False
    for held in _pending:
        array = held() if isinstance(held, weakref.ref) else held
        large = large or array is None
        waiting += [array] if array is not None else []
    _pending.clear()
    settling = True
    try:
        for array in waiting:
            with contextlib.suppress(ValueError):  # a stand-in that a transformed function let escape
                mx.eval(array)
        for action in at_settle if large else ():
            action()
    finally:
        settling = False


def summary() -> dict[str, int]:
    """Count and checksum of the collectives, equal on ranks that called the same in the same order."""
    checksum = _dropped_checksum
    for call in calls:
        checksum = zlib.crc32(call.coded, checksum)
    return {"calls": count, "checksum": checksum}


def ledger(last: int = _KEPT_CALLS) -> list[dict[str, Any]]:
    """The newest `last` collectives, oldest first, as dicts of `places.Call`."""
    kept = list(calls)
    first = count - len(kept)
    start = max(0, len(kept) - last)
    return [call.to_dict(first + i) for i, call in enumerate(itertools.islice(kept, start, None), start)]


def _collective(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def collective(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)  # first: it refuses wrong arguments before anything is counted
        group = kwargs.get("group")
        if tracing or (group is not None and group.size() != state.world_size):
            return out  # not run now, or by a part of the ranks: the others' ledgers do not hold it
        x = args[0] if args else kwargs["x"]
        if type(x) is not mx.array:  # a plain number, say
            x = mx.array(x)
        frame = caller()
        key = name, x.shape, x.dtype, id(frame.f_code), frame.f_lasti
        call = _known.get(key) or _learn(key, _Call(name, x, frame))
        _note(call, out, group)
        traffic.count(call.sends)
        if timing.clock is not None:
            timing.clock.time(args[0] if args else x, out, name)
        return out

    return collective


def _learn(key: _Key, call: _Call) -> _Call:
    if len(_known) == _MOST_KNOWN:
        _known.clear()
    _known[key] = call
    return call


def _peer_to_peer(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """`send(x, dst)`, `recv(shape, dtype, src)`, `recv_like(x, src)`: counted per peer, not compared."""
    at, keyword = (2, "src") if name == "recv" else (1, "dst" if name == "send" else "src")
    counts = sent if name == "send" else received

    @functools.wraps(original)
    def peer_to_peer(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        peer = int(args[at] if len(args) > at else kwargs[keyword])
        if not tracing:
            _prepare()
            counts[peer] = counts.get(peer, 0) + 1
            if name == "send":
                traffic.send(peer, out)
            if state.cell_runs:
                _remember(out)
            if timing.clock is not None:
                timing.clock.time(args[0] if args else kwargs.get("x"), out, name)
        return out

    return peer_to_peer


def _compile(original: Callable[..., Any]) -> Callable[..., Any]:
    """`mx.compile` runs a function once, to learn its graph: what it calls then is not counted."""

    @functools.wraps(original)
    def compile_(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        @functools.wraps(fun)
        def traced(*inner: Any, **named: Any) -> Any:
            with untold():
                return fun(*inner, **named)

        return original(traced, *args, **kwargs)

    return compile_


def _note(call: _Call, out: mx.array, group: mx.distributed.Group | None) -> None:
    global count, _dropped_checksum
    if not talked:
        _prepare()
    if len(calls) == _KEPT_CALLS:
        _dropped_checksum = zlib.crc32(calls[0].coded, _dropped_checksum)
    calls.append(call)
    count += 1
    if checking:
        try:
            agree.before_running(call.to_dict(count - 1), group)
        except CollectiveMismatchError:  # it does not run, and so was not called
            calls.pop()
            count -= 1
            raise
    if not (checking and agree.run_at_once(out)) and state.cell_runs:
        _remember(out)


def _prepare() -> None:
    """Before the first call of a cell, while this rank can still compute alone."""
    global talked
    if not talked and state.cell_runs:
        for action in before_first:
            action()
    talked = True


def _remember(out: mx.array) -> None:
    """Hold a result; a large one must be free to go, so only what is left of it is computed in the end."""
    global _prune_at
    if len(_pending) >= _prune_at:
        oldest = _pending[0]
        computed = isinstance(oldest, weakref.ref) or not is_lazy(oldest)
        if computed:
            _pending[:] = [held for held in _pending if _may_be_lazy(held)]
        _prune_at = max(_HELD_RESULTS, 2 * len(_pending))
    _pending.append(out if out.nbytes <= _HELD_RESULT_BYTES else weakref.ref(out))


def _may_be_lazy(held: mx.array | weakref.ref[mx.array]) -> bool:
    array = held() if isinstance(held, weakref.ref) else held
    return array is not None and is_lazy(array)
