"""One agent's process, seen from the notebook: what it says goes to where all agents' words are gathered."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kernelkit.launch.exits import Exit, status_text
from kernelkit.launch.ssh import FAILED

_LEAVE_S = 5.0
_TAIL_LINES = 40
_AGENT_KILLED = "the agent that started it was killed"


@dataclass
class Heard:
    """What all agents of a cluster said so far; `changed` is notified at each word.

    Attributes:
        hello: host to what its agent says of the machine.
        ready, listening, exits: rank to what was said of it, in the order in which it came.
        said: task to the lines that it wrote and nobody has taken yet.
        tasks_ended: task to how it ended.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    hello: dict[str, dict[str, Any]] = field(default_factory=dict)
    ready: dict[int, dict[str, Any]] = field(default_factory=dict)
    listening: set[int] = field(default_factory=set)
    exits: dict[int, Exit] = field(default_factory=dict)
    said: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    tasks_ended: dict[str, Exit] = field(default_factory=dict)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, re-checked at each event; False after `timeout_s`.

        Short waits in a loop, so that Ctrl-C in the notebook is seen.
        """
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while not condition():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self.changed.wait(min(left_s, 0.1))
        return True

    def take(self, host: str, event: dict[str, Any]) -> None:
        """Note one event of the agent on `host`."""
        kind = event.pop("event")
        with self.changed:
            if kind == "hello":
                self.hello[host] = event
            elif kind == "said":
                self.said.setdefault(event["task"], deque()).append(event["line"])
            elif kind == "ended":
                task = event.pop("task")
                self.tasks_ended[task] = Exit(**event)
            else:
                rank = event.pop("rank")
                if kind == "ready":
                    self.ready[rank] = event
                elif kind == "listening":
                    self.listening.add(rank)
                elif kind == "exit":
                    self.exits.setdefault(rank, Exit(**event))
            self.changed.notify_all()


class Handle:
    """Starts one agent and reads what it says in a thread.

    Attributes:
        host: what the user calls the machine.
        ranks: those that were started there.
        tasks: other processes that were started there.
    """

    def __init__(self, host: str, argv: list[str], heard: Heard, *, remote: bool = False) -> None:
        self.host = host
        self.remote = remote
        self.ranks: set[int] = set()
        self.tasks: set[str] = set()
        self._heard = heard
        self._stopping = False
        self._lost: Exit | None = None
        self._leave_by_s = 0.0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C and the stop button are for the cell, not for the agent; no ssh may ask on a terminal.
            start_new_session=True,
        )
        _handles.add(self)
        self._errors = threading.Thread(target=self._read_errors, name="kernelkit-agent-stderr", daemon=True)
        self._errors.start()
        self._reader = threading.Thread(target=self._read, name="kernelkit-agent", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or has ended so lately that what it leaves behind is not told yet."""
        untold = not self._stopping and self._lost is None
        return self._process.poll() is None or (untold and self._reader.is_alive())

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def last_words(self) -> list[str]:
        """Its newest lines on standard error: ssh's, a shell's or Python's."""
        if self._process.poll() is not None:
            self._errors.join(1.0)
        return list(self._tail)

    def send(self, request: dict[str, Any]) -> None:
        """Ask the agent for something; an agent that is gone needs no asking."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def bear(self, *, ranks: Iterable[int] = (), tasks: Iterable[str] = ()) -> None:
        """Note what is about to be started there; where the agent has gone meanwhile, it is lost already."""
        with self._heard.changed:
            self.ranks.update(ranks)
            self.tasks.update(tasks)
            if self._lost is not None:
                self._tell_all_lost(self._lost)

    def close(self) -> None:
        """Let it end its ranks and itself; `wait` until it has."""
        assert self._process.stdin
        self._stopping = True
        self._leave_by_s = time.monotonic() + _LEAVE_S
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self) -> None:
        """Returns once it is gone; it is killed where it has not left in its time after `close`."""
        try:
            self._process.wait(max(0.0, self._leave_by_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            # The ranks follow by the end of their own standard input.
            self._process.kill()
        for reader, stream in ((self._reader, self._process.stdout), (self._errors, self._process.stderr)):
            reader.join(_LEAVE_S)
            if not reader.is_alive() and stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if (event := _event(line)) is not None:
                if self.remote and "host" in event and event["event"] != "hello":
                    event["host"] = self.host  # the name that the user knows it by
                self._heard.take(self.host, event)
        returncode = self._process.wait()
        if returncode != 0 and not self.remote:
            self._end_groups()
        with self._heard.changed:
            if not self._stopping:
                self._lost = self._loss(returncode)
                self._tell_all_lost(self._lost)
            self._heard.changed.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._tail.append(line.decode(errors="replace").rstrip())

    def _loss(self, returncode: int) -> Exit:
        words = [] if self.remote and returncode == FAILED else self.last_words
        return Exit(None, words, self.host, why=self._why_ended(returncode))

    def _why_ended(self, returncode: int) -> str:
        if self.remote and returncode < 0:
            return f"the ssh to {self.host} has ended ({status_text(returncode)})"
        if self.remote and returncode == FAILED:
            # ssh says why it gave up, and nothing where a signal ended what it ran there.
            words = " ".join(line for line in self.last_words[-2:] if "Warning:" not in line)
            return f"the ssh connection to {self.host} has ended ({words})" if words else _AGENT_KILLED
        return f"the agent that started it has ended ({status_text(returncode)})"

    def _tell_all_lost(self, lost: Exit) -> None:
        for rank in self.ranks:
            self._heard.exits.setdefault(rank, lost)
        for task in self.tasks:
            self._heard.tasks_ended.setdefault(task, lost)
        self._heard.changed.notify_all()

    def _end_groups(self) -> None:
        """The agent was killed: its ranks end by themselves, what they started only shares their groups."""
        for rank, event in self._heard.ready.items():
            if rank in self.ranks and rank not in self._heard.exits:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(event["pid"], signal.SIGKILL)

    def let_go(self, null: int) -> None:
        """Put `null` in the place of the agent's standard input, in a process forked from this one."""
        # Not `close`: another thread may have held the file's lock at the fork, and the number stays taken.
        if self._process.stdin is not None and not self._process.stdin.closed:
            os.dup2(null, self._process.stdin.fileno(), inheritable=False)


def _event(line: bytes) -> dict[str, Any] | None:
    """What the agent says there: a login shell may greet before it, a lost connection cut it off."""
    start = line.find(b'{"event"')
    if start < 0:
        return None
    try:
        event: dict[str, Any] = json.loads(line[start:])
    except ValueError:
        return None
    return event


_handles: weakref.WeakSet[Handle] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child (multiprocessing's, say) may outlive the notebook, and must not keep its ranks alive."""
    null = os.open(os.devnull, os.O_WRONLY)
    for handle in list(_handles):
        handle.let_go(null)
    os.close(null)


os.register_at_fork(after_in_child=_let_go_in_child)
