"""The ranks of a cluster from their start to their end, which the interpreter's own is at the latest."""

from __future__ import annotations

import threading
import weakref

from kernelkit.cluster.bringup import Members, Report, bring_up
from kernelkit.cluster.checks import check_seconds
from kernelkit.cluster.observers import Moment, Observer, tell
from kernelkit.cluster.runner import STUCK_S, Runner
from kernelkit.cluster.site import Site


class Lifetime:
    """Ranks that are there, and can be ended and replaced by new ones.

    Attributes:
        site: where the ranks run.
        world_size: their number.
        backend: MLX's name of the data plane, and `why` it is this one.
        notes: differences between the hosts that do no harm.
        observers: functions that are told what runs, ten times a second at most, in the thread that runs it:
            see `observers.Moment`. One that raises is taken out, with a warning.
    """

    def __init__(self, site: Site, members: Members) -> None:
        self.site = site
        self.world_size = site.world_size
        self.observers: list[Observer] = []
        self._changing = threading.RLock()
        self._adopt(members)

    def _adopt(self, members: Members, stuck_s: float = STUCK_S) -> None:
        self.backend, self.why, self.notes = members.backend, members.why, members.notes
        self._runner = Runner(members, stuck_s, self.observers)
        # Runs when this object goes, and at the interpreter's exit: nothing stays behind.
        self._closing = weakref.finalize(self, members.close)
        tell(self.observers, Moment("start", "ended", self.state))

    @property
    def state(self) -> str:
        """`idle`, `running`, `stopped`, or `failed: ` and the reason."""
        return self._runner.state

    @property
    def stuck_s(self) -> float:
        """A cell ends once a rank has stood still in MLX for so many seconds; 600 at first."""
        return self._runner.stuck_s

    @stuck_s.setter
    def stuck_s(self, seconds: float) -> None:
        check_seconds("stuck_s", seconds, or_none=False)
        self._runner.stuck_s = seconds

    def interrupt(self) -> None:
        """Do what Ctrl-C does to what runs in another thread; nothing where nothing runs."""
        self._runner.interrupt()

    def restart(self, *, report: Report = lambda _: None) -> None:
        """End all ranks and start as many new ones, with empty namespaces and no model.

        Raises:
            ConnectError: they did not start; the cluster is stopped then.
        """
        with self._changing:
            self.stop()
            self._renew(report)

    def stop(self) -> None:
        """End all ranks. Safe to call twice."""
        with self._changing:
            self._end()

    def _renew(self, report: Report) -> None:
        self._adopt(bring_up(self.site, report), self.stuck_s)

    def _end(self) -> None:
        was_there = self.state != "stopped"
        self._runner.leave()
        self._closing()
        if was_there:
            tell(self.observers, Moment("stop", "ended", self.state))
