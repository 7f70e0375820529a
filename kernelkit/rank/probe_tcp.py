"""Plain TCP between the two processes of a probe: what the link carries without MLX. Never imports mlx.

Rank 0 listens from its start, rank 1 connects from its own address, so that both ends of the connection
lie on the cable that is measured. The port is open to its network: whoever connects must show the nonce that
the two were told on their standard inputs.
"""

from __future__ import annotations

import hmac
import socket
import struct
from time import monotonic

from kernelkit.errors import ConnectError

CONNECT_TIMEOUT_S = 3.0
_HEADER = struct.Struct("!Bq")


def listen(address: str) -> socket.socket:
    """A listening socket on a free port of `address`."""
    return socket.create_server((address, 0), backlog=4)


def accept(listener: socket.socket, nonce: bytes, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """The connection of the one who knows the nonce; others are closed.

    Raises:
        ConnectError: nobody with it came in time.
    """
    deadline_s = monotonic() + timeout_s
    while (left_s := deadline_s - monotonic()) > 0:
        listener.settimeout(left_s)
        try:
            connection, _ = listener.accept()
            connection.settimeout(max(0.1, min(1.0, left_s)))
            if hmac.compare_digest(_read(connection, len(nonce)), nonce):
                return _ready(connection)
            connection.close()
        except (TimeoutError, ConnectError):
            continue
    host, port = listener.getsockname()[:2]
    raise ConnectError(
        f"nobody connected to {host}:{port} within {timeout_s:.0f} s",
        cure="does a firewall of that host let the connection in?",
    )


def connect(
    own: str, peer: tuple[str, int], nonce: bytes, timeout_s: float = CONNECT_TIMEOUT_S
) -> socket.socket:
    """Connect from `own` address to the peer's listener.

    Raises:
        ConnectError: refused, no route, or no answer in time.
    """
    where = f"{peer[0]}:{peer[1]}"
    try:
        connection = socket.create_connection(peer, timeout_s, source_address=(own, 0))
        connection.sendall(nonce)
    except TimeoutError as error:
        raise ConnectError(
            f"{where} does not answer {own} within {timeout_s:.0f} s",
            cure="are both ends of the cable in, and does a firewall let the connection pass?",
        ) from error
    except OSError as error:
        raise ConnectError(f"{own} cannot connect to {where}: {error.strerror or error}") from error
    return _ready(connection)


def _ready(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)  # the parent has the clock
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read(connection: socket.socket, count: int) -> bytes:
    data = bytearray(count)
    _fill(connection, memoryview(data))
    return bytes(data)


def _fill(connection: socket.socket, view: memoryview) -> None:
    while view:
        got = connection.recv_into(view, len(view), socket.MSG_WAITALL)
        if got == 0:
            raise ConnectError("the other end closed the connection")
        view = view[got:]


class TcpPair:
    """Messages over one connection, from and into buffers that are kept."""

    how = "tcp"
    both_ways = False

    def __init__(self, connection: socket.socket, most_bytes: int) -> None:
        self._connection = connection
        # Not zeros: pages that nobody has written are one and the same page, and fit any cache.
        self._out = memoryview(b"\xa5" * most_bytes)
        self._into = memoryview(bytearray(most_bytes))

    def tell(self, op: int, amount: int) -> None:
        self._connection.sendall(_HEADER.pack(op, amount))

    def hear(self) -> tuple[int, int]:
        op, amount = _HEADER.unpack(_read(self._connection, _HEADER.size))
        return op, amount

    def send(self, size_bytes: int) -> None:
        self._connection.sendall(self._out[:size_bytes])

    def recv(self, size_bytes: int) -> None:
        _fill(self._connection, self._into[:size_bytes])
