"""Reach the ranks' sockets on another host: Unix sockets here, forwarded through the agent's own ssh.

One ssh per host is the master of its connection (a control socket of our own, whatever the user's
configuration says), so that forwarding needs no second login. The sockets lie in a folder that only
this user can open; on the other side the ranks listen on 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from kernelkit.errors import ConnectError
from kernelkit.launch.ssh import OPTIONS

_PREFIX = "kk-"
_FORWARD_S = 15.0
_FIRST_BYTE_S = 25.0  # longer than ssh takes to give a connection up
# A Unix socket's path has 104 bytes on macOS, and ssh binds a longer name first.
_MAX_FOLDER = 60


class Sockets:
    """The folder of a cluster's sockets, removed with it."""

    def __init__(self) -> None:
        _remove_abandoned()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=_base())

    def control_path(self, number: int) -> str:
        """The control socket of the ssh to host `number`."""
        return f"{self._folder.name}/c{number}"

    def forward(self, number: int, host: str, rank: int, ports: Sequence[int]) -> str:
        """Make ports of 127.0.0.1 on the host appear here, as `PREFIX-PORT`; returns the prefix.

        Raises:
            ConnectError: ssh did not do it.
        """
        prefix = f"{self._folder.name}/r{rank}"
        for port in ports:
            Path(f"{prefix}-{port}").unlink(missing_ok=True)
        wanted = [part for port in ports for part in ("-L", f"{prefix}-{port}:127.0.0.1:{port}")]
        argv = ["ssh", *OPTIONS, "-S", self.control_path(number), "-O", "forward", *wanted, host]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_FORWARD_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ConnectError(f"ssh did not forward to {host} within {_FORWARD_S:.0f} s") from error
        if done.returncode != 0:
            cure = f"sshd on {host} must allow it: AllowTcpForwarding yes"
            raise ConnectError(f"ssh could not forward to {host}", got=done.stderr.strip(), cure=cure)
        self._try(f"{prefix}-{ports[0]}", host)
        return prefix

    def _try(self, path: str, host: str) -> None:
        """ssh agrees as soon as it listens here; whether sshd lets it through shows at the first use."""
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_FIRST_BYTE_S)
            try:
                door.connect(path)
                heard = door.recv(1)  # a rank's socket greets whoever connects
            except TimeoutError as error:
                what = f"nothing came through ssh from {host} within {_FIRST_BYTE_S:.0f} s"
                raise ConnectError(what, cure=f"is {host} busy or asleep?") from error
            except OSError:
                heard = b""
        if not heard:
            cure = f"sshd on {host} must allow it (AllowTcpForwarding yes), and have a free port"
            raise ConnectError(f"ssh could not forward to {host}", got="the connection was closed", cure=cure)

    def close(self) -> None:
        self._folder.cleanup()


def master_options(control_path: str) -> tuple[str, ...]:
    """Options for the ssh that forwards may be asked of later."""
    # What the user's configuration forwards for a login is not ours to hold.
    return ("-M", "-S", control_path, "-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes")


def _base() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _MAX_FOLDER else "/tmp"


def _remove_abandoned() -> None:
    """Folders whose notebook was killed: it could not remove them itself."""
    for folder in Path(_base()).glob(f"{_PREFIX}[0-9]*-*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        with suppress(FileNotFoundError):  # another notebook may remove it as well
            if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
