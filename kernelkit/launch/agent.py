"""The parent of a host's ranks: starts them, watches them, and takes them down when it is left alone.

JSON lines in, JSON lines out, nothing else. End of standard input means that the notebook is gone,
whatever the reason: kill every rank, then leave. Never imports mlx.

In:  {"op": "start", "ranks": [{"rank", "boot", "env"}]}     start these ranks
     {"op": "kill", "rank": r}                               SIGKILL, with all its children
     {"op": "await_listening", "rank": r, "port": p, "hold"} answer once the rank listens there, and
                                                             stop it there if it is to be held
     {"op": "resume", "rank": r}                             let a held rank go on
Out: {"event": "ready", "rank", "pid", "shell_port", ...}    the rank's kernel is bound
     {"event": "listening", "rank"}
     {"event": "exit", "rank", "returncode", "stderr": [...], "host", "out_of_memory"}
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelkit.launch.command import blas_environment, rank_argv
from kernelkit.launch.openblas import find_openblas

_TAIL_LINES = 80
_POLL_S = 0.005


@dataclass
class _Rank:
    rank: int
    process: subprocess.Popen[bytes]
    partial: dict[str, bytes] = field(default_factory=lambda: {"stdout": b"", "stderr": b""})
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    ready: bool = False
    awaited_port: int | None = None
    hold: bool = False
    oom_kills: int = 0


class Agent:
    """One loop over its standard input, the ranks' outputs, and the signal that a rank has ended."""

    def __init__(self) -> None:
        self.ranks: dict[int, _Rank] = {}
        self.selector = selectors.DefaultSelector()
        self.requests = b""

    def serve(self) -> None:
        """Work until standard input ends, then leave no rank behind."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(0, selectors.EVENT_READ, ("requests", None))
        self.selector.register(wake_read, selectors.EVENT_READ, ("child", None))
        try:
            while self._step():
                pass
        finally:
            for rank in self.ranks.values():
                self._signal(rank, signal.SIGKILL)
            for rank in self.ranks.values():
                rank.process.wait()

    def _step(self) -> bool:
        waiting = any(rank.awaited_port for rank in self.ranks.values())
        for key, _ in self.selector.select(_POLL_S if waiting else None):
            source, rank = key.data
            data = os.read(key.fd, 65536)
            if source == "requests":
                if not data:
                    return False
                self._take_requests(data)
            elif source in ("stdout", "stderr"):
                self._take_output(key, source, rank, data)
        self._reap()
        for rank in self.ranks.values():
            self._check_listening(rank)
        return True

    def _take_requests(self, data: bytes) -> None:
        *lines, self.requests = (self.requests + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["op"] == "start":
                self._start_all(request["ranks"])
            elif (rank := self.ranks.get(request["rank"])) is not None:
                if request["op"] == "kill":
                    self._signal(rank, signal.SIGKILL)
                elif request["op"] == "resume":
                    self._signal(rank, signal.SIGCONT)
                else:
                    rank.awaited_port, rank.hold = request["port"], request["hold"]

    def _start_all(self, specs: list[dict[str, Any]]) -> None:
        threads = max(1, (os.cpu_count() or 1) // len(specs))
        blas = blas_environment(find_openblas(), threads, os.environ.get("LD_PRELOAD", ""))
        for spec in specs:
            self._start(spec, {**os.environ, **blas, **spec["env"]})

    def _start(self, spec: dict[str, Any], env: dict[str, str]) -> None:
        process = subprocess.Popen(
            rank_argv(),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A group of its own: Ctrl-C in a terminal stays away from it, and its children end with it.
            start_new_session=True,
        )
        rank = self.ranks[spec["rank"]] = _Rank(spec["rank"], process, oom_kills=oom_kills())
        assert process.stdin
        assert process.stdout
        assert process.stderr
        with contextlib.suppress(BrokenPipeError):  # it died at once: the exit event tells
            process.stdin.write(json.dumps(spec["boot"]).encode() + b"\n")
            process.stdin.flush()
        self.selector.register(process.stdout, selectors.EVENT_READ, ("stdout", rank))
        self.selector.register(process.stderr, selectors.EVENT_READ, ("stderr", rank))

    def _take_output(self, key: selectors.SelectorKey, source: str, rank: _Rank, data: bytes) -> None:
        if not data:
            self.selector.unregister(key.fd)
            return
        *lines, rank.partial[source] = (rank.partial[source] + data).split(b"\n")
        for line in lines:
            # The first line of stdout is the rank's answer; all that follows is somebody's print.
            if source == "stdout" and not rank.ready and line.startswith(b'{"pid"'):
                rank.ready = True
                self._say("ready", rank, **json.loads(line))
            else:
                rank.tail.append(line.decode(errors="replace"))

    def _reap(self) -> None:
        for rank in list(self.ranks.values()):
            code = rank.process.poll()
            if code is None:
                continue
            self._drain(rank)
            # Its children may outlive it: they share its group.
            self._signal(rank, signal.SIGKILL)
            del self.ranks[rank.rank]
            facts = {"host": socket.gethostname(), "out_of_memory": oom_kills() > rank.oom_kills}
            self._say("exit", rank, returncode=code, stderr=list(rank.tail), **facts)

    def _drain(self, rank: _Rank) -> None:
        """Take the last words that are still in the pipes."""
        for key in [k for k in self.selector.get_map().values() if k.data[1] is rank]:
            os.set_blocking(key.fd, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(key.fd, 65536):
                    self._take_output(key, key.data[0], rank, data)
            self.selector.unregister(key.fd)
        if rest := rank.partial["stderr"]:
            rank.tail.append(rest.decode(errors="replace"))

    def _check_listening(self, rank: _Rank) -> None:
        if rank.awaited_port is None:
            return
        import psutil

        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(rank.process.pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == rank.awaited_port:
                    rank.awaited_port = None
                    if rank.hold:
                        self._signal(rank, signal.SIGSTOP)
                    self._say("listening", rank)
                    return

    @staticmethod
    def _signal(rank: _Rank, number: signal.Signals) -> None:
        """To the rank and its children; none may be left, which macOS reports as EPERM."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(rank.process.pid, number)

    @staticmethod
    def _say(event: str, rank: _Rank, **fields: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, "rank": rank.rank, **fields}) + "\n")
        sys.stdout.flush()


def oom_kills() -> int:
    """How many processes Linux has killed for want of memory since it was started; 0 elsewhere."""
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def main() -> None:
    """Serve until standard input ends."""
    Agent().serve()


if __name__ == "__main__":
    main()
