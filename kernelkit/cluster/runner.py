"""Run cells and operations on the ranks, and know afterwards whether the group can still be used."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kernelkit.channel.base import Message, answer_of
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.errors import cell_error
from kernelkit.cluster.running import Wait, raise_if_lost
from kernelkit.errors import (
    CellInterruptedError,
    ClusterBusyError,
    ClusterFailedError,
    KernelkitError,
    NoClusterError,
    RankLostError,
)
from kernelkit.interrupts import Interrupts
from kernelkit.outputs import RankOutput
from kernelkit.values import EVENT_MIME, Buffer

# After a rank's error the others get this long to end by themselves before they are interrupted.
ERROR_GRACE_S = 2.0
# An interrupted rank that has not ended by then is blocked where no interrupt reaches it.
INTERRUPT_GRACE_S = 2.0
ASK_TIMEOUT_S = 1.0

OnMessage = Callable[[Message], None]
OnTurn = Callable[[Mapping[int, RankOutput], Sequence[int]], None]
OnEvent = Callable[[int, dict[str, Any]], None]


class Runner:
    """One request at a time on the members of a cluster.

    Attributes:
        failure: why the group must not be used again, or empty.
    """

    def __init__(self, members: Members) -> None:
        self._members: Members | None = members
        self._busy = threading.Lock()
        self._interrupts = Interrupts()
        self._wait: Wait | None = None
        self.failure = ""

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
        """Interrupt the ranks that run a request; an idle rank would carry it into its next cell."""
        for rank in self._wait.running if self._wait is not None else ():
            self.members.channel.interrupt(rank)

    def leave(self) -> None:
        """No more requests; one that is under way in another thread has ended when this returns."""
        members, self._members = self._members, None
        if members is None:
            return
        # With the agent go the ranks, and a thread that waits for them notices within a turn.
        members.agent.stop()
        if self._busy.acquire(timeout=INTERRUPT_GRACE_S):
            self._busy.release()

    def run(self, code: str, outputs: Mapping[int, RankOutput], cell: int | None, on_turn: OnTurn) -> None:
        """Run a cell on the ranks of `outputs`, and fill them while it runs.

        Raises:
            CellError: it raised, was interrupted, or lost a rank.
        """
        with self._running() as members:
            wait = Wait(members, {rank: members.channel.submit(rank, code, cell=cell) for rank in outputs})
            interrupted = self._follow(
                wait,
                lambda message: outputs[message.rank].feed(message.kind, message.content),
                lambda: on_turn(outputs, wait.running),
            )
            for rank, reply in wait.replies.items():
                outputs[rank].feed_reply(reply)
            if interrupted or wait.failed:
                self._recheck(wait)
            if error := cell_error(outputs, interrupted, self.failure):
                raise error

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
            if self._follow(wait, take, lambda: None, on_interrupt):
                self._recheck(wait)
                usable = "" if self.failure else "; the cluster is still usable"
                cure = f"%cluster restart: {self.failure}" if self.failure else ""
                raise CellInterruptedError(f"this was interrupted{usable}", cure=cure)
            try:
                return {rank: answer_of(rank, wait.replies[rank]) for rank in sorted(wait.replies)}
            except KernelkitError:
                self._recheck(wait)
                raise

    def check_usable(self) -> None:
        """Raise what keeps the cluster from running something now."""
        members = self.members
        if self._busy.locked():
            raise ClusterBusyError("another cell is running on the ranks", cure="wait, or %cluster interrupt")
        if self.failure:
            raise ClusterFailedError(
                f"the cluster cannot be used: {self.failure}",
                cure="%cluster restart (new ranks, empty namespaces)",
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
            self._wait = None
            self._busy.release()

    def _follow(
        self,
        wait: Wait,
        on_message: OnMessage,
        on_turn: Callable[[], None],
        on_interrupt: Callable[[], bool] | None = None,
    ) -> bool:
        """Wait for all ranks; says whether they were interrupted at the user's wish.

        An error on one rank usually leaves the others waiting for it in a collective: they get a
        moment to end, and are interrupted then.
        """
        first_error_s = None
        self._wait = wait
        while wait.running:
            wait.turn(on_message)
            on_turn()
            if wait.failed and first_error_s is None:
                first_error_s = time.monotonic()
            if first_error_s is not None and time.monotonic() > first_error_s + ERROR_GRACE_S:
                self._settle(wait, on_message)
                return False
            if self._interrupts.take():
                gentle, on_interrupt = on_interrupt, None
                if gentle is None or not gentle():
                    self._settle(wait, on_message)
                    return True
        return False

    def _settle(self, wait: Wait, on_message: OnMessage) -> None:
        """Interrupt what still runs; what does not end is stuck, and the group with it."""
        channel = self.members.channel
        for rank in wait.running:
            channel.interrupt(rank)
        if not wait.until_done(INTERRUPT_GRACE_S, on_message):
            stuck = channel.ask(wait.running, "status", {}, ASK_TIMEOUT_S)
            where = "; ".join(f"rank {rank} at {status['doing']}" for rank, status in stuck.items())
            who = ", ".join(map(str, wait.running))
            self.failure = f"rank {who} did not stop, it waits in a collective or outside Python"
            self.failure += f" ({where})" if where else ""

    def _recheck(self, wait: Wait) -> None:
        """After a failure: are the ranks still in step? A collective that only some entered shows here."""
        if self.failure or wait.running:
            return
        members = self.members
        arguments = {"nonce": secrets.randbelow(2**30)}
        check = Wait(
            members, {rank: members.channel.call(rank, "verify", arguments) for rank in members.facts}
        )
        if not check.until_done(INTERRUPT_GRACE_S) or check.failed:
            self.failure = "the ranks are out of step: some entered a collective that others did not"
            return
        try:
            for rank, reply in check.replies.items():
                answer_of(rank, reply)
        except KernelkitError as error:
            self.failure = error.what
