"""Network namespaces: names that say whose they are, and a way in and out for a thread."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "kklab"
FOLDER = Path("/run/netns")  # Where `ip netns` keeps them.

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def owned_prefix() -> str:
    """What the names of this process's laboratories begin with: it says who may still need them."""
    return f"{PREFIX}.{os.getpid()}.{_started(os.getpid())}."


def is_orphan(name: str) -> bool:
    """Whether a name is of a laboratory whose process has ended."""
    prefix, pid, started, *_ = [*name.split("."), "", ""]
    if prefix != PREFIX or not pid.isdecimal() or not started.isdecimal():
        return False  # Not ours to judge.
    return _started(int(pid)) != started


def processes_in(names: Iterable[str]) -> list[int]:
    """The processes in any of these namespaces, but for this one."""
    wanted = {_identity(FOLDER / name) for name in names if (FOLDER / name).exists()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            its = _identity(entry / "ns/net")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It has ended meanwhile, or is the system's, which shows its namespaces to nobody.
        if its in wanted:
            found.append(int(entry.name))
    return found


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Put the calling thread into a namespace, and with it what it starts: threads, processes, sockets.

    Other threads stay where they are. `/sys/class/net` goes on to show the namespace left behind.
    """
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(FOLDER / name, os.O_RDONLY)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(here)
    finally:
        os.close(here)


def _identity(path: Path) -> tuple[int, int]:
    """Two paths lead to one namespace if this is equal."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _setns(fd: int) -> None:
    # Python has os.setns from 3.12 only.
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")


def _started(pid: int) -> str:
    """When a process started, in clock ticks: a pid alone may by now be another's. Empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()  # The name in brackets may hold spaces.
    return "" if state in ("Z", "X") else fields[18]
