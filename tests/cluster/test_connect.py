"""Coming and going: how many ranks, clusters beside each other, bad ports, and what stays behind."""

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import psutil
import pytest

from kernelkit import Cluster, connect
from kernelkit.cluster import bringup, joining
from kernelkit.errors import ArgumentError, ConnectError, RankLostError
from kernelkit.launch.command import Join, ring_joins
from kernelkit.outputs import render_cell

SUM = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"
GONE_S = 5.0


def values(result: Any) -> list[str | None]:
    return [result[rank].value_repr for rank in result]


def pids(cluster: Cluster) -> list[int]:
    return [*cluster._runner.members.agent.pids, *(rank.pid for rank in cluster.status().ranks)]


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """The test must not leave a process of ours behind, however its connect ends."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    after = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE
    ]
    assert after == []


# -- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, 10_000, True, "2", 2.0], ids=repr)
@pytest.mark.usefixtures("leaves_nothing")
def test_a_number_of_ranks_that_cannot_be_is_refused(count: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        connect(count)
    assert caught.value.expected.startswith("1 to ")
    assert caught.value.got == repr(count)


def test_one_rank_needs_no_group_and_no_label(start: Callable[[int], Cluster]) -> None:
    cluster = start(1)
    result = cluster.run("print('hello'); rank, world_size, group.size()")
    assert repr(result) == "(0, 1, 1)"
    assert [piece.text for piece in render_cell(result, 1)] == ["hello\n"]
    assert values(cluster.run(SUM)) == ["1"]
    assert repr(cluster) == "<Cluster: 1 rank, backend none, idle>"
    cluster.push(x=5)
    assert cluster["x"] == {0: 5}


def test_four_ranks(start: Callable[[int], Cluster]) -> None:
    cluster = start(4)
    assert values(cluster.run(SUM)) == ["10"] * 4
    assert repr(cluster.run("rank // 2")) == "[0-1] 0\n[2-3] 1"


def test_progress_is_reported() -> None:
    said: list[str] = []
    connect(1, report=said.append).stop()
    assert said == ["starting 1 rank", "forming the group"]


# -- beside each other ----------------------------------------------------------------------------


def test_two_clusters_do_not_touch_each_other(
    start: Callable[[int], Cluster], eventually: Callable[..., bool], gone: Callable[[int], bool]
) -> None:
    one, two = start(2), start(2)
    one.push(mine="one")
    two.push(mine="two")
    assert one["mine"] == {0: "one", 1: "one"}
    assert two["mine"] == {0: "two", 1: "two"}

    os.kill(one.status().ranks[0].pid, signal.SIGKILL)
    assert eventually(lambda: one.state.startswith("failed"))
    assert values(two.run(SUM)) == ["3", "3"]

    before = pids(two)
    one.stop()
    assert not any(map(gone, before))
    assert values(two.run(SUM)) == ["3", "3"]


# -- what stays behind ----------------------------------------------------------------------------


def test_stop_leaves_no_process(start: Callable[[int], Cluster], gone: Callable[[int], bool]) -> None:
    cluster = start(2)
    before = pids(cluster)
    cluster.stop()
    assert all(map(gone, before))


def test_a_cluster_that_nobody_holds_any_more_ends(
    eventually: Callable[..., bool], gone: Callable[[int], bool]
) -> None:
    cluster = connect(1)
    before = pids(cluster)
    del cluster
    gc.collect()
    assert eventually(lambda: all(map(gone, before)), GONE_S)


@pytest.mark.usefixtures("leaves_nothing")
def test_ctrl_c_while_connecting_leaves_nothing() -> None:
    def report(words: str) -> None:
        if words == "forming the group":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect(2, report=report)


_HOLDER = """
    import json, sys, threading, time
    import kernelkit
    code = sys.stdin.readline()
    cluster = kernelkit.connect(2)
    if code.strip():
        threading.Thread(target=cluster.run, args=(json.loads(code),), daemon=True).start()
        while "line 1" not in cluster.status().ranks[0].doing:
            time.sleep(0.01)
    pids = [*cluster._runner.members.agent.pids, *(rank.pid for rank in cluster.status().ranks)]
    print(json.dumps(pids), flush=True)
    sys.stdin.readline()
"""


def hold(code: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A program that holds a cluster and runs `code` on it; it ends at its next line of input."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLDER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(code) + "\n" if code else "\n")
    process.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(60), "no line in time"
    return process, json.loads(process.stdout.readline())


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import time; time.sleep(600)",
        "if rank == 0: mx.eval(mx.distributed.all_sum(mx.ones(1)))",
    ],
    ids=["idle", "in a cell", "in a collective"],
)
def test_sigkill_of_the_program_that_holds_a_cluster_ends_it(
    code: str, eventually: Callable[..., bool], gone: Callable[[int], bool]
) -> None:
    process, below = hold(code)
    with process:
        assert not any(map(gone, below))
        process.kill()
    assert eventually(lambda: all(map(gone, below)), GONE_S)


def test_a_program_that_ends_without_stop_leaves_nothing(
    eventually: Callable[..., bool], gone: Callable[[int], bool]
) -> None:
    process, below = hold("")
    _, _ = process.communicate("end\n", timeout=30)
    assert process.returncode == 0
    assert eventually(lambda: all(map(gone, below)), GONE_S)


# -- ports that are not free ----------------------------------------------------------------------


@pytest.fixture
def short_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank whose peer never comes holds a try up until its deadline; here that is a short one."""
    monkeypatch.setattr(joining, "JOIN_TIMEOUT_S", 6.0)


