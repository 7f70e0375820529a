"""A channel without processes: it plays a script, so that what stands above it can be tested at once.

::

    def play(channel, request):
        channel.stream(request, f"hello from {request.rank}\\n")
        channel.finish(request)

    channel = FakeChannel(play)

The script is called once for each request and feeds the messages that such a rank would send, at
once or later and from any thread. A rank whose script feeds nothing is one that hangs.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.channel.base import Message
from kernelkit.errors import KernelkitError
from kernelkit.values import Buffer


@dataclass(frozen=True)
class Request:
    """One request as it reached a rank: code of the user, or an operation with its arguments."""

    id: str
    rank: int
    code: str = ""
    cell: int | None = None
    check: bool = False
    record: bool = False
    operation: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    buffers: Sequence[Buffer] = ()


Script = Callable[["FakeChannel", Request], None]
Event = Message | BaseException | Callable[[], None]


def answer_at_once(channel: FakeChannel, request: Request) -> None:
    """The default script: code ends well and shows nothing, operations answer None."""
    channel.finish(request)


class FakeChannel:
    """Implements `Channel`; keeps what was asked of it, and sends what its script says.

    Attributes:
        requests: everything submitted or called, in order.
        interrupted: the ranks that were interrupted, in order.
        places: what `look` makes a rank answer; a rank that is missing stays silent.
        kept: what `fetch` gives for a rank and an operation.
        asked: rank and operation of every `ask`.
        answers: what `ask` gives for a rank and an operation; a rank that is missing stays silent.
        completions: what `complete` gives for a rank.
        on_interrupt: called with each rank that is interrupted.
        closed: whether `close` was called.
    """

    def __init__(self, script: Script = answer_at_once) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.interrupted: list[int] = []
        self.asked: list[tuple[int, str]] = []
        self.answers: dict[tuple[int, str], Any] = {}
        self.places: dict[int, dict[str, Any]] = {}
        self.kept: dict[tuple[int, str], tuple[Any, list[Buffer]]] = {}
        self.completions: dict[int, dict[str, Any]] = {}
        self.on_interrupt: Callable[[int], None] = lambda rank: None
        self.closed = False
        self._looks = 0
        self._coming: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._held: list[Event] = []

    # -- what a script uses -----------------------------------------------------------------------

    def send(
        self, request: Request, kind: str, content: dict[str, Any], buffers: Sequence[Buffer] = ()
    ) -> None:
        """Send one message that belongs to `request`."""
        self._coming.put(Message(request.rank, kind, request.id, content, list(buffers)))

    def stream(self, request: Request, text: str, name: str = "stdout") -> None:
        """Print."""
        self.send(request, "stream", {"name": name, "text": text})

    def finish(self, request: Request, value: Any = None) -> None:
        """End well: the reply, with an operation's answer in it, then idle."""
        reply: dict[str, Any] = {"status": "ok"}
        if request.operation:
            data = {"application/json": {"value": value}}
            reply["user_expressions"] = {"answer": {"status": "ok", "data": data}}
        self.send(request, "execute_reply", reply)
        self.send(request, "status", {"execution_state": "idle"})

    def refuse(self, request: Request, error: KernelkitError) -> None:
        """End an operation with one of our own errors."""
        data = {"application/json": {"error": error.to_dict()}}
        answer = {"status": "ok", "data": data}
        self.send(request, "execute_reply", {"status": "ok", "user_expressions": {"answer": answer}})
        self.send(request, "status", {"execution_state": "idle"})

    def fail(self, request: Request, name: str = "ValueError", text: str = "no") -> None:
        """Raise: the error, the reply, then idle."""
        error = {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
        self.send(request, "error", error)
        self.send(request, "execute_reply", {"status": "error", **error})
        self.send(request, "status", {"execution_state": "idle"})

    def happen(self, event: BaseException | Callable[[], None]) -> None:
        """Let something happen inside `poll` in its turn: an exception is raised, a function called."""
        self._coming.put(event)

    # -- the channel ------------------------------------------------------------------------------

    def submit(
        self, rank: int, code: str, *, cell: int | None = None, check: bool = False, record: bool = False
    ) -> str:
        return self._take(Request(self._next_id(), rank, code=code, cell=cell, check=check, record=record))

    def call(
        self, rank: int, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Buffer] = ()
    ) -> str:
        request = Request(
            self._next_id(), rank, operation=operation, arguments=dict(arguments), buffers=list(buffers)
        )
        return self._take(request)

    def _next_id(self) -> str:
        return f"request-{len(self.requests)}"

    def _take(self, request: Request) -> str:
        self.requests.append(request)
        self.script(self, request)
        return request.id

    def poll(self, timeout_s: float) -> list[Message]:
        messages: list[Message] = []
        try:
            event = self._held.pop() if self._held else self._coming.get(timeout=timeout_s)
            while True:
                if isinstance(event, Message):
                    messages.append(event)
                elif messages:
                    # What came before it is handed out first; it happens in the next turn.
                    self._held.append(event)
                    break
                elif isinstance(event, BaseException):
                    raise event
                else:
                    event()
                event = self._coming.get_nowait()
        except queue.Empty:
            pass
        return messages

    def ask(
        self, ranks: Sequence[int], operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> dict[int, Any]:
        self.asked += [(rank, operation) for rank in ranks]
        return {rank: self.answers[rank, operation] for rank in ranks if (rank, operation) in self.answers}

    def look(self, rank: int) -> str:
        self._looks += 1
        name = f"look-{self._looks}"
        if rank in self.places:
            data = {"application/json": {"value": self.places[rank]}}
            reply = {"status": "ok", "user_expressions": {"answer": {"status": "ok", "data": data}}}
            self._coming.put(Message(rank, "execute_reply", name, reply))
        return name

    def fetch(
        self, rank: int, operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> tuple[Any, list[Buffer]] | None:
        self.asked.append((rank, operation))
        return self.kept.get((rank, operation))

    def complete(self, rank: int, code: str, position: int, timeout_s: float) -> dict[str, Any] | None:
        return self.completions.get(rank)

    def interrupt(self, ranks: Sequence[int]) -> None:
        for rank in ranks:
            self.interrupted.append(rank)
            self.on_interrupt(rank)

    def close(self) -> None:
        self.closed = True
