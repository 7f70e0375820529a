"""A channel to ranks that are Jupyter kernels: ZeroMQ sockets, encrypted with CURVE, signed by Jupyter.

Each rank has three ways in. The first runs cells and operations one after the other. The other two
speak to a subshell, a thread of the kernel that answers while the main thread is blocked: one with a
lock, usable from any thread, and one whose replies come through `poll` like everything else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq
from jupyter_client.client import KernelClient

from kernelkit.channel.base import Message, answer_of, has_failed
from kernelkit.channel.connection import Connection, Keys, await_message
from kernelkit.errors import ConnectError
from kernelkit.values import Buffer

_MAX_BATCH = 500
_INTERRUPT_S = 1.0


class JupyterChannel:
    """The channel that a cluster uses."""

    def __init__(
        self,
        keys: Keys,
        places: Mapping[int, Mapping[str, Any]],
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect to all ranks and wait until each publishes to us and has a subshell.

        Args:
            places: per rank its ports as it reported them, and `transport` and `ip` where it is not here.
            check: called while it waits; what it raises ends the waiting.

        Raises:
            ConnectError: a rank did not answer within `timeout_s`.
        """
        self._context: zmq.Context[Any] = zmq.Context()
        self._side_lock = threading.Lock()
        self._control_lock = threading.Lock()
        self._connections = {rank: Connection(self._context, keys, place) for rank, place in places.items()}
        self._poller = zmq.Poller()
        self._sources: dict[Any, tuple[int, KernelClient]] = {}
        for rank, connection in self._connections.items():
            polled = (
                (connection.iopub, connection.main),
                (connection.shell, connection.main),
                (connection.watch_shell, connection.watch),
            )
            for socket, client in polled:
                self._poller.register(socket, zmq.POLLIN)
                self._sources[socket] = (rank, client)
        try:
            self._handshake(time.monotonic() + timeout_s, check)
        except BaseException:  # Ctrl-C as well
            self.close()
            raise

    def _handshake(self, deadline_s: float, check: Callable[[], None]) -> None:
        for connection in self._connections.values():
            connection.main.session.send(connection.control, "create_subshell_request", {})
        for rank, connection in self._connections.items():
            # A subscription takes effect some time after `connect`; the kernel says when.
            main = connection.main
            welcome = await_message(connection.iopub, main, "iopub_welcome", deadline_s, check=check)
            reply = await_message(connection.control, main, "create_subshell_reply", deadline_s, check=check)
            if welcome is None or reply is None:
                raise ConnectError(f"rank {rank} started but does not answer", cure="%cluster connect again")
            connection.subshell_id = reply["content"]["subshell_id"]

    def submit(
        self, rank: int, code: str, *, cell: int | None = None, check: bool = False, record: bool = False
    ) -> str:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        asked = {"kernelkit_cell": cell, "kernelkit_check": check, "kernelkit_record": record}
        return self._send(rank, content, asked)

    def call(
        self, rank: int, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Buffer] = ()
    ) -> str:
        return self._send(rank, _operation_request(operation, arguments), {}, buffers)

    def _send(
        self, rank: int, content: dict[str, Any], metadata: dict[str, Any], buffers: Sequence[Buffer] = ()
    ) -> str:
        connection = self._connections[rank]
        message = connection.main.session.send(
            connection.shell, "execute_request", content, metadata=metadata, buffers=list(buffers)
        )
        return str(message["header"]["msg_id"])

    def poll(self, timeout_s: float) -> list[Message]:
        messages: list[Message] = []
        for socket, _ in self._poller.poll(int(timeout_s * 1000)):
            rank, client = self._sources[socket]
            for _ in range(_MAX_BATCH):
                _, raw = client.session.recv(socket, mode=zmq.NOBLOCK)
                if raw is None:
                    break
                messages.append(_message(rank, raw))
        return messages

    def ask(
        self, ranks: Sequence[int], operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> dict[int, Any]:
        content = _operation_request(operation, arguments)
        replies = self._side_request(ranks, "execute_request", content, timeout_s)
        return {rank: answer_of(rank, reply) for rank, reply in replies.items() if not has_failed(reply)}

    def look(self, rank: int) -> str:
        connection = self._connections[rank]
        content = _operation_request("where", {})
        return connection.to_subshell(connection.watch, connection.watch_shell, "execute_request", content)

    def fetch(
        self, rank: int, operation: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> tuple[Any, list[Buffer]] | None:
        deadline_s = time.monotonic() + timeout_s
        connection = self._connections[rank]
        content = _operation_request(operation, arguments)
        with self._side_lock:
            parent = connection.to_subshell(
                connection.side, connection.side_shell, "execute_request", content
            )
            reply = await_message(connection.side_shell, connection.side, "execute_reply", deadline_s, parent)
            if reply is None:
                return None
            answer = answer_of(rank, reply["content"])
            # Buffers come beside an event on IOPub, and the status after it closes the request.
            event = await_message(connection.iopub, connection.main, "display_data", deadline_s, parent)
        return None if event is None else (answer, event.get("buffers", []))

    def complete(self, rank: int, code: str, position: int, timeout_s: float) -> dict[str, Any] | None:
        content = {"code": code, "cursor_pos": position}
        return self._side_request([rank], "complete_request", content, timeout_s).get(rank)

    def _side_request(
        self, ranks: Sequence[int], kind: str, content: dict[str, Any], timeout_s: float
    ) -> dict[int, dict[str, Any]]:
        """Send one request to the subshells of `ranks`, and gather what comes back in time."""
        deadline_s = time.monotonic() + timeout_s
        replies: dict[int, dict[str, Any]] = {}
        with self._side_lock:
            sent: dict[int, str] = {}
            for rank in ranks:
                connection = self._connections[rank]
                sent[rank] = connection.to_subshell(connection.side, connection.side_shell, kind, content)
            for rank, parent in sent.items():
                connection = self._connections[rank]
                wanted = kind.replace("request", "reply")
                raw = await_message(connection.side_shell, connection.side, wanted, deadline_s, parent)
                if raw is not None:
                    replies[rank] = raw["content"]
        return replies

    def interrupt(self, ranks: Sequence[int]) -> None:
        deadline_s = time.monotonic() + _INTERRUPT_S
        with self._control_lock:
            sent = {}
            for rank in ranks:
                connection = self._connections[rank]
                message = connection.main.session.send(connection.control, "interrupt_request", {})
                sent[rank] = message["header"]["msg_id"]
            for rank, request in sent.items():
                connection = self._connections[rank]
                # Without the reply the signal might still be on its way when the next request runs.
                await_message(connection.control, connection.main, "interrupt_reply", deadline_s, request)

    def close(self) -> None:
        # Another thread may be asking something: it holds one of these for at most as long as it waits.
        with self._side_lock, self._control_lock:
            for connection in self._connections.values():
                connection.close()
        self._context.term()


def _operation_request(operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    call = (
        f"__import__('kernelkit.rank.ops', fromlist=['call']).call({operation!r}, {json.dumps(arguments)!r})"
    )
    return {
        "code": "",
        "silent": True,
        "store_history": False,
        "user_expressions": {"answer": call},
        "allow_stdin": False,
        "stop_on_error": False,
    }


def _message(rank: int, raw: dict[str, Any]) -> Message:
    return Message(
        rank,
        raw["msg_type"],
        raw["parent_header"].get("msg_id", ""),
        raw["content"],
        raw.get("buffers", []),
    )
