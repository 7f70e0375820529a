"""One rank's sockets, the keys that open them, and waiting for one message among many."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import zmq
from jupyter_client.client import KernelClient

_LOOK_S = 0.5


@dataclass(frozen=True)
class Keys:
    """What lets a client in: Jupyter's signing key and one CURVE pair. Never printed."""

    key: str = field(repr=False)
    curve_publickey: str = field(repr=False)
    curve_secretkey: str = field(repr=False)

    @classmethod
    def new(cls) -> Keys:
        """Keys that nobody has seen."""
        public, secret = zmq.curve_keypair()
        return cls(secrets.token_hex(16), public.decode(), secret.decode())

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class Connection:
    """One rank's sockets and the sessions that sign for them."""

    def __init__(self, context: zmq.Context[Any], keys: Keys, place: Mapping[str, Any]) -> None:
        info: Any = {
            "ip": "127.0.0.1",
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            **keys.to_dict(),
            **{name: value for name, value in place.items() if name != "pid"},
        }
        clients = [KernelClient(context=context) for _ in range(3)]
        for client in clients:
            client.load_connection_info(info.copy())
        self.main, self.side, self.watch = clients
        self.iopub = self.main.connect_iopub()
        self.shell = self.main.connect_shell()
        self.control = self.main.connect_control()
        self.side_shell = self.side.connect_shell()
        self.watch_shell = self.watch.connect_shell()
        self.subshell_id = ""

    def to_subshell(self, client: KernelClient, socket: Any, kind: str, content: dict[str, Any]) -> str:
        """Send a request to the rank's subshell; returns its id."""
        message = client.session.msg(kind, content)
        message["header"]["subshell_id"] = self.subshell_id
        client.session.send(socket, message)
        return str(message["header"]["msg_id"])

    def close(self) -> None:
        for socket in (self.iopub, self.shell, self.control, self.side_shell, self.watch_shell):
            socket.close(linger=0)


def await_message(
    socket: Any,
    client: KernelClient,
    kind: str,
    deadline_s: float,
    parent: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """The next message of that kind (and for that request), dropping others; None after the deadline."""
    while True:
        left_s = deadline_s - time.monotonic()
        # Short turns, so that Ctrl-C in the notebook is seen; and a look in any case, for what came while
        # another rank was waited for.
        if not socket.poll(max(0.0, min(left_s, 0.1)) * 1000) or left_s < -_LOOK_S:
            if left_s <= 0:
                return None
            check()
            continue
        _, raw = client.session.recv(socket, mode=zmq.NOBLOCK)
        if raw is None:
            continue
        matches = parent is None or raw["parent_header"].get("msg_id") == parent
        if raw["msg_type"] == kind and matches:
            found: dict[str, Any] = raw
            return found
    return None
