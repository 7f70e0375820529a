"""The seam between a cluster and its ranks: what any channel can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelkit.errors import CellError, KernelkitError, from_dict
from kernelkit.outputs.text import readable
from kernelkit.values import Buffer


@dataclass(frozen=True)
class Message:
    """One message of a rank.

    Attributes:
        rank: who sent it.
        kind: Jupyter's message type, such as `stream` or `execute_reply`.
        parent: id of the request that it belongs to.
        content: as in Jupyter's messages.
        buffers: raw bytes that came beside it.
    """

    rank: int
    kind: str
    parent: str
    content: dict[str, Any]
    buffers: list[Buffer] = field(default_factory=list)

    @property
    def ends_request(self) -> bool:
        """Whether this is one of the two messages that close a request: its reply, and idle."""
        return self.kind == "execute_reply" or self.content.get("execution_state") == "idle"


class Channel(Protocol):
    """Requests go to single ranks; messages of all ranks come back through one `poll`."""

    def submit(
        self, rank: int, code: str, *, cell: int | None = None, check: bool = False, record: bool = False
    ) -> str:
        """Run a user's code in the rank's namespace; returns the request's id.

        Args:
            cell: the notebook's cell number, for tracebacks.
            check: compare every collective with the other ranks before it runs.
            record: time every collective; the reply has what came of it (`rank.timing.Clock.to_dict`).
        """

    def call(
        self, rank: int, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Buffer] = ()
    ) -> str:
        """Run one of the rank's own operations in its main thread; returns the request's id."""

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that have come, waiting at most `timeout_s` for the first."""

    def ask(
        self, ranks: Sequence[int], operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> dict[int, Any]:
        """Run an operation beside the main thread, so that it answers while that is blocked.

        Returns:
            The answers of those ranks that gave one in time and did not fail. Safe from any thread.
        """

    def look(self, rank: int) -> str:
        """Ask where a rank stands, beside its main thread; the reply comes through `poll`.

        Returns:
            The request's id; a rank that cannot answer never does.
        """

    def fetch(
        self, rank: int, operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> tuple[Any, list[Buffer]] | None:
        """Like `ask` of one rank, for an answer that comes with buffers; None if it took too long.

        Takes the place of `poll`: nothing else may run on that rank.

        Raises:
            KernelkitError: what the operation raised.
        """

    def complete(self, rank: int, code: str, position: int, timeout_s: float) -> dict[str, Any] | None:
        """Jupyter's `complete_reply` content for `code` at `position`, or None when it took too long."""

    def interrupt(self, ranks: Sequence[int]) -> None:
        """Raise KeyboardInterrupt in the ranks' main threads; returns once the signals were sent."""

    def close(self) -> None:
        """Close the sockets; the ranks go on."""


def has_failed(reply: Mapping[str, Any]) -> bool:
    """Whether a reply tells of a failure: of a cell, or of an operation, whose own reply says ok."""
    answer = reply.get("user_expressions", {}).get("answer", {"status": "ok"})
    content = answer.get("data", {}).get("application/json", {})
    return reply.get("status") != "ok" or answer.get("status") != "ok" or "error" in content


def answer_of(rank: int, reply: Mapping[str, Any]) -> Any:
    """The value that an operation answered.

    Raises:
        KernelkitError: what the operation raised, with the type it had there; CellError for
            anything that is not ours.
    """
    answer = reply.get("user_expressions", {}).get("answer", reply)
    if answer.get("status") != "ok" or "data" not in answer:
        lines = answer.get("traceback") or []
        raise CellError(
            f"rank {rank} failed: {answer.get('ename', 'no answer')}: {answer.get('evalue', '')}",
            got=readable("\n".join(lines[-3:])),  # IPython colours them
        )
    content = answer["data"]["application/json"]
    if "error" in content:
        error: KernelkitError = from_dict(content["error"])
        raise error
    return content["value"]
