"""Run requests on ranks and wait for them, without ever waiting for a rank that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kernelkit.channel.base import Channel, Message, answer_of, has_failed
from kernelkit.errors import CellError, ConnectError, GroupError, HostError, RankLostError
from kernelkit.launch.agents import Agents
from kernelkit.launch.exits import Exit

_TURN_S = 0.1
_SHOWN_LINES = 8


class Crew(Protocol):
    """What running needs of a cluster's members."""

    @property
    def agent(self) -> Agents: ...

    @property
    def channel(self) -> Channel: ...


class Around(Protocol):
    """Something to do before and after a rank's request is sent."""

    def before(self, rank: int) -> None: ...

    def after(self, rank: int) -> None: ...


class Wait:
    """Requests that are under way, one per rank, and the replies so far."""

    def __init__(self, crew: Crew, requests: Mapping[int, str]) -> None:
        self._crew = crew
        self._ranks = {request: rank for rank, request in requests.items()}
        # A request is over when both its reply and its idle have come: output may follow the reply.
        self._open = dict.fromkeys(requests, 2)
        self._unanswered = dict.fromkeys(requests, False)
        self.replies: dict[int, dict[str, Any]] = {}

    @property
    def running(self) -> list[int]:
        """Ranks that have not ended."""
        return [rank for rank, left in self._open.items() if left > 0]

    @property
    def failed(self) -> list[int]:
        """Ranks that have ended with an error."""
        return [rank for rank, reply in self.replies.items() if has_failed(reply)]

    @property
    def ledgers(self) -> dict[int, dict[str, int]]:
        """Of each cell that has ended, how many collectives it called and their checksum."""
        return {rank: reply["kernelkit"] for rank, reply in self.replies.items() if "kernelkit" in reply}

    def turn(
        self,
        on_message: Callable[[Message], None] | None = None,
        on_other: Callable[[Message], None] | None = None,
    ) -> None:
        """Take the messages of one short turn.

        Args:
            on_message: is given what belongs to these requests.
            on_other: is given what does not.

        Raises:
            RankLostError: a rank's process has ended; its last words are in the message.
        """
        for message in self._crew.channel.poll(_TURN_S):
            rank = self._ranks.get(message.parent)
            if rank is None:
                if on_other is not None:
                    on_other(message)
                continue
            if message.kind == "execute_reply":
                self.replies[rank] = message.content
            if message.ends_request:
                self._open[rank] -= 1
                self._unanswered[rank] = rank not in self.replies
            elif on_message is not None:
                on_message(message)
        if self.running:
            raise_if_lost(self._crew.agent)

    def end_unanswered(self) -> None:
        """Ranks that are idle again without a reply: interrupted before the first line, they send none."""
        for rank in self.running:
            if self._unanswered[rank]:
                self._open[rank] = 0
                self.replies[rank] = {
                    "status": "error",
                    "ename": "KeyboardInterrupt",
                    "evalue": "",
                    "traceback": [],
                }

    def until_done(
        self,
        timeout_s: float,
        on_message: Callable[[Message], None] | None = None,
    ) -> bool:
        """Turn until all have ended; False when `timeout_s` passed first."""
        deadline_s = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() >= deadline_s:
                return False
            self.turn(on_message)
        return True


def raise_if_lost(agent: Agents) -> None:
    """Raise RankLostError if a rank's process has ended: the first, which may have cost the others."""
    for rank, exit_ in list(agent.exits.items()):
        raise lost(rank, exit_)
    if not agent.alive:
        raise RankLostError("the ranks were stopped", cure="%cluster restart")


def lost(rank: int, exit_: Exit) -> RankLostError:
    """The error for a rank whose process ended."""
    return RankLostError(
        f"rank {rank} on {exit_.host or 'this host'} is gone: {exit_.told}",
        got="\n    ".join(["its last lines on stderr:", *_last_words(exit_.stderr)]) if exit_.stderr else "",
        cure="%cluster recover (new ranks, with what the others can still hand over)",
    )


def _last_words(lines: Sequence[str]) -> Sequence[str]:
    """The newest lines; of a crash what was said before it, and the innermost lines of Python's report."""
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
    if fatal is None:
        return lines[-_SHOWN_LINES:]
    return lines[max(0, fatal - _SHOWN_LINES // 2) : fatal + _SHOWN_LINES]


def call_all(
    crew: Crew,
    requests: Mapping[int, tuple[str, Mapping[str, Any]]],
    timeout_s: float,
    *,
    around: Around | None = None,
) -> dict[int, Any]:
    """Run one operation per rank and gather the answers.

    Args:
        requests: rank to operation and arguments.
        timeout_s: for all of them together.
        around: told before and after each rank's request is sent.

    Raises:
        GroupError: not all answered in time: the group did not form.
        RankLostError: a rank's process ended.
    """
    sent = {}
    for rank, (operation, arguments) in requests.items():
        if around is not None:
            around.before(rank)
        sent[rank] = crew.channel.call(rank, operation, arguments)
        if around is not None:
            around.after(rank)
    wait = Wait(crew, sent)
    deadline_s = time.monotonic() + timeout_s
    try:
        # One failure settles it: the others may wait for that rank until the deadline.
        while wait.running and not wait.failed and time.monotonic() < deadline_s:
            wait.turn()
        answers = {rank: answer_of(rank, reply) for rank, reply in sorted(wait.replies.items())}
    except (RankLostError, HostError):
        raise  # new ranks might be lost in the same way; the user should know of the first
    except (CellError, ConnectError) as error:
        raise GroupError(f"the group did not form: {error.what}", got=error.got) from error
    if wait.running:
        raise GroupError(
            f"ranks {wait.running} did not answer within {timeout_s:.0f} s",
            cure="%cluster connect again; if it stays so, a firewall may block MLX's ports",
        )
    return answers
