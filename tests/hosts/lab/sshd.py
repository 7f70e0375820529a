"""The sshd of one host, with throwaway keys."""

from __future__ import annotations

import functools
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hosts.lab.files import key_pair
from tests.hosts.lab.namespaces import entered
from tests.hosts.lab.needs import SSH, SSHD
from tests.hosts.lab.tools import LabError
from tests.waiting import eventually

Start = Callable[..., "subprocess.Popen[Any]"]

_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
# The temporary folder lies in everybody's, which StrictModes would refuse.
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserRC no
# The user's own shell settings must not matter, nor what a test writes there remain.
SetEnv HOME={folder}/home
PrintMotd no
PrintLastLog no
# OpenSSH's first choice costs some 0.2 s of both sides' processors.
KexAlgorithms curve25519-sha256
MaxStartups 200
MaxSessions 200
LogLevel VERBOSE
"""
_PRIVILEGE_SEPARATION = Path("/run/sshd")


class Server:
    """The sshd of one host.

    Attributes:
        public_key: the host's.
        log: the file that sshd writes to.
    """

    def __init__(self, folder: Path, address: str, start: Start) -> None:
        """Make keys and configuration; `start` is a Popen that works inside the host."""
        (folder / "home").mkdir(parents=True)
        self.log = folder / "sshd.log"
        self._folder = folder
        self._address = address
        self._start = start
        self._process: subprocess.Popen[Any] | None = None
        (folder / "sshd_config").write_text(_CONFIG.format(folder=folder) + _no_penalties())
        self.change_key()

    def change_key(self) -> None:
        """Have another host key from the next start on."""
        self.public_key = key_pair(self._folder / "host_key")

    def authorize(self, public_key: str) -> None:
        """Let in who has that key, and nobody else; nobody at all with an empty one."""
        (self._folder / "authorized_keys").write_text(public_key)

    def start(self) -> None:
        """Start listening, if it does not."""
        if self._process is not None:
            return
        # sshd wants that folder, empty and root's; a system makes it where it starts an sshd of its own.
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        argv = [SSHD, "-D", "-e", "-f", str(self._folder / "sshd_config")]
        with self.log.open("ab") as log:
            self._process = self._start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        """Stop listening; sessions go on, as they do when a system restarts its sshd."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10.0)
            self._process = None

    def wait(self, namespace: str) -> None:
        """Wait until whoever connects from that namespace is answered.

        Raises:
            LabError: it ended, or there is no answer.
        """
        with entered(namespace):
            if not eventually(self._answers, 10.0):
                raise LabError(f"sshd does not answer on {self._address}: {self.log.read_text()}")

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"sshd is not running: {self.log.read_text()}")
        try:
            with socket.create_connection((self._address, 22), timeout=1.0) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


@functools.cache
def _no_penalties() -> str:
    """OpenSSH 9.8 and later turn away whoever failed to log in for a while, and tests fail on purpose."""
    said = subprocess.run([SSH, "-V"], capture_output=True, text=True, timeout=30, check=True).stderr
    version = re.match(r"OpenSSH_(\d+)\.(\d+)", said)
    new = version is not None and (int(version[1]), int(version[2])) >= (9, 8)
    return "PerSourcePenalties no\n" if new else ""
