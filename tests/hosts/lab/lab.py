"""The laboratory as one object: hosts, what runs in them, and what can be made to go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.hosts.lab import pythons
from tests.hosts.lab.leftovers import sweep
from tests.hosts.lab.namespaces import entered, owned_prefix
from tests.hosts.lab.network import CONTROLLER, Network
from tests.hosts.lab.ssh import Ssh


class Lab:
    """Hosts kk0, kk1, ... and a controller, from which `ssh kk0` works.

    The hosts share the machine's files and processes; network and host name are their own, and whoever
    comes by ssh has a HOME of the host's.

    Attributes:
        names: what ssh calls the hosts.
        addresses: theirs, by host.
        controller: the controller's address.
        bin: the folder with the laboratory's `ssh`.
        folder: keys, logs, everything; gone at the end.
    """

    controller = CONTROLLER

    def __init__(self, hosts: int = 4) -> None:
        """Say how many hosts; `with` builds them."""
        if not 1 <= hosts <= 200:
            raise ValueError(f"1 to 200 hosts, not {hosts}")
        self.names = [f"kk{i}" for i in range(hosts)]
        self._pythons = 0

    def __enter__(self) -> Lab:
        sweep()
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix=owned_prefix()))  # 0700
            stack.callback(shutil.rmtree, self.folder)
            self._started: list[subprocess.Popen[Any]] = []
            stack.callback(self._reap)
            self._network = Network(self.folder.name, self.names)
            self.addresses = self._network.addresses
            self._network.up(stack)
            self._ssh = Ssh(self.folder, self.names, self._network, self.popen)
            self.bin = self._ssh.bin
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # Where code runs.

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread as if on the controller, with `ssh` in front of PATH.

        What it starts is there as well. Threads that run already stay outside, also the one in which a zmq
        context makes its TCP sockets; sockets with a path in the file system do not mind.
        """
        path = os.environ["PATH"]
        with entered(self._network.controller):
            os.environ["PATH"] = f"{self.bin}{os.pathsep}{path}"
            try:
                yield
            finally:
                os.environ["PATH"] = path

    def at(self, i: int) -> AbstractContextManager[None]:
        """The calling thread inside host i: sockets that it makes are the host's."""
        return entered(self._network.hosts[i])

    def popen(self, i: int, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process in host i; it is killed with the laboratory."""
        process = subprocess.Popen(self._argv(i, argv), **options)
        self._started.append(process)
        return process

    def run(
        self, i: int, argv: Sequence[str], timeout_s: float = 30.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in host i and wait for it."""
        return subprocess.run(
            self._argv(i, argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=check,
        )

    # Wires.

    def cable(self, i: int, j: int) -> tuple[str, str]:
        """Lay a cable between two hosts, at en5, en6, ..., beside the switch; its address on each."""
        return self._network.cable(i, j)

    def delay(self, i: int, j: int, seconds: float) -> tuple[str, str]:
        """Lay a line between two hosts that takes that long each way; its address on each."""
        return self._network.delay(i, j, seconds)

    def shape(self, i: int, rate: str, to: int | None = None) -> None:
        """Limit both directions of host i's wire to the switch, or of a cable: 100mbit, 1gbit."""
        self._network.shape(i, to, rate)

    def unshape(self, i: int, to: int | None = None) -> None:
        """No limit any more."""
        self._network.shape(i, to, None)

    def cut(self, i: int, to: int | None = None) -> None:
        """Pull host i's wire to the switch, or a cable: packets vanish, and nobody is told."""
        self._network.plug(i, to, "down")

    def mend(self, i: int, to: int | None = None) -> None:
        """Plug it in again."""
        self._network.plug(i, to, "up")

    # ssh.

    def stop_sshd(self, i: int) -> None:
        """Host i refuses new connections; sessions go on."""
        self._ssh.stop(i)

    def start_sshd(self, i: int) -> None:
        """Host i takes connections again."""
        self._ssh.start(i)

    def lock_out(self, i: int) -> None:
        """Host i does not accept the user's key any more."""
        self._ssh.authorize(i, False)

    def let_in(self, i: int) -> None:
        """Host i accepts the user's key again."""
        self._ssh.authorize(i, True)

    def change_host_key(self, i: int) -> None:
        """Host i has another key than the one that the user knows, as if set up anew, or somebody else's."""
        self._ssh.change_host_key(i)

    def forget_host_key(self, i: int) -> None:
        """The user has never connected to host i."""
        self._ssh.forget_host_key(i)

    def log(self, i: int) -> str:
        """What host i's sshd wrote."""
        return self._ssh.log(i)

    def restore(self) -> None:
        """Wires, sshd and keys as at first, without cables and delays. Processes are left alone."""
        self._network.restore()
        self._ssh.restore()

    # Files.

    def hostfile(
        self,
        ranks_per_host: int = 1,
        backend: str = "ring",
        python: str | dict[int, str] | None = None,
        hosts: Sequence[int] | None = None,
    ) -> str:
        """A hostfile as MLX reads it, of all hosts or of some; with their Pythons, for all or by host."""
        entries = []
        for i in range(len(self.names)) if hosts is None else hosts:
            entry: dict[str, Any] = {"ssh": self.names[i], "ips": [self.addresses[i]], "rdma": []}
            its_python = python.get(i) if isinstance(python, dict) else python
            if its_python is not None:
                entry["python"] = its_python
            entries += [entry] * ranks_per_host
        return json.dumps({"backend": backend, "envs": [], "hosts": entries}, indent=4)

    def other_python(self, **versions: str) -> str:
        """A Python like this one, but for the versions that it reports: `other_python(mlx="0.30.0")`."""
        return str(pythons.other_python(self._new_folder(), versions))

    def bare_python(self) -> str:
        """A Python without kernelkit, or any other package."""
        return str(pythons.bare_python(self._new_folder()))

    def _argv(self, i: int, argv: Sequence[str]) -> list[str]:
        # Each step becomes the next, so the pid is that of `argv` in the end.
        inside = ["ip", "netns", "exec", self._network.hosts[i], "unshare", "--uts"]
        return [*inside, "/bin/sh", "-c", 'hostname "$0" && exec "$@"', self.names[i], *argv]

    def _new_folder(self) -> Path:
        self._pythons += 1
        return self.folder / f"python{self._pythons}"

    def _reap(self) -> None:
        """The namespaces are gone with all that was in them; end what was still on its way there."""
        for process in self._started:
            process.kill()
            process.wait(10.0)
