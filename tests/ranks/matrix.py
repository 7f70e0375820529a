"""What can go wrong with ranks, as data: what they do at that moment, what happens to one, what follows.

`CASES` is every phase with every fault that it can meet, over 2 and 4 ranks and both ways to cut a model.
`faults.py` knows how each is done, `harness.py` what must come of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelkit.model import Strategy

MEMORY_CGROUP = Path("/sys/fs/cgroup/memory")
# Only root can give a process a limit of its own, at which the kernel kills it as it does in earnest.
MEMORY_CAN_BE_LIMITED = os.access(MEMORY_CGROUP / "cgroup.procs", os.W_OK)

DETECTION_TARGET_S = 1.0
STUCK_TARGET_S = 3.0
# From Ctrl-C until the prompt is back.
STOP_TARGET_S = 5.0
RECOVERY_TARGET_S = 5.0
# Of a cell that nothing else would end.
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Phase:
    """What the ranks do when the fault comes.

    Attributes:
        kind: what the notebook has asked for; with `stuck`, the fault brings its own cell.
        body: of a cell, what it does over and over.
        strategies: ways to cut the model, where there is one.
    """

    name: str
    kind: Literal["starting", "joining", "idle", "cell", "load", "generate", "stuck"]
    body: str = ""
    strategies: tuple[Strategy | None, ...] = (None,)


BOTH: tuple[Strategy, ...] = ("tensor", "pipeline")

STARTING = Phase("ranks start", "starting")
JOINING = Phase("the group forms", "joining")
IDLE = Phase("idle", "idle")
PYTHON = Phase("Python code", "cell", "time.sleep(0.005)")
ONE_EACH = Phase("1 collective per eval", "cell", "mx.eval(mx.distributed.all_sum(mx.ones(64)))")
TWENTY_EACH = Phase(
    "20 collectives per eval",
    "cell",
    "_x = mx.ones(64)\nfor _i in range(20):\n    _x = mx.distributed.all_sum(_x) / world_size\nmx.eval(_x)",
)
LOADING = Phase("loading", "load", strategies=BOTH)
GENERATING = Phase("generating", "generate", strategies=BOTH)
STUCK = Phase("stuck", "stuck")

BEFORE = (STARTING, JOINING)
CELLS = (PYTHON, ONE_EACH, TWENTY_EACH)
AFTER = (IDLE, *CELLS, LOADING, GENERATING)


@dataclass(frozen=True)
class Fault:
    """What happens, and how it must end.

    Attributes:
        signal: is sent from outside; 0 where nothing is.
        statement: runs inside the victim.
        limited: the victim's memory is limited first.
        to_agent: it is not a rank that it happens to, but the agent that holds them all.
        cell: the one in which ranks get stuck; every rank prints when it stands where it will stand.
        ended_by: what ends it: by itself, the cell's `timeout_s`, or Ctrl-C.
        check: the cell runs with `check=True`.
        errors: names of those that it may end with; an empty one stands for a warning.
        says: what the message holds; `{victim}`, `{other}` (the lowest other rank) and `{host}` are put in.
        keeps: whether the victim's own variables can still be had.
        sound: whether the group must still be usable; None where either is right.
    """

    name: str
    signal: int = 0
    statement: str = ""
    limited: bool = False
    to_agent: bool = False
    cell: str = ""
    ended_by: Literal["itself", "timeout", "ctrl-c"] = "itself"
    check: bool = False
    errors: tuple[str, ...] = ("RankLostError",)
    says: tuple[str, ...] = ()
    keeps: bool = False
    sound: bool | None = False

    @property
    def deadly(self) -> bool:
        """Whether a process ends by it."""
        return self.errors == ("RankLostError",)

    @property
    def from_inside(self) -> bool:
        return bool(self.statement)


_GONE = "rank {victim} on {host} is gone"

KILL = Fault("kill -9", signal.SIGKILL, says=(_GONE, "killed by SIGKILL"))
EXIT = Fault("os._exit(3)", statement="os._exit(3)", says=(_GONE, "exit status 3"))
SEGFAULT = Fault(
    "segfault",
    statement="ctypes.string_at(0)",
    says=(_GONE, "killed by SIGSEGV", "Segmentation fault"),
)
_HOG = """
hog = []
try:
    while True:
        hog.append(b"x" * 2**20)
except MemoryError:
    os.abort()
