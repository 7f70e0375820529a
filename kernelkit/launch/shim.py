"""What mpirun starts: it gets pipes and environment from the host's agent, and becomes the rank."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from contextlib import suppress

from kernelkit.launch.command import rank_argv

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
_MAX_ANSWER = 1 << 20
_DOOR_S = 10.0


def door_path(token: str) -> str:
    """Where the agent of this host meets the ranks that mpirun starts: found by name, on every host alike."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f"/tmp/kk-mpi-{token}-{host}/door"


def main() -> None:
    """Ask at the door that is named on the command line, then turn into the rank."""
    rank = next(int(os.environ[name]) for name in _RANK_VARIABLES if name in os.environ)
    with _enter(door_path(sys.argv[1])) as door:
        door.sendall(json.dumps({"rank": rank, "pid": os.getpid()}).encode() + b"\n")
        answer, descriptors, _, _ = socket.recv_fds(door, _MAX_ANSWER, 3)
        while not answer.endswith(b"\n"):
            if not (more := door.recv(_MAX_ANSWER)):
                sys.exit(f"the agent of this host does not know rank {rank}")
            answer += more
    os.environ.update(json.loads(answer))
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with suppress(PermissionError):  # it may lead a group already
        os.setpgid(0, 0)
    os.execv(sys.executable, rank_argv())


def _enter(path: str) -> socket.socket:
    """The agent of this host may open its door later than mpirun came to another."""
    deadline_s = time.monotonic() + _DOOR_S
    while True:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            door.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            door.close()
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return door


if __name__ == "__main__":
    main()
