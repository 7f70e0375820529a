"""Ranks that `mpirun` starts: they get their pipes at the agent's door, and are its own from then on.

MPI wants to start the processes itself, and keeps their standard streams. So mpirun starts a stand-in
on every host (`kernelkit.launch.shim`), which asks the agent of that host for pipes and the
environment, and then becomes the rank.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from kernelkit.launch.child import Child, oom_kills
from kernelkit.launch.shim import door_path

MPIRUN = "mpirun"
_HELLO_S = 5.0
_LEAVE_S = 2.0


class Adopted:
    """A rank whose parent is not the agent; what the agent needs of `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr

    def poll(self) -> int | None:
        """None while it lives; nobody but its parent sees its status, so then 0 stands for any."""
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE:
                return None
        return 0

    def wait(self, timeout: float | None = None) -> int:
        with suppress(psutil.NoSuchProcess):
            try:
                psutil.Process(self.pid).wait(timeout)
            except psutil.TimeoutExpired as error:
                raise subprocess.TimeoutExpired("rank", error.seconds or 0.0) from error
        return 0


class Door:
    """Where the stand-ins of this host ask; a Unix socket in a folder that only this user can open."""

    def __init__(self, token: str, specs: Sequence[dict[str, Any]], env: Mapping[str, str]) -> None:
        path = door_path(token)
        self._token = token
        self.folder = Path(path).parent
        self.folder.mkdir(mode=0o700)
        self._specs = {spec["rank"]: spec for spec in specs}
        self._env = env
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(64)
        self._mpirun: subprocess.Popen[bytes] | None = None

    def run(self, hosts: Sequence[tuple[str, str]]) -> Child:
        """Start mpirun over all hosts: name and Python by rank, empty for this one's path."""
        slots = Counter(name for name, _ in hosts)
        hostfile = self.folder / "hosts"
        hostfile.write_text("".join(f"{name} slots={count}\n" for name, count in slots.items()))
        # By default it ties two ranks to a core each, and OpenBLAS's threads with them.
        argv = [shutil.which("mpirun") or "mpirun", "--hostfile", str(hostfile), "--bind-to", "none"]
        # A program of its own for each run of ranks: else it fills one host before it goes to the next.
        for number, ((name, python), ranks) in enumerate(itertools.groupby(hosts, tuple)):
            count = str(len(list(ranks)))
            argv += [":"] if number else []
            argv += ["-np", count, "--host", f"{name}:{slots[name]}"]
            argv += [python or sys.executable, "-m", "kernelkit.launch.shim", self._token]
        self._mpirun = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return Child({"task": MPIRUN}, self._mpirun)

    def adopt(self) -> Child | None:
        """Give one stand-in its pipes; None where it was none of ours."""
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(_HELLO_S)
            try:
                asked = json.loads(connection.makefile("rb").readline())
            except (OSError, ValueError):
                return None
            spec = self._specs.pop(asked["rank"], None)
            if spec is None:
                return None
            theirs, ours = zip(os.pipe(), os.pipe()[::-1], os.pipe()[::-1], strict=True)
            answer = json.dumps({**self._env, **mpi_environment(), **spec["env"]}).encode() + b"\n"
            socket.send_fds(connection, [answer], list(theirs))
        for descriptor in theirs:
            os.close(descriptor)
        stdin, stdout, stderr = (os.fdopen(d, mode) for d, mode in zip(ours, ("wb", "rb", "rb"), strict=True))
        child = Child(
            {"rank": spec["rank"]}, Adopted(asked["pid"], stdin, stdout, stderr), oom_kills(), adopted=True
        )
        child.tell(spec["boot"])
        return child

    def ask_mpirun_to_leave(self) -> None:
        """It ends its ranks and cleans up behind itself; slowly if the ranks are killed under its hands."""
        if self._mpirun is not None:
            self._mpirun.terminate()

    def close(self) -> None:
        """Take mpirun and the folder down."""
        if self._mpirun is not None:
            try:
                self._mpirun.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._mpirun.pid, signal.SIGKILL)
                self._mpirun.wait()
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def mpi_environment() -> dict[str, str]:
    """Where MLX finds the MPI library, by its versioned name, as ompi_info is linked to it."""
    mpirun, info = shutil.which("mpirun"), shutil.which("ompi_info")
    if mpirun is None or info is None:
        return {}
    lister = ["otool", "-L"] if sys.platform == "darwin" else ["ldd"]
    try:
        listed = subprocess.run([*lister, info], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    names = [line.split()[0].removeprefix("@rpath/") for line in listed.splitlines() if "libmpi" in line]
    if not names:
        return {}
    return {"DYLD_LIBRARY_PATH": str(Path(mpirun).parent.parent / "lib"), "MLX_MPI_LIBNAME": names[0]}
