"""A process that an agent has started, with its pipes: a rank, or a task beside the ranks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

_TAIL_LINES = 80


class Process(Protocol):
    """What a child needs of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    @property
    def stderr(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


@dataclass
class Child:
    """One process in a group of its own, so that Ctrl-C stays away and its children end with it.

    Attributes:
        name: what its events are marked with: `{"rank": r}` or `{"task": id}`.
        tail: its last lines that are no answers.
        adopted: somebody else is its parent, and keeps its exit status.
        answered: a rank says one line, where its sockets are; all that follows is somebody's print.
        awaited_port, hold: see the agent's `await_listening`.
    """

    name: dict[str, Any]
    process: Process
    oom_kills: int = 0
    partial: dict[str, bytes] = field(default_factory=lambda: {"stdout": b"", "stderr": b""})
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    adopted: bool = False
    answered: bool = False
    awaited_port: int | None = None
    hold: bool = False

    @property
    def is_rank(self) -> bool:
        return "rank" in self.name

    @classmethod
    def start(
        cls, name: dict[str, Any], argv: Sequence[str], env: Mapping[str, str], boot: dict[str, Any]
    ) -> Child:
        """Start it and give it its first line."""
        process = subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        child = cls(name, process, oom_kills())
        child.tell(boot)
        return child

    def tell(self, line: dict[str, Any]) -> None:
        """Write a line to its standard input; one that has died is told of by its exit."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            self.process.stdin.flush()

    def streams(self) -> Iterator[tuple[str, Any]]:
        yield "stdout", self.process.stdout
        yield "stderr", self.process.stderr

    def take(self, source: str, data: bytes) -> Iterator[dict[str, Any]]:
        """Add output; yields what in it is an answer."""
        *lines, self.partial[source] = (self.partial[source] + data).split(b"\n")
        for line in lines:
            answer = _answer(line) if source == "stdout" and not self.answered else None
            if answer is not None:
                self.answered = self.is_rank
                yield answer
            else:
                self.tail.append(line.decode(errors="replace"))

    def exit_facts(self, returncode: int) -> dict[str, Any]:
        """What its exit event says."""
        if rest := self.partial["stderr"]:
            self.tail.append(rest.decode(errors="replace"))
        out_of_memory = oom_kills() > self.oom_kills
        facts = {"stderr": list(self.tail), "out_of_memory": out_of_memory}
        if self.adopted:
            return {**facts, "returncode": None, "why": "its process ended (mpirun keeps its exit status)"}
        return {**facts, "returncode": returncode}

    def signal(self, number: signal.Signals) -> None:
        """To the process and its children; none may be left, which macOS reports as EPERM."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def ask_to_leave(self) -> None:
        """The end of its standard input asks it to go."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def _answer(line: bytes) -> dict[str, Any] | None:
    """The JSON object in that line; None where it is somebody's print."""
    if not line.startswith(b"{"):
        return None
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return answer


def oom_kills() -> int:
    """How many processes Linux has killed for want of memory since it was started; 0 elsewhere."""
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0
