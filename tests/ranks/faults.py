"""How each fault is done to a rank: by a signal, by a statement inside it, by the kernel short of memory."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from kernelkit import Cluster
from tests.ranks.leftovers import agent_of
from tests.ranks.matrix import MEMORY_CAN_BE_LIMITED, MEMORY_CGROUP, Case
from tests.waiting import eventually, gone

LAST_WORDS = "last words of rank"
# Printed by every rank with the machine's clock, once it is where the case wants it.
REACHED = "reached"
_ROOM_BYTES = 128 * 2**20
_TOLD_S = 20.0

# Readies every rank: names with an underscore are not carried over, and so are not in the way of anything.
_ARM = """
import ctypes, os, sys, threading
print({last_words!r}, rank, file=sys.stderr)
_told = threading.Event()

def _die(os=os, ctypes=ctypes):
{statement}

def _die_if_told(is_told=_told.is_set):
    if is_told():
        _die()

def _listen(told=_told):
    open({fifo!r}).close()
    told.set()
    if not {in_cell}:
        _die()

if rank == {victim}:
    threading.Thread(target=_listen, daemon=True).start()
del ctypes, os, sys, threading
"""

_LOOP = f"""
import time
print("{REACHED}", time.monotonic(), flush=True)
while True:
    _die_if_told()
"""

_STUCK_HEAD = f"""import time
def here():
    print("{REACHED}", time.monotonic(), flush=True)
"""


class Inside:
    """A statement that waits in the victim until it is told to run.

    It runs in the cell's own thread where there is a cell, and else in a thread of the user's.
    """

    def __init__(self, cluster: Cluster, case: Case, folder: Path) -> None:
        self._fifo = folder / "die"
        self._fifo.unlink(missing_ok=True)
        os.mkfifo(self._fifo)
        code = _ARM.format(
            last_words=LAST_WORDS,
            statement=textwrap.indent(case.fault.statement or "pass", "    "),
            fifo=str(self._fifo),
            in_cell=case.phase.kind == "cell",
            victim=case.victim if case.fault.statement else None,
        )
        cluster.run(code)

    def tell(self) -> None:
        """Let it run now."""
        assert eventually(self._told, _TOLD_S), "the victim does not listen"

    def _told(self) -> bool:
        try:
            os.close(os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:  # its thread has not opened the other end yet
                raise
            return False
        return True


class MemoryLimit:
    """Room for so many bytes more in one process, then the kernel kills it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._group = MEMORY_CGROUP / f"kernelkit-{os.getpid()}-{pid}"

    def __enter__(self) -> MemoryLimit:
        if MEMORY_CAN_BE_LIMITED:
            self._group.mkdir()
            (self._group / "memory.limit_in_bytes").write_text(str(_ROOM_BYTES))
        return self

    def begin(self) -> None:
        """From now on. Without a group to put it in, allocations fail instead."""
        if MEMORY_CAN_BE_LIMITED:
            (self._group / "cgroup.procs").write_text(str(self._pid))
        else:
            limit = psutil.Process(self._pid).memory_info().vms + _ROOM_BYTES
            resource.prlimit(self._pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def __exit__(self, *_: object) -> None:
        if MEMORY_CAN_BE_LIMITED:
            assert eventually(self._removed), f"{self._group} is still in use"

    def _removed(self) -> bool:
        with contextlib.suppress(OSError):
            self._group.rmdir()
        return not self._group.exists()


class Trigger:
    """Does the fault once, from a thread, so many seconds after the phase was reached.

    Args:
        act: gives the time at which it came, where that is not when it began.
        ready: it waits for this as well.

    Attributes:
        at_s: when it was done, by the machine's clock; 0 before.
    """

    def __init__(
        self,
        act: Callable[[], float | None],
        delay_s: float = 0.0,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._act = act
        self._ready = ready
        self._timer = threading.Timer(delay_s, self._pull)
        self._begun = False
        self.at_s = 0.0

    def reached(self) -> None:
        """The phase is reached; harmless to call again."""
        if not self._begun:
            self._begun = True
            self._timer.start()

    def finish(self) -> None:
        """The phase has ended: do it now, if it was not done yet."""
        self._timer.cancel()
        if self._begun:
            self._timer.join()
        if not self.at_s:
            self._pull()

    def _pull(self) -> None:
        if eventually(self._ready, _TOLD_S):
            self.at_s = time.monotonic()
            self.at_s = self._act() or self.at_s


@contextlib.contextmanager
def armed(cluster: Cluster, case: Case, folder: Path) -> Iterator[Trigger]:
    """Ready the fault of a case on a cluster that runs; pulling the trigger does it."""
    fault = case.fault
    pids = [rank.pid for rank in cluster.status().ranks]
    victim = agent_of(pids[0]) if fault.to_agent else pids[case.victim]
    inside = Inside(cluster, case, folder)
    with MemoryLimit(victim) if fault.limited else contextlib.nullcontext() as limit:

        def act() -> float | None:
            if limit is not None:
                limit.begin()
            if fault.statement:
                inside.tell()
            elif fault.signal:
                os.kill(victim, fault.signal)
            if fault.ended_by == "ctrl-c":
                os.kill(os.getpid(), signal.SIGINT)
            # It takes its time to use up the memory.
            return _ended_s(victim) if fault.limited else None

        try:
            yield Trigger(act, case.delay_s)
        finally:
            if limit is not None and not gone(victim):
                os.kill(victim, signal.SIGKILL)  # else its group could not be taken away


def _ended_s(pid: int) -> float:
    """When a process ended, to the millisecond."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select([descriptor], [], [], _TOLD_S)
        finally:
            os.close(descriptor)
    return time.monotonic()


def looping_cell(case: Case) -> str:
    """A cell that does the phase's work until it ends by the fault."""
    return _LOOP + textwrap.indent(case.phase.body, "    ")


def stuck_cell(case: Case) -> str:
    """The cell in which ranks get stuck."""
    return _STUCK_HEAD + case.fault.cell.format(victim=case.victim)
