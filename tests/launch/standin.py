"""Programs that stand in for `ssh`, so that a test has other hosts without a network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# ssh's options go, the host is noted, and a shell of this machine runs the command as the login shell would.
_SSH = """#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -o|-S|-L|-O|-p|-l|-i) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
host=$1
shift
printf '%s\\n' "$host" >> '{log}'
{before}
exec {shell} -c "$*"
"""


class StandIn:
    """An `ssh` in front of PATH.

    Attributes:
        folder: where it lies.
        path: a PATH that finds it first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = f"{folder}:{os.environ['PATH']}"
        self._log = folder / "log"
        folder.mkdir()
        self.runs_the_command()

    @property
    def asked(self) -> list[str]:
        """The hosts that it was asked for, in order."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def runs_the_command(self, before: str = "", shell: str = "/bin/sh") -> None:
        """Get to every host.

        Args:
            before: shell lines that a login runs first; `$host` is the host.
            shell: what runs the command.
        """
        self.says(_SSH.format(log=self._log, before=before, shell=shell))

    def fails(self, message: str, status: int = 255) -> None:
        """Get to no host, with these words."""
        words = self.folder / "words"
        words.write_text(message)
        self.says(f"#!/bin/sh\ncat '{words}' >&2\nexit {status}\n")

    def says(self, script: str) -> None:
        program = self.folder / "ssh"
        program.write_text(script)
        program.chmod(0o755)


def in_front(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in that this process and its children find."""
    ssh = StandIn(folder)
    monkeypatch.setenv("PATH", ssh.path)
    return ssh
