"""Contestants that need a process of their own, and the end of everything that was started for them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

_CONTESTANTS = Path(__file__).parent / "contestants"
_LEAVE_S = 20.0
_KILLED_S = 5.0
_TAIL_LINES = 12


class ContestantError(Exception):
    """A contestant ended before it answered; its last lines are the message."""


class Script:
    """A script of `contestants/` in a fresh Python process that answers in JSON lines.

    It is run with `-P`, so that it sees installed packages only, as a user's own script would. It ends
    when its standard input does. How long it may take is for the benchmark's own deadline to say.
    """

    def __init__(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_CONTESTANTS / f"{name}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **(env or {})},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        """Give it one JSON line."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Its next JSON line; what libraries print in between is passed over.

        Raises:
            ContestantError: it ended.
        """
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(b"{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise ContestantError(f"{self._name} ended (status {self._process.wait()}):\n{self._last_words()}")

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            end_tree(self._process.pid)
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def end_tree(pid: int) -> None:
    """Kill a process that we started and have not waited for yet, and all that it started, by their ids."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        _end([root, *root.children(recursive=True)])


def end_all_with(variable: str, value: str) -> None:
    """Kill every process whose environment says so, also one that has outlived its parent.

    Args:
        variable: set for our contestants, and inherited by what they start.
        value: unique to this run, so that no stranger has it.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # a stranger's, or gone already
            if process.environ().get(variable) == value:
                found.append(process)
    _end(found)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_KILLED_S)
