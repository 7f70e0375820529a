"""Tell whoever asked what runs on the ranks: when it begins, some times a second, and when it has ended.

An observer is a function of one `Moment`; `cluster.observers` is the list of them. It is called by the thread
that runs the cell, between two looks at the ranks, so it must be quick.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol

from kernelkit.cluster.bringup import Members
from kernelkit.cluster.observe import place_of
from kernelkit.places import NOWHERE, Place, Places, State

INTERVAL_S = 0.1


@dataclass(frozen=True)
class Moment:
    """What an observer is told.

    Attributes:
        what: `cell`, or the operation, such as `load`, `generate` or `push`; `start` and `stop` of the ranks
            themselves have an end only.
        phase: once `begins`, then `runs`, and once `ended`, however it ended.
        state: of the cluster, as its own `state`.
        places: where each rank stands, from the first second on; at the end, with all that was sent.
        elapsed_s: since it began.
    """

    what: str
    phase: Literal["begins", "runs", "ended"]
    state: str
    places: Places = field(default_factory=dict)
    elapsed_s: float = 0.0


Observer = Callable[[Moment], None]


class _Follower(Protocol):
    @property
    def places(self) -> Mapping[int, Place]: ...


class Watch:
    """One request, told to observers.

    Args:
        takes_part: the ranks that run it.
        state: says the cluster's.
    """

    def __init__(
        self, observers: list[Observer], what: str, takes_part: Collection[int], state: Callable[[], str]
    ) -> None:
        self._observers = observers
        self._what = what
        self._takes_part = frozenset(takes_part)
        self._state = state
        self._began_s = time.monotonic()
        self._next_s = 0.0
        self._follower: _Follower | None = None
        self._last: Places = NOWHERE

    @property
    def places(self) -> Places:
        """Where the ranks stand now, or stood in the end."""
        return self._last or (self._follower.places if self._follower else NOWHERE)

    def follow(self, follower: _Follower) -> None:
        """From now on it knows where the ranks stand."""
        self._follower = follower

    def begin(self) -> None:
        self._tell("begins")

    def turn(self) -> None:
        """Tell where the ranks stand, if it is time to."""
        now_s = time.monotonic()
        if self._observers and now_s >= self._next_s:
            self._next_s = now_s + INTERVAL_S
            self._tell("runs")

    def look(self, members: Members, timeout_s: float, running: Collection[int] = ()) -> None:
        """Ask once more at the end, for what was sent since the last answer, or in less than a second.

        To be called before the next request, also one of our own, counts from zero.

        Args:
            running: ranks that could not be brought to end.
        """
        if self._observers:
            answers = members.channel.ask(list(members.facts), "where", {}, timeout_s)
            self._last = {rank: self._place(rank, answer, running) for rank, answer in answers.items()}

    def end(self) -> None:
        self._tell("ended")

    def _place(self, rank: int, answer: Mapping[str, Any], running: Collection[int]) -> Place:
        state: State = "ended" if rank in self._takes_part else "absent"
        return place_of(rank, "running" if rank in running else state, answer)

    def _tell(self, phase: Literal["begins", "runs", "ended"]) -> None:
        if self._observers:
            elapsed_s = time.monotonic() - self._began_s
            tell(self._observers, Moment(self._what, phase, self._state(), self.places, elapsed_s))


def tell(observers: list[Observer], moment: Moment) -> None:
    """Call each of them; one that raises is told nothing more, and the others are."""
    for observer in tuple(observers):
        with _Spared(observers, observer):
            observer(moment)


class _Spared:
    """Keeps an observer's error from ending the cell: it is somebody else's code, and may raise anything.

    What is no error, such as Ctrl-C, goes on.
    """

    def __init__(self, observers: list[Observer], observer: Observer) -> None:
        self._observers = observers
        self._observer = observer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if self._observer in self._observers:
            self._observers.remove(self._observer)
        what = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"an observer of the cluster raised {what}; it is told nothing more", RuntimeWarning, stacklevel=3
        )
        return True
