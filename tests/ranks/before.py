"""Faults of ranks that are not a cluster yet: while they start, and while their group forms."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from kernelkit.cluster.bringup import Report
from tests.ranks.faults import LAST_WORDS, Trigger
from tests.ranks.matrix import Case

_JUPYTER_PORTS = 5

# Python imports a module called `sitecustomize` by itself; this one ends the first rank that comes.
_SITE = f"""
import os, sys, time
if "kernelkit.rank" in sys.orig_argv:
    try:
        file = open({{clock!r}}, "x")
    except FileExistsError:
        pass
    else:
        with file:
            file.write(str(time.monotonic()))
        print({LAST_WORDS!r}, file=sys.stderr, flush=True)
        {{statement}}
"""


@contextlib.contextmanager
def armed_before(case: Case, folder: Path) -> Iterator[tuple[Trigger, Report]]:
    """The same for a cluster that is not there yet.

    Yields:
        The trigger, and what `connect` must report to.
    """
    newcomers = Newcomers()
    if case.fault.statement:
        with _ends_at_start(folder, case.fault.statement) as clock:
            trigger = Trigger(lambda: None, ready=clock.exists)
            yield trigger, lambda text: trigger.reached()
            trigger.at_s = float(clock.read_text()) if clock.exists() else 0.0
        return

    def act() -> None:
        newcomers.ranks()[case.victim].send_signal(case.fault.signal)

    def report(text: str) -> None:
        if case.phase.kind == "joining" and text.startswith("forming"):
            newcomers.ranks()[case.victim].suspend()  # or the others would have joined before it is hit
        if (case.phase.kind == "joining") == text.startswith("forming"):
            trigger.reached()

    ready = {
        "starting": lambda: len(newcomers.ranks()) == case.world_size,
        "joining": lambda: newcomers.is_joining(0),
    }[case.phase.kind]
    trigger = Trigger(act, case.delay_s, ready)
    yield trigger, report


class Newcomers:
    """The processes of a cluster that is being connected, seen from outside."""

    def __init__(self) -> None:
        self._before = {child.pid for child in psutil.Process().children()}

    @property
    def agent(self) -> psutil.Process | None:
        """The parent of the ranks, once it is there."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process().children():
                if child.pid not in self._before and child.cmdline()[-1:] == ["kernelkit.launch.agent"]:
                    return child
        return None

    def ranks(self) -> list[psutil.Process]:
        """In the order of their start, which is that of their numbers."""
        with contextlib.suppress(psutil.Error):
            if (agent := self.agent) is not None:
                return sorted(agent.children(), key=lambda child: (child.create_time(), child.pid))
        return []

    def is_joining(self, rank: int) -> bool:
        """Whether it listens for its neighbour in the ring, beside the ports that every kernel has."""
        with contextlib.suppress(psutil.Error, IndexError):
            found = self.ranks()[rank].net_connections("tcp")
            return sum(each.status == psutil.CONN_LISTEN for each in found) > _JUPYTER_PORTS
        return False


@contextlib.contextmanager
def _ends_at_start(folder: Path, statement: str) -> Iterator[Path]:
    """Meanwhile the first rank that starts ends by a statement; gives the file with the clock of that."""
    clock = folder / "clock"
    clock.unlink(missing_ok=True)
    modules = folder / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "sitecustomize.py").write_text(_SITE.format(clock=str(clock), statement=statement))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(modules), before]))
    try:
        yield clock
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
