"""A folder of hosts that are not there, and an `ssh` on PATH that leads to them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.survey.macs import Mac

HERE = Path(__file__).parent


class Standin:
    """Hosts, each a folder of recorded answers. It sets PATH for as long as the test lasts."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.hosts = folder / "hosts"
        self.hosts.mkdir(parents=True)
        tools = folder / "tools"
        tools.mkdir()
        shutil.copy(HERE / "ssh.sh", tools / "ssh")
        (tools / "ssh").chmod(0o755)
        patch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("STANDIN_HOSTS", str(self.hosts))

    def add(self, *macs: Mac) -> list[str]:
        for mac in macs:
            self.add_answers(mac.name, mac.answers())
        return [mac.name for mac in macs]

    def add_answers(self, host: str, answers: Mapping[str, str]) -> None:
        """A host whose commands print this; a command line that is not there ends with status 1."""
        home = self.hosts / host
        if home.exists():
            shutil.rmtree(home)
        (home / "bin").mkdir(parents=True)
        (home / "answers").mkdir()
        shutil.copy(HERE / "replay.sh", home / "replay")
        (home / "replay").chmod(0o755)
        for line, text in answers.items():
            (home / "answers" / re.sub(r"[^A-Za-z0-9.]", "_", line)).write_text(text)
            self._link(home, line.split()[0])
        for never in ("sudo", "nvidia-smi"):  # Those of the machine that runs the tests.
            self._link(home, never)

    def add_recorded(self, host: str, folder: Path) -> None:
        self.add_answers(host, {file.name: file.read_text() for file in folder.iterdir()})
        for command in (*Mac("").answers(), "ibv_devinfo"):
            self._link(self.hosts / host, command.split()[0])

    def fails(self, host: str, how: str) -> None:
        """denied, refused or hang."""
        (self.hosts / host).mkdir(exist_ok=True)
        (self.hosts / host / "fails").write_text(how)

    def greets(self, host: str, text: str) -> None:
        (self.hosts / host / "greeting").write_text(text)

    def calls(self) -> list[str]:
        log = self.hosts / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def _link(self, home: Path, command: str) -> None:
        if not (home / "bin" / command).exists():
            (home / "bin" / command).symlink_to(home / "replay")


def gibberish() -> Iterable[str]:
    """What a command might print instead of an answer."""
    return (
        "",
        "\x00\x07",
        "{",
        "[]",
        "null",
        '{"SPThunderboltDataType": 3}',
        "error: not permitted\n" * 3,
        "²³: ∞\n",
    )
