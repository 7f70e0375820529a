"""Clusters on the laboratory's hosts: what they run there, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from kernelkit import Cluster
from kernelkit.cluster.result import Result
from kernelkit.launch.handle import Handle
from tests.hosts.lab import Lab
from tests.hosts.lab.namespaces import processes_in
from tests.waiting import eventually

SUM = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"
SETTLED_S = 8.0

# An agent that leaves after a silence of so many seconds; its ranks run by the Python that they always do.
_SHORT_LEASE = """\
#!/bin/sh
shift 2
exec {python} -c 'import kernelkit.launch.command as command
command.LEASE_S = {lease_s}
from kernelkit.launch.agent import main
main()' "$@"
"""


def values(result: Result) -> list[str | None]:
    """What the cell's last line was on each rank."""
    return [result[rank].value_repr for rank in result]


def hostfile_of(addresses: dict[str, Sequence[str]]) -> str:
    """A hostfile of these hosts, each with its addresses."""
    return json.dumps([{"ssh": name, "ips": list(ips)} for name, ips in addresses.items()])


def handle_of(cluster: Cluster, host: str) -> Handle:
    """The notebook's end of a host's agent."""
    return cluster._runner.members.agent._handles[host]


def rank_pid(cluster: Cluster, rank: int) -> int:
    """The hosts share the machine's processes, so a rank can be looked at and killed from here."""
    return cluster.status().ranks[rank].pid


def agent_pid(cluster: Cluster, rank: int) -> int:
    """The agent on a rank's host."""
    return psutil.Process(rank_pid(cluster, rank)).ppid()


def short_lease(folder: Path, lease_s: float) -> str:
    """A Python that runs agents with another lease."""
    path = folder / "python-with-a-short-lease"
    path.write_text(_SHORT_LEASE.format(python=sys.executable, lease_s=lease_s))
    path.chmod(0o700)
    return str(path)


def processes(lab: Lab, hosts: Sequence[int] | None = None) -> dict[int, str]:
    """What runs on hosts, but for sshd, and with all of them on the controller: command lines by pid."""
    names = ["controller", *lab.names] if hosts is None else [lab.names[i] for i in hosts]
    found = {}
    for pid in processes_in([f"{lab.folder.name}.{name}" for name in names]):
        try:
            process = psutil.Process(pid)
            words = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and "sshd" not in words.split("/")[0]:
                found[pid] = words
        except psutil.NoSuchProcess:
            continue  # it has ended meanwhile
    return found


def socket_folders(pid: int | None = None) -> list[Path]:
    """The folders of forwarded sockets that a process has made; by default this one."""
    return list(Path(tempfile.gettempdir()).glob(f"kk-{pid or os.getpid()}-*"))


def present(lab: Lab) -> dict[str, str]:
    """Processes and folders of clusters, with what is known of them."""
    folders = {str(folder): "a folder of sockets" for folder in socket_folders()}
    return {str(pid): words for pid, words in processes(lab).items()} | folders


def left(lab: Lab, before: Mapping[str, str] | None = None, timeout_s: float = SETTLED_S) -> dict[str, str]:
    """What is present after a while and was not before; empty where nothing is."""

    def now() -> dict[str, str]:
        return {name: what for name, what in present(lab).items() if name not in (before or {})}

    eventually(lambda: not now(), timeout_s)
    return now()


def end(names: Iterable[str]) -> None:
    """Kill the processes among what is left."""
    for name in names:
        if name.isdecimal():
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(int(name)).kill()