"""
OUT_OF_MEMORY = Fault(
    "out of memory",
    statement=_HOG,
    limited=True,
    says=(_GONE, "killed by SIGKILL; the system was out of memory" if MEMORY_CAN_BE_LIMITED else "SIGABRT"),
)
AGENT_KILLED = Fault("kill -9 of the agent", signal.SIGKILL, to_agent=True, says=("the agent", "has ended"))

_SILENT = "rank {victim}: does not answer"
STOPPED = Fault(
    "SIGSTOP, timeout",
    signal.SIGSTOP,
    ended_by="timeout",
    errors=("RankStuckError",),
    says=("did not end within 2 s", _SILENT),
)
STOPPED_CTRL_C = Fault(
    "SIGSTOP, Ctrl-C",
    signal.SIGSTOP,
    ended_by="ctrl-c",
    errors=("RankStuckError",),
    says=(_SILENT,),
)

DEADLY = (KILL, EXIT, SEGFAULT, OUT_OF_MEMORY, AGENT_KILLED)

_SUM = "mx.eval(mx.distributed.all_sum(mx.ones(4)))"
_MISMATCH = ("CollectiveMismatchError",)
_ORDER = (
    "x = mx.ones(4) * (rank + 1)\n"
    "calls = [mx.distributed.all_sum, mx.distributed.all_max]\n"
    "here()\n"
    "for call in calls if rank != {victim} else calls[::-1]:\n"
    "    mx.eval(call(x))"
)
_SLEEP = f"here()\nif rank == {{victim}}:\n    time.sleep(600)\n{_SUM}"
_ORDER_SAYS = (
    "rank {other} all_sum of float32[4] at line 8",
    "rank {victim} all_max of float32[4] at line 8",
)
_SLEEP_SAYS = (
    f"rank {{other}}: line 7: {_SUM}; 1 collective",
    "rank {victim}: line 6: time.sleep(600); 0 collectives",
)

# Lines are counted from the first of `faults.STUCK_HEAD`.
STUCK_FAULTS = (
    Fault(
        "another rank has ended",
        cell=f"here()\nif rank != {{victim}}:\n    {_SUM}",
        errors=_MISMATCH,
        says=(
            "in all_sum at line 6",
            "rank {victim} never entered it",
            f"rank {{other}}: line 6: {_SUM}; 1 collective",
            "rank {victim}: has ended its cell; 0 collectives",
        ),
        keeps=True,
    ),
    Fault(
        "another operation",
        cell=(
            "here()\n"
            "y = (mx.distributed.all_sum if rank != {victim} else mx.distributed.all_gather)(mx.ones(4))\n"
            "mx.eval(y)"
        ),
        # Where the bytes of both happen to fit, MLX goes on with wrong numbers.
        errors=("", *_MISMATCH),
        says=(
            "rank {other} all_sum of float32[4] at line 5",
            "rank {victim} all_gather of float32[4] at line 5",
        ),
        keeps=True,
        sound=None,
    ),
    Fault(
        "another shape",
        cell="here()\ny = mx.distributed.all_sum(mx.ones(4 if rank != {victim} else 100000))\nmx.eval(y)",
        errors=_MISMATCH,
        says=(
            "rank {other} all_sum of float32[4] at line 5",
            "rank {victim} all_sum of float32[100000] at line 5",
        ),
        keeps=True,
    ),
    Fault("another order", cell=_ORDER, errors=("", *_MISMATCH), says=_ORDER_SAYS, keeps=True, sound=None),
    Fault(
        "another order, checked",
        cell=_ORDER,
        check=True,
        errors=_MISMATCH,
        says=tuple(text.replace(" all", ": all") for text in _ORDER_SAYS),
        keeps=True,
        sound=True,
    ),
    Fault(
        "another rank sleeps, timeout",
        cell=_SLEEP,
        ended_by="timeout",
        errors=("RankStuckError",),
        says=("did not end within 2 s", *_SLEEP_SAYS),
        keeps=True,
    ),
    Fault(
        "another rank sleeps, Ctrl-C",
        cell=_SLEEP,
        ended_by="ctrl-c",
        errors=("RankStuckError",),
        says=("was stopped while ranks waited", *_SLEEP_SAYS),
        keeps=True,
    ),
    Fault(
        "another rank raises",
        cell=f"here()\nif rank == {{victim}}:\n    raise ValueError('boom')\n{_SUM}",
        errors=("RankError",),
        says=("rank {victim} raised ValueError: boom", "rank {other} waits in all_sum at line 7"),
        keeps=True,
    ),
)


@dataclass(frozen=True)
class Case:
    """One row of the matrix.

    Attributes:
        victim: the rank that it happens to.
        strategy: how the model is cut, where there is one.
        delay_s: how long after the phase was reached.
    """

    phase: Phase
    fault: Fault
    world_size: int
    victim: int
    strategy: Strategy | None = None
    delay_s: float = 0.0

    def __str__(self) -> str:
        where = f"{self.phase.name} ({self.strategy})" if self.strategy else self.phase.name
        whom = "" if self.fault.to_agent else f" of rank {self.victim}"
        return f"{where}: {self.fault.name}{whom} of {self.world_size}"

    @property
    def detection_target_s(self) -> float:
        if self.fault.ended_by == "ctrl-c":
            return STOP_TARGET_S
        return DETECTION_TARGET_S if self.fault.deadly else STUCK_TARGET_S


def faults_of(phase: Phase) -> tuple[Fault, ...]:
    """Those that can come in a phase."""
    if phase in BEFORE:
        return (KILL, EXIT) if phase is STARTING else (KILL,)
    if phase is STUCK:
        return STUCK_FAULTS
    stopped = {IDLE: STOPPED, GENERATING: STOPPED_CTRL_C, PYTHON: STOPPED, ONE_EACH: STOPPED}.get(phase)
    return DEADLY if stopped is None else (*DEADLY, stopped)


def _cases(world_size: int) -> Iterator[Case]:
    """Victims by turns, so that faults hit the first rank and others; the last one where the ring forms."""
    for phase in (*BEFORE, *AFTER, STUCK):
        for strategy in phase.strategies:
            for number, fault in enumerate(faults_of(phase)):
                victim = world_size - 1 if phase in BEFORE else (number + world_size - 1) % world_size
                yield Case(phase, fault, world_size, victim, strategy)


CASES = (*_cases(2), *_cases(4))
