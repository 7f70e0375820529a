"""Another user of the machine, who tries the doors of a cluster: the program that `test_security` runs.

It imports first and gives up root afterwards: the interpreter may lie where the other user cannot read.
One JSON line on standard input is the task, `{"user": ..., "do": ..., ...}`; the last line of standard
output is the answer. "keys" in a task are what the intruder knows: `{}` nothing, "server" the ranks' public
CURVE key, "key" the one that signs messages.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session

_SILENT_MS = 500
_WELCOME_MS = 20_000
_CONNECT_S = 5.0
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"  # of ZMTP 3; the mechanism's name follows, padded to 20
_LITTER = (
    b"",
    b"\x00",
    b"GET /api/kernels HTTP/1.1\r\nHost: localhost\r\n\r\n",
    _GREETING + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x05READY" + bytes(range(256)),
    _GREETING + b"CURVE".ljust(20, b"\0") + bytes(32) + b"\x04\xc8\x05HELLO" + bytes(194),
    _GREETING + b"PLAIN".ljust(20, b"\0") + bytes(32) + b"\x06" + b"\xff" * 8,
    os.urandom(1 << 16),
)

Task = dict[str, Any]


def become(user: str) -> None:
    """Be that user for good, with none of root's groups and rights."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)


def execute(task: Task) -> list[int]:
    """Send a well-formed request to each port; gives the ports that replied."""
    session = Session(key=task["keys"].get("key", "").encode())
    with _sockets(zmq.DEALER, task["ports"], task["keys"]) as dealers:
        for dealer in dealers:
            # Who is turned away at once has nowhere left to send to.
            with contextlib.suppress(zmq.Again):
                session.send(dealer, "execute_request", {"code": task["code"], "silent": False})
        # A heartbeat's socket sends back whatever comes: that is no reply.
        return sorted({dealers[dealer] for dealer, said in _heard(dealers) if b"execute_reply" in said})


def listen(task: Task) -> list[dict[str, int]]:
    """Subscribe to all ports, once with each of the keys; gives what each has brought.

    The last keys are the right ones. They are welcomed, and by then the others' subscriptions would be in
    effect as well: that is said, and the next line of input ends the listening.
    """
    with contextlib.ExitStack() as stack:
        groups = [stack.enter_context(_sockets(zmq.SUB, task["ports"], keys)) for keys in task["keys"]]
        print("listening" if _poll(groups[-1], _WELCOME_MS) else "not welcome", flush=True)
        sys.stdin.readline()
        heard = [[message for _, message in _heard(group)] for group in groups]
    word = task["word"].encode()
    return [{"messages": len(group), "words": sum(word in message for message in group)} for group in heard]


def push(task: Task) -> int:
    """Send a message of its own making to each port, to be taken by who only takes; gives how many."""
    with _sockets(zmq.PUSH, task["ports"], {}) as pushers:
        for pusher in pushers:
            with contextlib.suppress(zmq.Again):
                pusher.send_multipart([task["word"].encode()] * 3)
        time.sleep(_SILENT_MS / 1000)  # they are sent in the background, to those that take them
        return len(pushers)


def litter(task: Task) -> int:
    """Throw bytes that mean nothing at each port; gives how many connections were made."""
    made = 0
    for port in task["ports"]:
        for garbage in _LITTER:
            with socket.socket() as connection:
                connection.settimeout(_CONNECT_S)
                connection.connect(("127.0.0.1", port))
                made += 1
                # The other end may close while we still speak.
                with contextlib.suppress(ConnectionError):
                    connection.sendall(garbage)
    return made


def read(task: Task) -> dict[str, str]:
    """Open each path; gives how that went."""
    return {path: _outcome(partial(_open, Path(path))) for path in task["paths"]}


def end(task: Task) -> dict[str, str]:
    """Ask each process to end; gives how that went."""
    return {str(pid): _outcome(partial(os.kill, pid, signal.SIGTERM)) for pid in task["pids"]}


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _open(path: Path) -> None:
    if path.is_dir():
        next(path.iterdir(), None)
    else:
        path.open("rb").close()


@contextlib.contextmanager
def _sockets(kind: int, ports: list[int], keys: dict[str, str]) -> Iterator[dict[zmq.Socket[bytes], int]]:
    """A socket to each port, which speaks CURVE as soon as a server's key is known."""
    with zmq.Context() as context:
        sockets = {context.socket(kind): port for port in ports}
        for connected, port in sockets.items():
            connected.linger = connected.sndtimeo = 0
            if "server" in keys:
                connected.curve_publickey, connected.curve_secretkey = zmq.curve_keypair()
                connected.curve_serverkey = keys["server"].encode()
            if kind == zmq.SUB:
                connected.subscribe(b"")
                # Only a topic that no other has subscribed to is answered with a welcome.
                connected.subscribe(os.urandom(8).hex())
            connected.connect(f"tcp://127.0.0.1:{port}")
        yield sockets
        context.destroy(linger=0)


def _poll(sockets: Iterable[zmq.Socket[bytes]], timeout_ms: int) -> list[zmq.Socket[bytes]]:
    poller = zmq.Poller()
    for one in sockets:
        poller.register(one, zmq.POLLIN)
    return [ready for ready, _ in poller.poll(timeout_ms)]


def _heard(sockets: Iterable[zmq.Socket[bytes]]) -> list[tuple[zmq.Socket[bytes], bytes]]:
    """What has come, and what still comes before all have been silent for a while."""
    heard = []
    while ready := _poll(sockets, _SILENT_MS):
        heard += [(one, b"".join(one.recv_multipart())) for one in ready]
    return heard


if __name__ == "__main__":
    given: Task = json.loads(sys.stdin.readline())
    become(given["user"])
    doings = {"execute": execute, "listen": listen, "push": push, "litter": litter, "read": read, "end": end}
    print(json.dumps(doings[given["do"]](given)))
