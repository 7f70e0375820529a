"""The agents of all hosts as one: ranks are started, watched and ended wherever they are."""

from __future__ import annotations

import itertools
import secrets
import shlex
import shutil
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelkit.errors import ConnectError, HostError
from kernelkit.launch.command import LEASE_S, agent_argv
from kernelkit.launch.exits import Exit, status_text
from kernelkit.launch.handle import Handle, Heard
from kernelkit.launch.mpi import MPIRUN
from kernelkit.launch.shim import door_path
from kernelkit.launch.ssh import FAILED, is_local, ssh_argv, unreachable
from kernelkit.launch.task import AgentTask
from kernelkit.launch.tunnel import Sockets, master_options

_BEAT_S = LEASE_S / 6
_WORDS_S = 2.0
_NO_PYTHON = "{host} has no Python at that path"
_OTHER_PYTHON = 'name one by --python PATH, or as "python" of that host in the hostfile'
_PORTS = ("shell_port", "iopub_port", "control_port", "stdin_port", "hb_port")


class Agents:
    """An agent per host. `ready`, `listening`, `exits` map a rank to what was said of it.

    Args:
        hosts: as ssh calls them; this machine where there are none.
        pythons: host to the Python that runs its agent and ranks, where it is not this one's path.
    """

    def __init__(self, hosts: Sequence[str] = (), pythons: Mapping[str, str] | None = None) -> None:
        self._heard = Heard()
        self._sockets: Sockets | None = None
        self._handles: dict[str, Handle] = {}
        self._of_rank: dict[int, Handle] = {}
        self._count = itertools.count()
        self._stopped = threading.Event()
        self._doors: list[str] = []
        self._pythons = dict(pythons or {})
        try:
            for number, host in enumerate(hosts or ["127.0.0.1"]):
                self._handles[host] = self._start(number, host, self._pythons.get(host))
        except BaseException:  # Ctrl-C as well: no agent is left without anybody who knows of it
            self.stop()
            raise
        if any(handle.remote for handle in self._handles.values()):
            threading.Thread(target=self._beat, name="kernelkit-beat", daemon=True).start()

    def _start(self, number: int, host: str, python: str | None) -> Handle:
        if is_local(host):
            try:
                return Handle(host, agent_argv(python), self._heard)
            except OSError as error:
                raise HostError(_NO_PYTHON.format(host=host), got=str(error), cure=_OTHER_PYTHON) from error
        self._sockets = self._sockets or Sockets()
        path, *rest = agent_argv(python)
        command = f"{_typed(path)} {shlex.join([*rest, '--lease', f'--folder={Path.cwd()}'])}"
        options = master_options(self._sockets.control_path(number))
        try:
            return Handle(host, ssh_argv(host, command, options), self._heard, remote=True)
        except FileNotFoundError as error:
            raise HostError(f"{host} cannot be reached: there is no `ssh` on this machine") from error

    @property
    def ready(self) -> dict[int, dict[str, Any]]:
        return self._heard.ready

    @property
    def listening(self) -> set[int]:
        return self._heard.listening

    @property
    def exits(self) -> dict[int, Exit]:
        return self._heard.exits

    @property
    def mpirun(self) -> Exit | None:
        """How mpirun ended, once it has."""
        return self._heard.tasks_ended.get(MPIRUN)

    @property
    def pids(self) -> list[int]:
        """Of the processes on this machine: agents, and the ssh to agents elsewhere."""
        return [handle.pid for handle in self._handles.values()]

    @property
    def alive(self) -> bool:
        """Whether any host's agent still is there."""
        return any(handle.alive for handle in self._handles.values())

    def host_name(self, rank: int, own: str) -> str:
        """What the user calls the rank's host, where that is another machine; else the name it has."""
        handle = self._of_rank[rank]
        return handle.host if handle.remote else own

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, re-checked at each event; False after `timeout_s`."""
        return self._heard.wait_for(condition, timeout_s)

    def greet(self, timeout_s: float) -> dict[str, dict[str, Any]]:
        """Ask every agent what its machine is; host to what it said.

        Raises:
            HostError: a host cannot be reached, or has no Python with kernelkit there.
        """
        for handle in self._handles.values():
            handle.send({"op": "hello"})
        hello = self._heard.hello

        def settled() -> bool:
            return all(host in hello or not handle.alive for host, handle in self._handles.items())

        self.wait_for(settled, timeout_s)
        missing = [handle for host, handle in self._handles.items() if host not in hello]
        if missing:
            raise _together([_silent(handle, timeout_s) for handle in missing])
        return hello

    def start(
        self,
        specs: Sequence[dict[str, Any]],
        hosts: Sequence[str],
        *,
        grace_s: float = 0.0,
        mpi: bool = False,
    ) -> None:
        """Start ranks, each on its host.

        Args:
            grace_s: at the end they may take so long to leave by themselves.
            mpi: let mpirun on rank 0's host start them all.
        """
        door = secrets.token_hex(6)
        self._doors += [door] if mpi else []
        by_host: dict[str, list[dict[str, Any]]] = {}
        for spec, host in zip(specs, hosts, strict=True):
            by_host.setdefault(host, []).append(spec)
            self._of_rank[spec["rank"]] = self._handles[host]
        for host, mine in by_host.items():
            self._handles[host].bear(ranks=[spec["rank"] for spec in mine])
            run = [(_mpi_name(name, hosts[0]), self._pythons.get(name, "")) for name in hosts]
            how = {
                "grace_s": grace_s,
                "mpi": {"door": door, "run": run if host == hosts[0] else []} if mpi else None,
            }
            self._handles[host].send({"op": "start", "ranks": mine, **how})

    def connect(self) -> dict[int, dict[str, Any]]:
        """Where each rank's sockets are, seen from here; those on other hosts are forwarded first.

        Raises:
            ConnectError: ssh could not forward.
        """
        places = {}
        for rank, ports in self.ready.items():
            places[rank] = dict(ports)
            handle = self._of_rank[rank]
            if handle.remote:
                prefix = self._forward(handle, rank, [ports[name] for name in _PORTS])
                places[rank] |= {"transport": "ipc", "ip": prefix}
        return places

    def _forward(self, handle: Handle, rank: int, ports: Sequence[int]) -> str:
        assert self._sockets
        before = handle.last_words
        try:
            return self._sockets.forward(list(self._handles).index(handle.host), handle.host, rank, ports)
        except ConnectError as error:
            # The ssh that forwards is told why. It says so before it closes, but another thread reads it.
            if self.wait_for(lambda: handle.last_words != before, _WORDS_S):
                error.got = handle.last_words[-1]
            raise

    def ask(self, rank: int, request: dict[str, Any]) -> None:
        """Ask the agent of a rank for something that concerns it."""
        if (handle := self._of_rank.get(rank)) is not None:
            handle.send({**request, "rank": rank})

    def task(self, host: str, module: str, boot: dict[str, Any]) -> AgentTask:
        """Start another of our own programs on a host, beside its ranks."""
        return AgentTask(f"task{next(self._count)}", self._handles[host], self._heard, module, boot)

    def stop(self) -> None:
        """End every rank and every agent; returns once they are gone."""
        self._stopped.set()
        for handle in self._handles.values():
            handle.close()
        for handle in self._handles.values():
            handle.wait()
        if self._sockets is not None:
            self._sockets.close()
        for door in self._doors:  # an agent that was killed could not remove it
            shutil.rmtree(Path(door_path(door)).parent, ignore_errors=True)

    def _beat(self) -> None:
        """A host whose network is cut hears of no end; it leaves when it has heard nothing for a while."""
        while not self._stopped.wait(_BEAT_S):
            for handle in self._handles.values():
                if handle.remote:
                    handle.send({"op": "alive"})


def _mpi_name(host: str, first: str) -> str:
    """mpirun goes by ssh to names that it does not know as its own; it runs on the first host."""
    if host == first:
        return "localhost"
    return socket.gethostname() if is_local(host) else host


def _typed(path: str) -> str:
    """Quoted for a shell, but for a home folder, which that shell alone knows."""
    home, slash, rest = path.partition("/")
    if home.startswith("~") and slash:
        return f"{home}/{shlex.quote(rest)}"
    return shlex.quote(path)


def _silent(handle: Handle, timeout_s: float) -> HostError:
    """Why an agent did not say hello."""
    host, words, code = handle.host, handle.last_words, handle.returncode
    said = " ".join(words[-4:])
    if code is None:
        cure = f"is {host} busy or asleep? `ssh {host} true` must end at once"
        return HostError(f"{host} did not answer within {timeout_s:.0f} s", got=said, cure=cure)
    if handle.remote and code == FAILED:
        return unreachable(host, "\n".join(words))
    if code == 127 or "No such file" in said:
        return HostError(_NO_PYTHON.format(host=host), got=said, cure=_OTHER_PYTHON)
    if "No module named" in said:
        cure = f"`ssh {host} PYTHON -m pip install kernelkit`, or name another --python"
        return HostError(f"the Python on {host} lacks what the agent needs", got=words[-1], cure=cure)
    return HostError(f"the agent on {host} ended at once ({status_text(code)})", got=said)


def _together(errors: list[HostError]) -> HostError:
    """One error for all hosts that failed."""
    if len(errors) == 1:
        return errors[0]
    what = f"{len(errors)} hosts cannot be used: " + "; ".join(error.what for error in errors)
    got = "".join(f"\n    {error.got}" for error in errors)
    return HostError(what, got=got, cure="; ".join(dict.fromkeys(error.cure for error in errors)))
