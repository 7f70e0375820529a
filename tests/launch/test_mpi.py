"""MPI: mpirun starts the ranks, the agent gets them, and nothing of either stays behind."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelkit import Cluster, connect
from kernelkit.cluster import bringup
from kernelkit.errors import ConnectError, HostError, RankLostError
from kernelkit.launch.agents import Agents
from kernelkit.launch.shim import door_path
from kernelkit.rank.convey import CHUNK_BYTES
from tests.cluster.conftest import without_pytests_mark
from tests.cluster.twohosts import TwoHosts
from tests.rank import tiny
from tests.waiting import eventually, gone

needs_mpirun = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="no mpirun (Debian: openmpi-bin, macOS: brew install open-mpi)"
)

SUM = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"
GONE_S = 8.0
# Open MPI's own end after a rank's: seen once to take longer than that, on a busy machine.
MPIRUN_GONE_S = 25.0
AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")


@pytest.fixture(autouse=True)
def may_run_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open MPI refuses root without these two; to others they mean nothing."""
    for name in AS_ROOT:
        monkeypatch.setenv(name, "1")


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """No process of ours (mpirun's are in sessions of their own), and no folder of a door."""
    before, folders = _processes(), _folders()
    yield
    gc.collect()
    assert eventually(lambda: _processes() <= before, MPIRUN_GONE_S), [
        psutil.Process(pid).cmdline() for pid in _processes() - before if psutil.pid_exists(pid)
    ]
    assert eventually(lambda: _folders() <= folders, GONE_S), _folders() - folders


def _processes() -> set[int]:
    """Everybody's that look like ours, for who has lost its parent is no child of this process any more."""
    found = set()
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        marked = (process.info["environ"] or {}).get("KERNELKIT_TEST_MPI") == str(os.getpid())
        if marked and process.info["pid"] != os.getpid() and not gone(process.info["pid"]):
            found.add(process.info["pid"])
    return found


def _folders() -> set[str]:
    return {str(path) for path in Path("/tmp").glob("kk-mpi-*")}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cluster]]:
    """Start clusters over MPI; they are stopped at the end of the test."""
    monkeypatch.setenv("KERNELKIT_TEST_MPI", str(os.getpid()))
    started: list[Cluster] = []

    def start(world_size: int = 2) -> Cluster:
        with without_pytests_mark():
            started.append(connect(world_size, backend="mpi"))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


def pids(cluster: Cluster) -> list[int]:
    return [*cluster._runner.members.agent.pids, *(rank.pid for rank in cluster.status().ranks)]


def mpirun_of(cluster: Cluster) -> int:
    agent = psutil.Process(cluster._runner.members.agent.pids[0])
    (found,) = [child.pid for child in agent.children() if "mpirun" in " ".join(child.cmdline())]
    return found


def values(cluster: Cluster, code: str = SUM) -> list[str | None]:
    return [output.value_repr for output in cluster.run(code).values()]


@needs_mpirun
def test_ranks_that_mpirun_started_work_as_any_other_and_stop_leaves_nothing(
    start: Callable[..., Cluster],
) -> None:
    cluster = start()
    assert cluster.backend == "mpi"
    assert values(cluster) == ["3", "3"]
    assert values(cluster, "rank, group.rank()") == ["(0, 0)", "(1, 1)"]
    result = cluster.run("import sys; print('out', rank); print('err', file=sys.stderr)")
    assert [result[rank].stdout for rank in (0, 1)] == ["out 0\n", "out 1\n"]
    assert [result[rank].stderr for rank in (0, 1)] == ["err\n", "err\n"]
    assert values(cluster, "import os; os.read(0, 1)") == ["b''", "b''"], "standard input is nobody's"
    below = [*pids(cluster), mpirun_of(cluster)]
    parents = {psutil.Process(rank.pid).ppid() for rank in cluster.status().ranks}
    assert parents == {mpirun_of(cluster)}
    assert _folders()
    cluster.stop()
    assert all(map(gone, below))


