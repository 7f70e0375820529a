"""However a cluster on several hosts ends, a few seconds later nothing of it is there on any of them."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernelkit import connect
from kernelkit.launch.tunnel import Sockets
from tests.hosts.clusters import left, present, processes, short_lease, socket_folders
from tests.hosts.conftest import Start
from tests.hosts.lab import Lab
from tests.waiting import eventually, gone

GONE_S = 5.0
LEASE_S = 2.0

# A notebook: holds a cluster, runs a cell on it if there is one, and ends with its input.
HOLDER = """
import json, sys, threading, time
import kernelkit
from kernelkit.launch import agents, ssh
task = json.loads(sys.stdin.readline())
if task["lease_s"]:
    agents._BEAT_S = task["lease_s"] / 8
    ssh.OPTIONS = ("-o", "ServerAliveInterval=1", *ssh.OPTIONS)  # the first one counts
cluster = kernelkit.connect(hostfile=task["hostfile"])
if task["cell"]:
    threading.Thread(target=cluster.run, args=(task["cell"],), daemon=True).start()
    while "line 1" not in cluster.status().ranks[0].doing:
        time.sleep(0.01)
print("holds it", flush=True)
sys.stdin.readline()
"""

CELLS = {
    "idle": "",
    "in a collective": "if rank == 0: mx.eval(mx.distributed.all_sum(mx.ones(1)))",
}


@dataclass(frozen=True)
class Notebook:
    """A process of its own on the controller, and what runs there and on the hosts because of it."""

    process: subprocess.Popen[str]
    below: list[int]


@contextmanager
def notebook(lab: Lab, path: Path, cell: str = "", lease_s: float = 0.0) -> Iterator[Notebook]:
    before = present(lab)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdin
            assert process.stdout
            task = {"hostfile": str(path), "cell": cell, "lease_s": lease_s}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(60), "no line in time"
            assert process.stdout.readline() == "holds it\n"
            below = [int(name) for name in present(lab) if name.isdecimal() and name not in before]
            yield Notebook(process, [pid for pid in below if pid != process.pid])
        finally:
            process.kill()


@pytest.fixture
def hostfile(inside: Lab, tmp_path: Path) -> Path:
    path = tmp_path / "two.json"
    path.write_text(inside.hostfile(hosts=[0, 1]))
    return path


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_sigkill_of_a_notebook_ends_all_hosts(cell: str, inside: Lab, hostfile: Path) -> None:
    with notebook(inside, hostfile, cell) as killed:
        assert len(killed.below) >= 2 * 3  # ssh, agent and rank of each
        os.kill(killed.process.pid, signal.SIGKILL)
        assert eventually(lambda: all(map(gone, killed.below)), GONE_S)
    (folder,) = socket_folders(killed.process.pid)  # what a killed one cannot remove, the next one does
    Sockets().close()
    assert not folder.exists()


def test_sigkill_while_the_network_is_cut_ends_all_hosts_with_their_lease(
    inside: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "leased.json"
    path.write_text(inside.hostfile(hosts=[0, 1], python=short_lease(tmp_path, LEASE_S)))
    with notebook(inside, path, "import time; time.sleep(600)", lease_s=LEASE_S) as killed:
        on_hosts = list(processes(inside, [0, 1]))
        assert len(on_hosts) == 4
        inside.cut(0)
        inside.cut(1)
        os.kill(killed.process.pid, signal.SIGKILL)
        assert eventually(lambda: all(map(gone, on_hosts)), LEASE_S + GONE_S)


def test_a_lease_lasts_as_long_as_the_notebook(inside: Lab, tmp_path: Path) -> None:
    path = tmp_path / "leased.json"
    path.write_text(inside.hostfile(hosts=[0], python=short_lease(tmp_path, 0.8)))
    with notebook(inside, path, lease_s=0.8) as alive:
        assert not eventually(lambda: any(map(gone, alive.below)), 2.0)


def test_a_program_that_ends_without_stop_leaves_nothing(inside: Lab, hostfile: Path) -> None:
    with notebook(inside, hostfile) as ended:
        ended.process.communicate("end\n", timeout=30)
        assert ended.process.returncode == 0
        assert eventually(lambda: all(map(gone, ended.below)), GONE_S)
        assert socket_folders(ended.process.pid) == []


def test_stop_leaves_nothing(inside: Lab, start: Start) -> None:
    files = set(Path("/tmp").iterdir())
    cluster = start(0, 1)
    assert len(processes(inside, [0])) >= 2
    assert socket_folders()
    cluster.stop()
    assert socket_folders() == []
    assert left(inside, timeout_s=1.0) == {}
    assert {path for path in set(Path("/tmp").iterdir()) - files if path.name.startswith("kk-")} == set()


def test_a_cluster_that_nobody_holds_any_more_ends(inside: Lab, hostfile: Path) -> None:
    cluster = connect(hostfile=hostfile)
    assert left(inside, timeout_s=0.0)
    del cluster
    gc.collect()
    assert left(inside) == {}
