"""Follow one request to its end, whatever that is: the user's stop, a rank's error, a wait without end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kernelkit.channel.base import Message
from kernelkit.cluster.observe import Observer, as_places, place_of
from kernelkit.cluster.running import Crew, Wait
from kernelkit.errors import RankLostError
from kernelkit.interrupts import Interrupts
from kernelkit.places import NOWHERE, Call, Place, Places, deadlock, first_difference, is_blocked
from kernelkit.units import format_seconds

# After a rank's error the others get this long to end by themselves before they are interrupted.
ERROR_GRACE_S = 2.0
# An interrupted rank that has not ended by then is blocked where no interrupt reaches it.
INTERRUPT_GRACE_S = 2.0
# One that stands in a collective which another has not entered is known to be.
BLOCKED_GRACE_S = 0.3
ASK_TIMEOUT_S = 0.8
# So long a rank must have stood in MLX before a wait that can have no end is called one.
DEADLOCK_S = 1.4
# Ranks that were asked to stop after the same token get this long for it.
_GENTLE_S = 10.0
# The longest turn that counts as time spent: a laptop that slept has used up nobody's patience.
_LONGEST_TURN_S = 1.0

OnMessage = Callable[[Message], None]

Reason = Literal["done", "error", "interrupted", "timeout", "deadlock"]


@dataclass(frozen=True)
class Limits:
    """When a request is ended for the user.

    Attributes:
        timeout_s: it may take so long in all; None for no limit.
        stuck_s: a rank may stand still in MLX so long.
    """

    timeout_s: float | None
    stuck_s: float


@dataclass(frozen=True)
class Ending:
    """How a request ended.

    Attributes:
        why: a sentence, for `timeout` and `deadlock`.
        blocked: ranks that could not be brought to end; the group is lost with them.
        places: where each rank stood before it was interrupted.
        stacks: of the ranks that were running, as a traceback prints them.
        ledgers: the collectives of the ranks that answered.
    """

    reason: Reason
    why: str = ""
    blocked: tuple[int, ...] = ()
    places: Places = field(default_factory=dict)
    stacks: Mapping[int, str] = field(default_factory=dict)
    ledgers: Mapping[int, Sequence[Call]] = field(default_factory=dict)

    @property
    def difference(self) -> dict[int, Call | None]:
        """The first collective at which the ranks differ."""
        return first_difference(self.ledgers)


class Follower:
    """One request under way.

    Attributes:
        blocked: ranks that did not end when an exception broke the waiting off.

    Args:
        on_interrupt: how to end it on the first Ctrl-C; where that returns False, and on the second
            Ctrl-C, the ranks are interrupted.
        sparing: look at the ranks less often while they tell how it goes.
    """

    def __init__(
        self,
        crew: Crew,
        wait: Wait,
        world_size: int,
        interrupts: Interrupts,
        limits: Limits,
        on_interrupt: Callable[[], bool] | None = None,
        *,
        sparing: bool = False,
    ) -> None:
        self._crew = crew
        self._wait = wait
        self._interrupts = interrupts
        self._limits = limits
        self._on_interrupt = on_interrupt
        self._world_size = world_size
        self._takes_part = tuple(wait.running)
        self._observer = Observer(crew.channel, world_size, self._takes_part, sparing=sparing)
        self.blocked: tuple[int, ...] = ()
        self._failed_s: float | None = None
        self._spent_s = 0.0

    @property
    def places(self) -> dict[int, Place]:
        """Where the ranks stand; empty in the first second."""
        return self._observer.places(self._wait.running)

    def to_end(self, on_message: OnMessage, on_turn: Callable[[], None]) -> Ending:
        """Wait for all ranks, or for a reason to wait no longer; then bring them to an end.

        Raises:
            RankLostError: a rank's process ended.
        """

        def take(message: Message) -> None:
            self._observer.heard()
            on_message(message)

        try:
            return self._turn_to_end(take, on_turn)
        except RankLostError:
            raise
        except BaseException:
            # Whatever broke this off (Ctrl-C, the caller's function, which is not called again), no rank goes
            # on unseen.
            self.blocked = self._break_off()
            raise

    def _break_off(self) -> tuple[int, ...]:
        """End it gently where that can be, else by interrupts; say which ranks did not follow."""
        gentle, self._on_interrupt = self._on_interrupt, None
        if gentle is not None and self._wait.running and gentle():
            self._wait.until_done(_GENTLE_S)
        return self._interrupt(lambda message: None)

    def _turn_to_end(self, on_message: OnMessage, on_turn: Callable[[], None]) -> Ending:
        last_s = time.monotonic()
        while self._wait.running:
            self._wait.turn(on_message, self._observer.take)
            self._observer.turn(self._wait.running)
            on_turn()
            now_s = time.monotonic()
            self._spent_s += min(now_s - last_s, _LONGEST_TURN_S)
            last_s = now_s
            reason, why = self._reason_to_stop(now_s)
            if reason != "done":
                return self._settle(reason, why, on_message)
        return Ending("done")

    def _reason_to_stop(self, now_s: float) -> tuple[Reason, str]:
        if not self._wait.running:
            return "done", ""
        if self._wait.failed and self._failed_s is None:
            self._failed_s = now_s
        # An error on one rank usually leaves the others waiting for it: a moment, and they are interrupted.
        if self._failed_s is not None and now_s > self._failed_s + ERROR_GRACE_S:
            return "error", ""
        if self._interrupts.take():
            gentle, self._on_interrupt = self._on_interrupt, None
            if gentle is None or not gentle():
                return "interrupted", ""
        if self._limits.timeout_s is not None and self._spent_s > self._limits.timeout_s:
            return "timeout", f"the cell did not end within {format_seconds(self._limits.timeout_s)}"
        places = self.places
        if self._failed_s is None and self._observer.settled and (why := deadlock(places, DEADLOCK_S)):
            return "deadlock", why
        for rank, place in places.items():
            if place.state == "running" and place.in_mlx and place.still_s >= self._limits.stuck_s:
                return "timeout", f"rank {rank} has not moved for {format_seconds(self._limits.stuck_s)}"
        return "done", ""

    def _settle(self, reason: Reason, why: str, on_message: OnMessage) -> Ending:
        """Interrupt what still runs; what does not end is stuck, and the group with it."""
        channel = self._crew.channel
        running = self._wait.running
        reports = channel.ask(self._takes_part, "report", {}, ASK_TIMEOUT_S)
        places = as_places(self._all_places(reports), reports)
        return Ending(
            reason,
            why,
            self._interrupt(on_message, places, is_sure=reason == "deadlock"),
            places,
            {rank: reports[rank]["stack"] for rank in running if rank in reports},
            ledgers_of(reports, self._world_size, self._takes_part),
        )

    def _interrupt(
        self, on_message: OnMessage, places: Places = NOWHERE, *, is_sure: bool = False
    ) -> tuple[int, ...]:
        """Interrupt what still runs, and say what did not follow."""
        running = self._wait.running
        blocked = is_sure or (places and all(is_blocked(places[rank], places) for rank in running))
        grace_s = (BLOCKED_GRACE_S if blocked else INTERRUPT_GRACE_S) / 2
        # Twice: a kernel ignores the signal until its request has begun.
        for _ in range(2):
            ends_s = time.monotonic() + grace_s
            self._crew.channel.interrupt(self._wait.running)
            if self._wait.until_done(ends_s - time.monotonic(), on_message):
                break
            self._wait.end_unanswered()
        return tuple(self._wait.running)

    def _all_places(self, reports: Mapping[int, Any]) -> dict[int, Place]:
        """Of every rank, also in the first second, before anybody looked."""
        if places := self.places:
            return places
        running = self._wait.running
        places = {rank: Place(rank, "absent") for rank in range(self._world_size)}
        for rank in self._takes_part:
            state: Any = "ended" if rank not in running else "running" if rank in reports else "silent"
            places[rank] = place_of(rank, state, {})
        return places


def ledgers_of(
    reports: Mapping[int, Mapping[str, Any]], world_size: int, takes_part: Sequence[int]
) -> dict[int, list[Call]]:
    """The collectives in the ranks' reports; a rank that took no part called none."""
    ledgers: dict[int, list[Call]] = {rank: [] for rank in range(world_size) if rank not in takes_part}
    for rank, report in reports.items():
        ledgers[rank] = [Call.from_dict(call) for call in report["ledger"]]
    return dict(sorted(ledgers.items()))
