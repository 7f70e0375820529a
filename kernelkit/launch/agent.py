"""The parent of a host's ranks: starts them, watches them, and takes them down when it is left alone.

JSON lines in, JSON lines out, nothing else. End of standard input means that the notebook is gone,
whatever the reason: kill every rank, then leave. With `--lease`, silence for a minute means the same:
where a network is cut, no end ever arrives. Never imports mlx.

In:  {"op": "hello"}                                         say what this machine is
     {"op": "start", "ranks": [{"rank", "boot", "env", "usual"}], "grace_s", "mpi"}
                                                             start these ranks, with `usual` where this host
                                                             sets nothing else; at the end they may take so
                                                             long to leave by themselves; with `mpi` they come
                                                             through mpirun
     {"op": "kill", "rank": r}                               SIGKILL, with all its children
     {"op": "await_listening", "rank": r, "port": p, "hold"} answer once the rank listens there, and
                                                             stop it there if it is to be held
     {"op": "resume", "rank": r}                             let a held rank go on
     {"op": "task", "task": id, "module", "boot"}            start another of our own programs
     {"op": "tell", "task": id, "line"} | {"op": "end", "task": id}
     {"op": "alive"}                                         the notebook is still there
Out: {"event": "hello", ...}
     {"event": "ready", "rank", "pid", "shell_port", ...}    the rank's kernel is bound
     {"event": "listening", "rank"}
     {"event": "exit", "rank", "returncode", "stderr": [...], "host", "out_of_memory"}
     {"event": "said", "task", "line"} | {"event": "ended", "task", "returncode", "stderr", ...}
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

from kernelkit.hosts.naming import own_name
from kernelkit.launch.child import Child
from kernelkit.launch.command import LEASE_S, blas_environment, rank_argv
from kernelkit.launch.mpi import MPIRUN, Door
from kernelkit.launch.openblas import find_openblas

_POLL_S = 0.005
_LOOK_S = 0.2


class Agent:
    """One loop over its standard input, the processes' outputs, and the signal that one has ended.

    Args:
        lease_s: leave after so long a silence; None where the end of standard input is sure to come.
    """

    def __init__(self, lease_s: float | None = None) -> None:
        self.ranks: dict[int, Child] = {}
        self.tasks: dict[str, Child] = {}
        self.selector = selectors.DefaultSelector()
        self.requests = b""
        self.door: Door | None = None
        self.grace_s = 0.0
        self.lease_s = lease_s
        self.heard_s = time.monotonic()

    def serve(self) -> None:
        """Work until standard input ends, then leave no process behind."""
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
            self._end_all()

    def _children(self) -> list[Child]:
        return [*self.ranks.values(), *self.tasks.values()]

    def _end_all(self) -> None:
        if self.grace_s:
            self._ask_to_leave()
        if self.door is not None:
            self.door.ask_mpirun_to_leave()
        children = [child for child in self._children() if child.name.get("task") != MPIRUN]
        for child in children:
            child.signal(signal.SIGKILL)
        for child in children:
            child.process.wait()
        if self.door is not None:
            self.door.close()

    def _ask_to_leave(self) -> None:
        """An RDMA device that is not closed may keep its memory wired: ask first, then kill."""
        for child in self._children():
            child.ask_to_leave()
        deadline_s = time.monotonic() + self.grace_s
        for child in self._children():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline_s - time.monotonic()))

    def _step(self) -> bool:
        for key, _ in self.selector.select(self._patience_s()):
            source, child = key.data
            if source == "door":
                self._adopt()
                continue
            data = os.read(key.fd, 65536)
            if source == "requests":
                if not data:
                    return False
                self._take_requests(data)
            elif source in ("stdout", "stderr"):
                self._take_output(key, source, child, data)
        self._reap()
        for rank in self.ranks.values():
            self._check_listening(rank)
        return self.lease_s is None or time.monotonic() < self.heard_s + self.lease_s

    def _patience_s(self) -> float | None:
        """How long nothing may be heard before it is time to look around."""
        if any(rank.awaited_port for rank in self.ranks.values()):
            return _POLL_S
        # No signal tells of the end of a process that is not our child.
        return _LOOK_S if self.door is not None else self.lease_s

    def _take_requests(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        *lines, self.requests = (self.requests + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["op"] == "hello":
                from kernelkit.launch.hello import describe

                _say("hello", **describe())
            elif request["op"] == "start":
                self.grace_s = request.get("grace_s", 0.0)
                self._start_all(request["ranks"], request.get("mpi"))
            elif "task" in request:
                self._handle_task(request)
            elif (rank := self.ranks.get(request.get("rank"))) is not None:
                self._handle_rank(rank, request)

    def _handle_rank(self, rank: Child, request: dict[str, Any]) -> None:
        if request["op"] == "kill":
            rank.signal(signal.SIGKILL)
        elif request["op"] == "resume":
            rank.signal(signal.SIGCONT)
        else:
            rank.awaited_port, rank.hold = request["port"], request["hold"]

    def _handle_task(self, request: dict[str, Any]) -> None:
        name = request["task"]
        if request["op"] == "task":
            argv = [sys.executable, "-m", request["module"]]
            self.tasks[name] = Child.start({"task": name}, argv, os.environ, request["boot"])
            self._listen_to(self.tasks[name])
        elif (task := self.tasks.get(name)) is not None:
            if request["op"] == "tell":
                task.tell(request["line"])
            else:
                task.signal(signal.SIGKILL)

    def _start_all(self, specs: list[dict[str, Any]], mpi: dict[str, Any] | None) -> None:
        threads = max(1, (os.cpu_count() or 1) // len(specs))
        blas = blas_environment(find_openblas(), threads, os.environ.get("LD_PRELOAD", ""))
        if mpi is not None:
            self.door = Door(mpi["door"], specs, blas)
            self.selector.register(self.door.socket, selectors.EVENT_READ, ("door", None))
            if mpi["run"]:
                self.tasks[MPIRUN] = self.door.run(mpi["run"])
                self._listen_to(self.tasks[MPIRUN])
            return
        for spec in specs:
            env = {**spec["usual"], **os.environ, **blas, **spec["env"]}
            rank = self.ranks[spec["rank"]] = Child.start(
                {"rank": spec["rank"]}, rank_argv(), env, {**spec["boot"], "grace": self.grace_s > 0}
            )
            self._listen_to(rank)

    def _adopt(self) -> None:
        assert self.door
        if (rank := self.door.adopt()) is not None:
            self.ranks[rank.name["rank"]] = rank
            self._listen_to(rank)

    def _listen_to(self, child: Child) -> None:
        for source, stream in child.streams():
            self.selector.register(stream, selectors.EVENT_READ, (source, child))

    def _take_output(self, key: selectors.SelectorKey, source: str, child: Child, data: bytes) -> None:
        if not data:
            self.selector.unregister(key.fd)
            return
        for answer in child.take(source, data):
            if child.is_rank:
                _say("ready", **child.name, **answer)
            else:
                _say("said", **child.name, line=answer)

    def _reap(self) -> None:
        for child in self._children():
            code = child.process.poll()
            if code is None:
                continue
            self._drain(child)
            # Its children may outlive it: they share its group.
            child.signal(signal.SIGKILL)
            if child.is_rank:
                del self.ranks[child.name["rank"]]
            else:
                del self.tasks[child.name["task"]]
            facts = {**child.exit_facts(code), "host": own_name()}
            _say("exit" if child.is_rank else "ended", **child.name, **facts)

    def _drain(self, child: Child) -> None:
        """Take the last words that are still in the pipes."""
        for key in [k for k in self.selector.get_map().values() if k.data[1] is child]:
            os.set_blocking(key.fd, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(key.fd, 65536):
                    self._take_output(key, key.data[0], child, data)
            self.selector.unregister(key.fd)

    def _check_listening(self, rank: Child) -> None:
        if rank.awaited_port is None:
            return
        import psutil

        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(rank.process.pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == rank.awaited_port:
                    rank.awaited_port = None
                    if rank.hold:
                        rank.signal(signal.SIGSTOP)
                    _say("listening", **rank.name)
                    return


def _say(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    for word in sys.argv[1:]:
        if word.startswith("--folder="):  # as mlx.launch does it: where the notebook is, if that is there
            with contextlib.suppress(OSError):
                os.chdir(word.removeprefix("--folder="))
    Agent(LEASE_S if "--lease" in sys.argv else None).serve()


if __name__ == "__main__":
    main()
