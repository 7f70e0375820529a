"""One request at a time on the ranks of a cluster, and whether their group can be used at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from kernelkit.cluster import step
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.follow import INTERRUPT_GRACE_S
from kernelkit.cluster.observers import Observer, Watch
from kernelkit.cluster.running import raise_if_lost
from kernelkit.errors import ClusterBusyError, ClusterFailedError, NoClusterError, RankLostError
from kernelkit.interrupts import Interrupts
from kernelkit.places import NOWHERE, Places

# Longer than anything that a running request does between two looks at whether it was given up.
_LET_GO_S = 8.0

T = TypeVar("T")


class Gate:
    """The members of a cluster, and the one request that is on them.

    Attributes:
        failure: why the group must not be used again, or empty.
    """

    def __init__(self, members: Members, observers: list[Observer]) -> None:
        self._members: Members | None = members
        self._busy = threading.Lock()
        self._interrupts = Interrupts()
        self.failure = ""
        self._given_up = False
        self._suspects: tuple[int, ...] = ()
        self._observers = observers
        self._watch: Watch | None = None

    @property
    def members(self) -> Members:
        """What the cluster consists of.

        Raises:
            NoClusterError: it was stopped.
        """
        if self._members is None:
            raise NoClusterError("this cluster was stopped", cure="%cluster connect, or cluster.restart()")
        return self._members

    @property
    def state(self) -> str:
        """`idle`, `running`, `stopped`, or `failed: ` and the reason."""
        if self._members is None:
            return "stopped"
        if self.failure:
            return f"failed: {self.failure}"
        if self._members.agent.exits or not self._members.agent.alive:
            return "failed: a rank is gone"
        return "running" if self._busy.locked() else "idle"

    @property
    def places(self) -> Places:
        """Where the ranks of the request under way stand; empty where none is, or nobody looked yet."""
        watch = self._watch
        return watch.places if watch is not None else NOWHERE

    def interrupt(self) -> None:
        """Do what Ctrl-C does to a request that is under way in another thread."""
        self._interrupts.ask()

    def is_sound(self) -> bool:
        """Whether nothing runs, and the ranks answer and are in step."""
        if self.state != "idle" or not self._busy.acquire(blocking=False):
            return False
        try:
            self._recheck()
        except RankLostError as error:
            self.failure = error.what
        finally:
            self._busy.release()
        return not self.failure

    def give_up(self, then: Callable[[Members, Sequence[int]], T]) -> T:
        """Let go of what runs in another thread, whether it can end or not.

        Args:
            then: what to do with the members; it is told the ranks whose latest cell broke.
        """
        self._given_up = True
        let_go = self._busy.acquire(timeout=_LET_GO_S)
        try:
            self.failure = self.failure or "it was given up"
            return then(self.members, self._suspects)
        finally:
            self._given_up = False
            if let_go:
                self._busy.release()

    def leave(self) -> None:
        """No more requests; one that is under way in another thread has ended when this returns."""
        members, self._members = self._members, None
        if members is None:
            return
        # With the agent go the ranks, and a thread that waits for them notices within a turn.
        members.agent.stop()
        if self._busy.acquire(timeout=INTERRUPT_GRACE_S):
            self._busy.release()

    def check_usable(self) -> None:
        """Raise what keeps the cluster from running something now."""
        members = self.members
        if self._busy.locked():
            raise ClusterBusyError("another cell is running on the ranks", cure="wait, or %cluster interrupt")
        if self.failure:
            raise ClusterFailedError(
                f"the cluster cannot be used: {self.failure}",
                cure="%cluster recover (new ranks, with the variables that can be carried)",
            )
        raise_if_lost(members.agent)

    @contextmanager
    def at_rest(self) -> Iterator[Members]:
        """The members while nothing runs on them.

        Raises:
            ClusterBusyError: something does.
        """
        members = self.members
        if not self._busy.acquire(blocking=False):
            raise ClusterBusyError(
                "a cell runs on the ranks, or their links are measured", cure="wait for its end"
            )
        try:
            yield members
        finally:
            self._busy.release()

    @contextmanager
    def _running(self, what: str, ranks: Collection[int]) -> Iterator[tuple[Members, Watch]]:
        """The members for one request on some of the ranks."""
        self.check_usable()
        # Between the check and here another thread may have come first; then this one waits for it.
        self._busy.acquire()
        watch = Watch(self._observers, what, ranks, lambda: self.state)
        try:
            with Interrupts() as self._interrupts:
                self._watch = watch
                watch.begin()
                yield self.members, watch
        except RankLostError as error:
            if self._members is None:
                raise NoClusterError("the cluster was stopped while this ran") from error
            self.failure = error.what
            raise
        finally:
            self._watch = None
            self._busy.release()
            watch.end()

    def _recheck(self) -> None:
        self.failure = self.failure or step.out_of_step(self.members)
