"""Find what a cluster leaves behind: processes, ports, sockets, pipes and files, as plain data for a report.

Make a `Leftovers` before the cluster, `record` the cluster while it lives, and ask afterwards:

    left = Leftovers()
    with left.marking():
        cluster = connect()
    left.record(agent_of(cluster.status().ranks[0].pid))
    cluster.stop()
    seconds, found = left.settle()
    assert found == {}

Reads Linux's /proc, where a socket and a pipe have a number of their own: a stranger who is given the
same port a moment later is not mistaken for a leftover.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil
from jupyter_core.paths import jupyter_runtime_dir

from tests.waiting import eventually

SETTLED_S = 5.0

Report = dict[str, list[str]]

_PROC = Path("/proc")
_MARK = "KERNELKIT_TEST_MARK"
_LISTEN = "0A"


def folders(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where a program with this environment puts what is not meant to last."""
    named = [
        environ.get("TMPDIR") or tempfile.gettempdir(),
        "/dev/shm",
        environ.get("XDG_RUNTIME_DIR") or "",
        environ.get("JUPYTER_RUNTIME_DIR") or jupyter_runtime_dir(),
    ]
    return [Path(name) for name in dict.fromkeys(named) if name]


def agent_of(rank_pid: int) -> int:
    """The process id of the agent that a living rank belongs to."""
    return int(psutil.Process(rank_pid).ppid())


class Leftovers:
    """What was there before a cluster, and what the cluster had while it lived.

    Attributes:
        environ: variables that mark every process started with them, recorded or not.
    """

    def __init__(self, watched: Iterable[Path] | None = None) -> None:
        self.environ = {_MARK: secrets.token_hex(8)}
        self._folders = folders() if watched is None else list(watched)
        self._files_before = self._all_files()
        self._processes: set[psutil.Process] = set()
        # Sockets and pipes, as /proc/PID/fd names them: "socket:[123]".
        self._descriptors: set[str] = set()

    @contextlib.contextmanager
    def marking(self) -> Iterator[None]:
        """Mark what this process itself starts meanwhile."""
        before = os.environ.get(_MARK)
        os.environ.update(self.environ)
        try:
            yield
        finally:
            del os.environ[_MARK]
            if before is not None:
                os.environ[_MARK] = before

    def record(self, *pids: int) -> None:
        """Remember these processes, all below them, and what connects them with each other and others."""
        for pid in pids:
            root = psutil.Process(pid)
            self._processes |= {root, *root.children(recursive=True)}
        own = {link for process in self._processes for link in _links(process.pid)}
        listening = _listening(own)
        far_ends = {link for link, row in _tcp().items() if row["remote"] in listening}
        self._descriptors |= own | far_ends

    def listening(self) -> dict[int, list[int]]:
        """The TCP ports on which each recorded process listens now."""
        found = {process.pid: _listening(_links(process.pid)) for process in self._processes}
        return {pid: sorted(map(_port, addresses)) for pid, addresses in found.items() if addresses}

    def now(self) -> Report:
        """What is still there, by kind; empty where nothing is."""
        report: Report = {
            "processes": sorted(_describe(process) for process in self._living()),
            "ports": [],
            "unix sockets": [],
            "pipes": [],
            "files": sorted(self._all_files() - self._files_before),
        }
        tcp, unix = _tcp(), _unix()
        for link, pids in sorted(_holders(self._descriptors).items()):
            kind = "ports" if link in tcp else "unix sockets" if link in unix else "pipes"
            row = tcp.get(link)
            what = f"{row['local']} {row['state']}" if row else unix.get(link) or link
            report[kind].append(f"{what}, held by {pids}")
        return {kind: found for kind, found in report.items() if found}

    def settle(self, timeout_s: float = SETTLED_S) -> tuple[float, Report]:
        """Wait until nothing is left; gives the seconds that it took, and what is left after `timeout_s`."""
        started_s = time.monotonic()
        # The processes are looked at more often than all the rest, which costs more.
        eventually(lambda: not self._living() and not self.now(), timeout_s)
        return time.monotonic() - started_s, self.now()

    def kill(self) -> None:
        """End what should have ended, so that one failed test does not disturb the next."""
        for process in self._living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _living(self) -> set[psutil.Process]:
        # An orphan that init has not reaped has ended; a child that its living parent left is a leftover.
        self._processes |= self._marked()
        found = {process for process in self._processes if process.is_running()}
        return {process for process in found if not _left_to_init(process)}

    def _marked(self) -> set[psutil.Process]:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self.environ[_MARK]:
                    found.add(process)
        return found

    def _all_files(self) -> set[str]:
        return {
            f"{where}/{name}"
            for folder in self._folders
            for where, below, names in os.walk(folder)
            for name in [*below, *names]
        }


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.status()}: {' '.join(process.cmdline())}"
    return f"{process.pid} just ended"


def _left_to_init(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.ppid() == 1
    except psutil.NoSuchProcess:
        return True


def _links(pid: int) -> set[str]:
    """The sockets and pipes that a process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(descriptor.readlink()))
    return {link for link in found if link.startswith(("socket:", "pipe:"))}


def _holders(wanted: set[str]) -> dict[str, list[int]]:
    """Which processes have these open, recorded or not."""
    found: dict[str, list[int]] = {}
    for pid in psutil.pids():
        for link in _links(pid) & wanted:
            found.setdefault(link, []).append(pid)
    return found


def _listening(links: set[str]) -> set[str]:
    """The addresses at which those of the sockets listen."""
    return {row["local"] for link, row in _tcp().items() if link in links and row["state"] == "LISTEN"}


def _tcp() -> dict[str, dict[str, str]]:
    """The machine's TCP sockets that some process holds, by their link."""
    found = {}
    for table in (_PROC / "net").glob("tcp*"):  # tcp, and tcp6 where the machine has it
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            state = "LISTEN" if words[3] == _LISTEN else "connected"
            row = {"local": _address(words[1]), "remote": _address(words[2]), "state": state}
            found[f"socket:[{words[9]}]"] = row
    # Number 0 are those that only wait for the other end's last packets; nobody holds them.
    found.pop("socket:[0]", None)
    return found


def _unix() -> dict[str, str]:
    """The machine's Unix sockets by their link: a path, or that they have none."""
    rows = [line.split(maxsplit=7) for line in (_PROC / "net" / "unix").read_text().splitlines()[1:]]
    return {f"socket:[{row[6]}]": row[7] if len(row) > 7 else f"without a path {row[6]}" for row in rows}


def _address(text: str) -> str:
    """`0100007F:1F90`, in the machine's byte order, as `127.0.0.1:8080`."""
    host, port = text.split(":")
    packed = b"".join(int(host[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(host), 8))
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, packed)}:{int(port, 16)}"


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
