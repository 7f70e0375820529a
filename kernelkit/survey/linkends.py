"""The two processes at the ends of a link: hear both, keep the clock, and tell why one of them failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol

from kernelkit.errors import GroupError, HostError, KernelkitError, from_dict

_LAST_WORDS_S = 1.0
_POLL_S = 0.05
_DOING = {
    "start": "start",
    "load": "import mlx",
    "join": "form a group",
    "tcp": "measure plain TCP",
    "mlx": "measure MLX",
}


class Task(Protocol):
    """A process on some host that speaks JSON lines."""

    def tell(self, request: dict[str, Any]) -> None:
        """Send one line. Raises HostError if the process has ended."""

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line that it said; None if none came in time. Raises HostError if it has ended."""

    def end(self) -> None:
        """End it, whatever it does; it may have ended already."""


StartTask = Callable[[str, str, dict[str, Any]], Task]
Note = Callable[[str, dict[str, Any]], None]


class Ends:
    """Both tasks of a link.

    Args:
        hosts: where they run, for what is told of them.
        note: takes what they say beside what is waited for: what they do, and the event.
    """

    def __init__(self, hosts: Sequence[str], note: Note) -> None:
        self.tasks: list[Task] = []
        self._hosts = hosts
        self._note = note
        self._began_s = monotonic()

    def tell(self, request: dict[str, Any]) -> None:
        """Ask both the same."""
        for task in self.tasks:
            task.tell(request)

    def hear(
        self, wanted: str, timeout_s: float, doing: str, ranks: Sequence[int] = (0, 1)
    ) -> list[dict[str, Any]]:
        """That event of each of those ranks.

        Raises:
            HostError: a process ended, or the time is up.
            KernelkitError: one of them said what went wrong.
        """
        deadline_s = monotonic() + timeout_s
        found: dict[int, dict[str, Any]] = {}
        while len(found) < len(ranks):
            for rank in ranks:
                while rank not in found and (said := self._next(rank)) is not None:
                    if said["event"] == wanted:
                        found[rank] = said
                    else:
                        self._note(doing, said)
            if monotonic() > deadline_s and len(found) < len(ranks):
                late = " and ".join(self._hosts[rank] for rank in ranks if rank not in found)
                spent = f"{monotonic() - self._began_s:.1f} s since the link began"
                raise HostError(f"{late} did not {_DOING[doing]} in time ({spent})")
        return [found[rank] for rank in ranks]

    def _next(self, rank: int) -> dict[str, Any] | None:
        try:
            said = self.tasks[rank].next(_POLL_S)
            if said is not None and said["event"] == "error":
                raise from_dict(said["error"])
        except KernelkitError as error:
            raise self._explained(rank, error) from error
        return said

    def _explained(self, rank: int, error: KernelkitError) -> KernelkitError:
        """Where one end ended, the other only says that the connection is gone: the first is the reason."""
        if isinstance(error, HostError):
            return error
        other = self.tasks[1 - rank]
        deadline_s = monotonic() + _LAST_WORDS_S
        try:
            while monotonic() < deadline_s:
                said = other.next(_POLL_S)
                if said is not None and said["event"] == "error":
                    both = (in_a_line(error), in_a_line(from_dict(said["error"])))
                    return GroupError("; ".join(dict.fromkeys(both[::-1] if rank else both)))
        except HostError as ended:
            return ended
        return error


def in_a_line(error: KernelkitError) -> str:
    """An error as part of a sentence."""
    got = f" ({error.got})" if error.got else ""
    cure = f"; {error.cure}" if error.cure else ""
    return f"{error.what}{got}{cure}"
