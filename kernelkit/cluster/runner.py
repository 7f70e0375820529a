"""Run cells and operations on the ranks, and know afterwards whether the group can still be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

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
from kernelkit.cluster.follow import ASK_TIMEOUT_S, Ending, Follower, Limits, OnMessage
from kernelkit.cluster.gate import Gate
from kernelkit.cluster.observers import Observer, Watch
from kernelkit.cluster.running import Wait
from kernelkit.errors import ClusterFailedError, RankLostError
from kernelkit.outputs import RankOutput
from kernelkit.places import Place
from kernelkit.values import EVENT_MIME, Buffer

STUCK_S = 600.0
OnTurn = Callable[[Mapping[int, RankOutput], Sequence[int], Mapping[int, Place]], None]
OnEvent = Callable[[int, dict[str, Any]], None]


class Runner(Gate):
    """Cells and operations, one at a time.

    Attributes:
        stuck_s: a rank that stands still in MLX for so long ends the request, in seconds.
    """

    def __init__(
        self, members: Members, stuck_s: float = STUCK_S, observers: list[Observer] | None = None
    ) -> None:
        super().__init__(members, [] if observers is None else observers)
        self.stuck_s = stuck_s

    def run(
        self,
        code: str,
        outputs: Mapping[int, RankOutput],
        cell: int | None,
        on_turn: OnTurn,
        *,
        timeout_s: float | None = None,
        check: bool = False,
        record: bool = False,
    ) -> str:
        """Run a cell on the ranks of `outputs`, and fill them while it runs.

        Returns:
            A warning for the user, or nothing.

        Raises:
            CellError: it raised, was interrupted, got stuck, or lost a rank.
        """
        with self._running("cell", outputs) as (members, watch):
            wait = Wait(
                members,
                {
                    rank: members.channel.submit(rank, code, cell=cell, check=check, record=record)
                    for rank in outputs
                },
            )
            self._suspects = tuple(outputs)  # until the cell is known to have ended well
            follower = self._follower(wait, watch, timeout_s)

            def turn() -> None:
                self._turn(watch)
                self._interrupts.call(on_turn, outputs, wait.running, follower.places)

            with self._known(follower):
                ending = follower.to_end(
                    lambda message: outputs[message.rank].feed(message.kind, message.content), turn
                )
            watch.look(members, ASK_TIMEOUT_S, ending.blocked)
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
                self._interrupts.call(on_event, message.rank, event)
            on_message(message)

        with self._running(_name(requests), requests) as (members, watch):
            sent = {
                rank: members.channel.call(rank, operation, arguments, buffers)
                for rank, (operation, arguments) in requests.items()
            }
            wait = Wait(members, sent)
            follower = self._follower(wait, watch, None, on_interrupt, sparing=not self._observers)
            with self._known(follower):
                ending = follower.to_end(take, lambda: self._turn(watch))
            watch.look(members, ASK_TIMEOUT_S, ending.blocked)
            self._judge(ending, wait)
            if error := stuck_error(ending, self.failure):
                raise error
            if ending.reason == "interrupted":
                raise interrupted_error("this", self.failure)
            return {rank: answer_of(rank, wait.replies[rank]) for rank in sorted(wait.replies)}

    def _follower(
        self,
        wait: Wait,
        watch: Watch,
        timeout_s: float | None,
        on_interrupt: Callable[[], bool] | None = None,
        *,
        sparing: bool = False,
    ) -> Follower:
        members = self.members
        limits = Limits(timeout_s, self.stuck_s)
        size = len(members.facts)
        follower = Follower(members, wait, size, self._interrupts, limits, on_interrupt, sparing=sparing)
        watch.follow(follower)
        return follower

    def _turn(self, watch: Watch) -> None:
        if self._given_up:
            raise ClusterFailedError("this was given up: the cluster is being recovered in another thread")
        watch.turn()

    @contextmanager
    def _known(self, follower: Follower) -> Iterator[None]:
        """Whatever breaks a request off, afterwards it is known whether the group can be used."""
        try:
            yield
        except RankLostError:
            raise
        except BaseException:
            if not follower.blocked:  # they ended, but perhaps not all at the same place
                self._recheck()
            raise
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


def _name(requests: Mapping[int, tuple[str, Mapping[str, Any]]]) -> str:
    """The operation, which is the same on all ranks."""
    return next((operation for operation, _ in requests.values()), "")
