"""Run cells and operations on the ranks, and know afterwards whether the group can still be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kernelkit.channel.base import Message, answer_of
from kernelkit.cluster import step
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.errors import (
    cell_error,
    describe_row,
    failure_of,
    interrupted_error,
    mismatch_error,
    stuck_error,
)
from kernelkit.cluster.follow import (
    INTERRUPT_GRACE_S,
    Ending,
    Follower,
    Limits,
    OnMessage,
)
from kernelkit.cluster.running import Wait, raise_if_lost
from kernelkit.errors import (
    ClusterBusyError,
    ClusterFailedError,
    NoClusterError,
    RankLostError,
)
from kernelkit.interrupts import Interrupts
from kernelkit.outputs import RankOutput
from kernelkit.places import Place
from kernelkit.values import EVENT_MIME, Buffer

STUCK_S = 600.0
# Longer than anything that a running request does between two looks at whether it was given up.
_LET_GO_S = 8.0

T = TypeVar("T")

OnTurn = Callable[[Mapping[int, RankOutput], Sequence[int], Mapping[int, Place]], None]
OnEvent = Callable[[int, dict[str, Any]], None]


class Runner:
    """One request at a time on the members of a cluster.

    Attributes:
        failure: why the group must not be used again, or empty.
        stuck_s: a rank that stands still in MLX for so long ends the request, in seconds.
    """

    def __init__(self, members: Members, stuck_s: float = STUCK_S) -> None:
        self._members: Members | None = members
        self._busy = threading.Lock()
        self._interrupts = Interrupts()
        self.failure = ""
        self.stuck_s = stuck_s
        self._given_up = False
        self._suspects: tuple[int, ...] = ()

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

    def run(
        self,
        code: str,
        outputs: Mapping[int, RankOutput],
        cell: int | None,
        on_turn: OnTurn,
        *,
        timeout_s: float | None = None,
        check: bool = False,
    ) -> str:
        """Run a cell on the ranks of `outputs`, and fill them while it runs.

        Returns:
            A warning for the user, or nothing.

        Raises:
            CellError: it raised, was interrupted, got stuck, or lost a rank.
        """
        with self._running() as members:
            wait = Wait(
                members,
                {rank: members.channel.submit(rank, code, cell=cell, check=check) for rank in outputs},
            )
            self._suspects = tuple(outputs)  # until the cell is known to have ended well
            follower = self._follower(wait, timeout_s)
            with self._known(follower):
                ending = follower.to_end(
                    lambda message: outputs[message.rank].feed(message.kind, message.content),
                    lambda: self._turn(lambda: on_turn(outputs, wait.running, follower.places)),
                )
            for rank, reply in wait.replies.items():
                outputs[rank].feed_reply(reply)
            self._judge(ending, wait)
            if not self.failure:
                self._suspects = ()
            if error := cell_error(outputs, ending, self.failure):
                raise error
            return self._compare(wait)

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        buffers: Sequence[Buffer] = (),
        on_event: OnEvent = lambda rank, event: None,
        on_message: OnMessage = lambda message: None,
        on_interrupt: Callable[[], bool] | None = None,
    ) -> dict[int, Any]:
        """Run one of the ranks' own operations on each, and gather the answers.

        Args:
            requests: rank to operation and arguments.
            buffers: raw bytes for every one of them.
            on_event: called with the progress that a rank reports.
            on_interrupt: how to end the operation on the first Ctrl-C; where it returns False, and on
                the second Ctrl-C, the ranks are interrupted.

        Raises:
            KernelkitError: what an operation raised; of several ranks the lowest one's.
        """

        def take(message: Message) -> None:
            event = message.content.get("data", {}).get(EVENT_MIME)
            if event is not None:
                on_event(message.rank, event)
            on_message(message)

        with self._running() as members:
            sent = {
                rank: members.channel.call(rank, operation, arguments, buffers)
                for rank, (operation, arguments) in requests.items()
            }
            wait = Wait(members, sent)
            follower = self._follower(wait, None, on_interrupt)
            with self._known(follower):
                ending = follower.to_end(take, lambda: self._turn(None))
            self._judge(ending, wait)
            if error := stuck_error(ending, self.failure):
                raise error
            if ending.reason == "interrupted":
                raise interrupted_error("this", self.failure)
            return {rank: answer_of(rank, wait.replies[rank]) for rank in sorted(wait.replies)}

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
    def _running(self) -> Iterator[Members]:
        self.check_usable()
        # Between the check and here another thread may have come first; then this one waits for it.
        self._busy.acquire()
        try:
            with Interrupts() as self._interrupts:
                yield self.members
        except RankLostError as error:
            if self._members is None:
                raise NoClusterError("the cluster was stopped while this ran") from error
            self.failure = error.what
            raise
        finally:
            self._busy.release()

    def _follower(
        self, wait: Wait, timeout_s: float | None, on_interrupt: Callable[[], bool] | None = None
    ) -> Follower:
        members = self.members
        limits = Limits(timeout_s, self.stuck_s)
        return Follower(members, wait, len(members.facts), self._interrupts, limits, on_interrupt)

    def _turn(self, on_turn: Callable[[], None] | None) -> None:
        if self._given_up:
            raise ClusterFailedError("this was given up: the cluster is being recovered in another thread")
        if on_turn is not None:
            on_turn()

    @contextmanager
    def _known(self, follower: Follower) -> Iterator[None]:
        """Whatever breaks a request off, afterwards it is known whether the group can be used."""
        try:
            yield
        finally:
            if follower.blocked:
                ranks = ", ".join(map(str, follower.blocked))
                self.failure = self.failure or f"rank {ranks} did not end when the request was broken off"

    def _judge(self, ending: Ending, wait: Wait) -> None:
        """Can the group still be used?"""
        if ending.blocked:
            self.failure = failure_of(ending)
        elif ending.reason != "done" or wait.failed:
            self._recheck()

    def _recheck(self) -> None:
        self.failure = self.failure or step.out_of_step(self.members)

    def _compare(self, wait: Wait) -> str:
        """After a cell that ended well on all ranks: did they call the same collectives?

        Returns:
            What to tell the user where they did not, and the group is still in step.

        Raises:
            CollectiveMismatchError: they did not, and it is not.
        """
        row = step.difference(self.members, wait)
        if row is None:
            return ""
        self._recheck()
        if self.failure:
            raise mismatch_error("the ranks called different collectives, and are out of step now", row)
        return (
            "the ranks called different collectives; numbers may be wrong, and no error said so\n"
            f"  {describe_row(row)}\n"
            "  run the cell with %%sharded --check to find it before the numbers are used"
        )