class Thief:
    """Takes the port of one rank with a socket that listens, in the first so many tries."""

    def __init__(self, rank: int, tries: int) -> None:
        self.rank = rank
        self.tries = tries
        self.sockets: list[socket.socket] = []

    def __call__(self, addresses: Sequence[Sequence[str]]) -> list[Join]:
        addresses = list(addresses)
        if len(self.sockets) < self.tries:
            taken = socket.create_server(("127.0.0.1", 0))
            self.sockets.append(taken)
            addresses[self.rank] = [f"127.0.0.1:{taken.getsockname()[1]}"]
        return ring_joins(addresses)

    def close(self) -> None:
        for taken in self.sockets:
            taken.close()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.usefixtures("short_joins")
def test_a_port_that_a_stranger_took_is_left_to_it(
    rank: int, monkeypatch: pytest.MonkeyPatch, gone: Callable[[int], bool]
) -> None:
    said: list[str] = []
    with closing(Thief(rank, tries=1)) as thief:
        monkeypatch.setattr(joining, "ring_joins", thief)
        cluster = connect(2, report=said.append)
        try:
            assert said.count("starting 2 ranks") >= 2
            assert values(cluster.run(SUM)) == ["3", "3"]
        finally:
            cluster.stop()


@pytest.mark.usefixtures("short_joins", "leaves_nothing")
def test_ports_that_are_never_free_end_in_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    before_s = time.monotonic()
    with closing(Thief(1, tries=100)) as thief:
        monkeypatch.setattr(joining, "ring_joins", thief)
        with pytest.raises(ConnectError) as caught:
            connect(2)
        assert len(thief.sockets) == 3
    assert time.monotonic() - before_s < 60
    assert caught.value.what


class Switchboard:
    """Wires two clusters that connect at the same time to each other, in the first try of each.

    Each ring then holds rank 0 of one cluster and rank 1 of the other: both form without an error.
    """

    def __init__(self) -> None:
        self._both_here = threading.Barrier(2, timeout=60)
        self._addresses: dict[int, list[Sequence[str]]] = {}
        self.crossed = 0

    def __call__(self, addresses: Sequence[Sequence[str]]) -> list[Join]:
        me = threading.get_ident()
        if me in self._addresses:
            return ring_joins(addresses)
        self._addresses[me] = list(addresses)
        self._both_here.wait()
        (other,) = [theirs for ident, theirs in self._addresses.items() if ident != me]
        mine = self._addresses[me]
        self.crossed += 1
        return [ring_joins([mine[0], other[1]])[0], ring_joins([other[0], mine[1]])[1]]


@pytest.mark.usefixtures("short_joins")
def test_rings_that_were_wired_across_two_clusters_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX forms them and sums wrong numbers without an error; the nonce gives them away."""
    board = Switchboard()
    monkeypatch.setattr(joining, "ring_joins", board)
    clusters: list[Cluster] = []
    said: list[str] = []

    def bring_one() -> None:
        clusters.append(connect(2, report=said.append))

    threads = [threading.Thread(target=bring_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert board.crossed == 2
        assert len(clusters) == 2
        assert said.count("the group did not form; trying with new ranks and ports") >= 2
        for number, cluster in enumerate(clusters):
            cluster.push(number=number)
            gathered = "mx.distributed.all_gather(mx.array([number, rank])).tolist()"
            assert values(cluster.run(gathered)) == [f"[{number}, 0, {number}, 1]"] * 2
    finally:
        for cluster in clusters:
            cluster.stop()


# -- ranks that do not start ----------------------------------------------------------------------


@pytest.mark.usefixtures("leaves_nothing")
def test_a_rank_that_cannot_start_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Every rank reads this environment; the agent, which is a plain Python, does as well."""
    (tmp_path / "ipykernel.py").write_text("raise ImportError('this ipykernel is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RankLostError) as caught:
        connect(2)
    assert "its process ended (exit status 1)" in caught.value.what
    assert "this ipykernel is broken" in caught.value.got


@pytest.mark.usefixtures("leaves_nothing")
def test_ranks_that_take_too_long_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "ipykernel.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bringup, "START_TIMEOUT_S", 1.0)
    with pytest.raises(ConnectError, match=r"ranks \[0, 1\] did not start within 1 s"):
        connect(2)


def test_with_stops_the_cluster() -> None:
    with connect(1) as cluster:
        assert cluster.state == "idle"
    assert cluster.state == "stopped"
