"""An agent on this machine, seen from the notebook: its events as state that can be waited for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kernelkit.launch.command import agent_argv

_LEAVE_S = 5.0


@dataclass(frozen=True)
class Exit:
    """How a rank's process ended.

    Attributes:
        returncode: exit status; negative is the signal that killed it.
        stderr: its last lines.
        host: where it ran.
        out_of_memory: whether the system ran out of memory since the rank began, and killed somebody.
    """

    returncode: int
    stderr: list[str] = field(default_factory=list)
    host: str = ""
    out_of_memory: bool = False

    def __str__(self) -> str:
        if self.returncode >= 0:
            return f"exit status {self.returncode}"
        number = -self.returncode
        # Linux has real-time signals that Python has no name for.
        known = number in {known.value for known in signal.Signals}
        name = signal.Signals(number).name if known else f"signal {number}"
        hint = "; the system was out of memory" if self.out_of_memory and number == signal.SIGKILL else ""
        return f"killed by {name}{hint}"


class LocalAgent:
    """Starts the agent process and reads its events in a thread.

    `ready`, `listening` and `exits` map a rank to what the agent said of it.
    """

    def __init__(self) -> None:
        self.ready: dict[int, dict[str, Any]] = {}
        self.listening: set[int] = set()
        self.exits: dict[int, Exit] = {}
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            agent_argv(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C and the stop button are for the cell, not for the agent.
            start_new_session=True,
        )
        _agents.add(self)
        self._reader = threading.Thread(target=self._read, name="kernelkit-agent", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        """Ask the agent for something; an agent that is gone needs no asking."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, re-checked at each event; False after `timeout_s`.

        Short waits in a loop, so that Ctrl-C in the notebook is seen.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, 0.1))
        return True

    def stop(self) -> None:
        """End every rank and the agent; returns once they are gone."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            # The ranks follow by the end of their own standard input.
            self._process.kill()
        self._reader.join(_LEAVE_S)
        if not self._reader.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            event = json.loads(line)
            rank = event.pop("rank")
            kind = event.pop("event")
            with self._changed:
                if kind == "ready":
                    self.ready[rank] = event
                elif kind == "listening":
                    self.listening.add(rank)
                elif kind == "exit":
                    self.exits[rank] = Exit(**event)
                self._changed.notify_all()
        if self._process.wait() != 0:
            self._end_groups()
        with self._changed:
            self._changed.notify_all()

    def _end_groups(self) -> None:
        """The agent was killed: its ranks end by themselves, what they started only shares their groups."""
        for rank, event in self.ready.items():
            if rank not in self.exits:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(event["pid"], signal.SIGKILL)

    def let_go(self, null: int) -> None:
        """Put `null` in the place of the agent's standard input, in a process forked from this one."""
        # Not `close`: another thread may have held the file's lock at the fork, and the number stays taken.
        if self._process.stdin is not None and not self._process.stdin.closed:
            os.dup2(null, self._process.stdin.fileno(), inheritable=False)


_agents: weakref.WeakSet[LocalAgent] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child (multiprocessing's, say) may outlive the notebook, and must not keep its ranks alive."""
    null = os.open(os.devnull, os.O_WRONLY)
    for agent in list(_agents):
        agent.let_go(null)
    os.close(null)


os.register_at_fork(after_in_child=_let_go_in_child)