@needs_mpirun
def test_a_model_is_pushed_by_sums_and_loads(
    start: Callable[..., Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KERNELKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    both = TwoHosts.of(start(), [tmp_path / "a", tmp_path / "b"])
    folder = tiny.build(tmp_path / "a" / "models" / "m")
    (folder / "more.txt").write_bytes(os.urandom(2 * CHUNK_BYTES + 5))
    pushed = both.push()
    arrived = Path(pushed.folders["b"])
    assert arrived == tmp_path / "b" / "models" / "m"
    assert {p.name: p.read_bytes() for p in arrived.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }
    assert len(both.load().generate("Hello", max_tokens=4).tokens) == 4


@needs_mpirun
def test_a_killed_rank_is_told_in_time_and_recover_makes_a_cluster_that_works(
    start: Callable[..., Cluster],
) -> None:
    """mpirun ends the others as well, within a second or so, and what was not fetched until then is lost."""
    cluster = start()
    cluster.run("kept = rank + 10")
    survivor, victim = (rank.pid for rank in cluster.status().ranks)
    before_s = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(RankLostError) as caught:
        cluster.run("import time; time.sleep(30)")
    assert time.monotonic() - before_s < 5
    assert "mpirun keeps its exit status" in caught.value.what
    recovery = cluster.recover()
    assert set(recovery.carried) == {0, 1}
    assert recovery.carried[1] == []
    assert "kept" in recovery.carried[0] or recovery.left[0]
    assert eventually(lambda: gone(survivor), GONE_S)
    assert (cluster.backend, values(cluster)) == ("mpi", ["3", "3"])


@needs_mpirun
def test_sigkill_of_mpirun_ends_the_ranks_and_is_told(start: Callable[..., Cluster]) -> None:
    cluster = start()
    below = pids(cluster)[1:]
    mpirun = mpirun_of(cluster)
    # What Open MPI itself then leaves behind is not ours to mend, but the test's to clear away.
    segments = set()
    if sys.platform == "linux":
        maps = [found for pid in below for found in psutil.Process(pid).memory_maps()]
        segments = {found.path for found in maps if "/dev/shm/" in found.path}
    os.kill(mpirun, signal.SIGKILL)
    assert eventually(lambda: cluster.state.startswith("failed"), GONE_S)
    assert eventually(lambda: all(map(gone, below)), GONE_S)
    for path in segments:
        Path(path).unlink(missing_ok=True)
    for folder in Path("/tmp").glob(f"ompi.*/pid.{mpirun}"):
        shutil.rmtree(folder)


@needs_mpirun
def test_sigkill_of_the_agent_leaves_nothing(start: Callable[..., Cluster]) -> None:
    """No process, and no folder: the agent cannot remove it any more."""
    cluster = start()
    below = [*pids(cluster), mpirun_of(cluster)]
    os.kill(below[0], signal.SIGKILL)
    assert eventually(lambda: all(map(gone, below)), GONE_S)
    cluster.stop()


@needs_mpirun
def test_the_end_of_the_program_that_holds_the_cluster_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERNELKIT_TEST_MPI", str(os.getpid()))
    program = "import kernelkit as kk; c = kk.connect(2, backend='mpi'); print('up', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdin
    with process:
        assert process.stdout.readline() == b"up\n"
        process.kill()


@needs_mpirun
@pytest.mark.skipif(os.geteuid() != 0, reason="Open MPI refuses root alone")
def test_mpirun_that_refuses_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELKIT_TEST_MPI", str(os.getpid()))
    for name in AS_ROOT:
        monkeypatch.delenv(name)
    before_s = time.monotonic()
    with pytest.raises(ConnectError, match=r"mpirun ended \(exit status 1\)") as caught:
        connect(2, backend="mpi")
    assert time.monotonic() - before_s < 10
    assert "OMPI_ALLOW_RUN_AS_ROOT" in caught.value.got


@needs_mpirun
def test_mpirun_that_cannot_start_the_ranks_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERNELKIT_TEST_MPI", str(os.getpid()))
    monkeypatch.setenv("OMPI_MCA_btl", "no-such-thing,self")
    monkeypatch.setenv("OMPI_MCA_ras", "no-such-thing")
    with pytest.raises(ConnectError) as caught:
        connect(2, backend="mpi")
    assert "no-such-thing" in str(caught.value)


def test_without_mpirun_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    with pytest.raises(HostError, match="the hosts cannot do mpi: no mpirun on ") as caught:
        connect(2, backend="mpi", report=said.append)
    assert "openmpi-bin" in caught.value.what
    assert not any("starting" in words for words in said)


@needs_mpirun
def test_ranks_of_this_machine_by_two_names_form_one_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERNELKIT_TEST_MPI", str(os.getpid()))
    monkeypatch.setattr(bringup, "START_TIMEOUT_S", 8.0)
    hostfile = tmp_path / "h.json"
    hostfile.write_text('{"backend": "mpi", "hosts": [{"ssh": "127.0.0.1"}, {"ssh": "localhost"}]}')
    cluster = connect(hostfile=hostfile)
    try:
        assert values(cluster) == ["3", "3"]
    finally:
        cluster.stop()


@pytest.fixture
def door() -> Iterator[tuple[str, socket.socket]]:
    """A token, and the door that a stand-in with it asks at."""
    token = f"test{os.getpid()}"
    path = Path(door_path(token))
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        yield token, listener
    shutil.rmtree(path.parent)


def test_a_stand_in_that_gets_no_answer_ends(door: tuple[str, socket.socket]) -> None:
    """The agent turns it away, or has died: it must not turn in a circle for ever."""
    token, listener = door
    env = {**os.environ, "OMPI_COMM_WORLD_RANK": "5"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kernelkit.launch.shim", token], env=env, stderr=subprocess.PIPE
    )
    try:
        connection, _ = listener.accept()
        with connection:
            assert b'"rank": 5' in connection.recv(1000)
        assert process.wait(5.0) != 0
    finally:
        process.kill()
        process.communicate()


def test_ranks_of_a_host_that_do_not_stand_together_keep_their_place() -> None:
    """mpirun fills one host after the other: with `slots` alone it would give rank 1 to the first."""
    sent: dict[str, dict[str, Any]] = {}
    agents = Agents(["127.0.0.1"])
    try:
        one = agents._handles["127.0.0.1"]

        class Noted:
            def __init__(self, host: str) -> None:
                self.host, self.remote, self.alive = host, True, True
                self.ranks: set[int] = set()

            def bear(self, **_: Any) -> None:
                """What it has is of no matter here."""

            def send(self, request: dict[str, Any]) -> None:
                sent[self.host] = request

        agents._handles = {"a": Noted("a"), "b": Noted("b")}  # type: ignore[dict-item]
        specs = [{"rank": rank, "env": {}, "usual": {}, "boot": {}} for rank in range(4)]
        agents.start(specs, ["a", "b", "a", "b"], mpi=True)
        agents._handles = {"127.0.0.1": one}
    finally:
        agents.stop()
    run = sent["a"]["mpi"]["run"]
    # Name and Python by rank; numbers of slots by name would let mpirun fill one host before the next.
    assert not isinstance(run, dict)
    assert [name for name, *_ in run] == ["localhost", "b", "localhost", "b"], "mpirun runs on the first host"
