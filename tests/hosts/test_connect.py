"""Ranks on four hosts: every way to name them, what they can do, and what others can see of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kernelkit import Cluster, connect
from kernelkit.channel.connection import Keys
from kernelkit.cluster.site import VARIABLE
from kernelkit.errors import CellInterruptedError, RankError
from tests.cluster.conftest import without_pytests_mark
from tests.hosts.clusters import (
    SUM,
    agent_pid,
    hostfile_of,
    processes,
    rank_pid,
    socket_folders,
    values,
)
from tests.hosts.conftest import Start
from tests.hosts.lab import Lab
from tests.magics.conftest import Notebook
from tests.rank import tiny
from tests.waiting import eventually

# -- how hosts are named --------------------------------------------------------------------------


def test_four_hosts_of_a_hostfile_in_its_order(start: Start) -> None:
    said: list[str] = []
    cluster = start(2, 0, 3, 1, report=said.append)
    assert said == ["reaching kk2, kk0, kk3, kk1", "starting 4 ranks on 4 hosts", "forming the group"]
    assert values(cluster.run(SUM)) == ["10"] * 4
    names = ["kk2", "kk0", "kk3", "kk1"]
    assert values(cluster.run("__import__('socket').gethostname()")) == [repr(name) for name in names]
    assert [rank.host for rank in cluster.status().ranks] == names
    assert (cluster.backend, cluster.why, cluster.notes) == ("ring", "the hostfile says so", [])


def test_hosts_without_addresses(start: Start) -> None:
    cluster = start(hosts="kk0,kk1")
    assert values(cluster.run(SUM)) == ["3", "3"]
    assert cluster.backend == "ring"


def test_a_hostfile_is_found_in_the_folder_and_by_its_variable(
    inside: Lab, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(inside.hostfile(hosts=[3]))
    monkeypatch.setenv(VARIABLE, str(elsewhere))
    monkeypatch.chdir(tmp_path)
    assert start().site.by_rank == ["kk3"]
    (tmp_path / "hosts.json").write_text(inside.hostfile(hosts=[1]))  # counts before the variable
    cluster = start()
    assert cluster.site.by_rank == ["kk1"]
    assert cluster.status().ranks[0].host == "kk1"


def test_two_ranks_on_each_host(start: Start) -> None:
    cluster = start(0, 1, ranks_per_host=2)
    assert [rank.host for rank in cluster.status().ranks] == ["kk0", "kk0", "kk1", "kk1"]
    assert values(cluster.run(SUM)) == ["10"] * 4
    assert agent_pid(cluster, 0) == agent_pid(cluster, 1) != agent_pid(cluster, 2)


def test_this_machine_beside_another(inside: Lab, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "mixed.json"
    path.write_text(hostfile_of({"127.0.0.1": [inside.controller], "kk1": [inside.addresses[1]]}))
    cluster = start(hostfile=path)
    assert values(cluster.run(SUM)) == ["3", "3"]
    assert [rank.host for rank in cluster.status().ranks] == [socket.gethostname(), "kk1"]
    assert psutil.Process(agent_pid(cluster, 0)).ppid() == os.getpid()


def test_several_addresses_of_a_host(inside: Lab, start: Start, tmp_path: Path) -> None:
    first, second = ([end, inside.addresses[i]] for i, end in enumerate(inside.cable(0, 1)))
    path = tmp_path / "cabled.json"
    path.write_text(hostfile_of({"kk0": first, "kk1": second}))
    cluster = start(hostfile=path)
    assert values(cluster.run("int(mx.distributed.all_sum(mx.ones(100_000)).sum().item())")) == ["200000"] * 2
    assert {local for local, _ in connections(inside, 0)} >= set(first)
    assert {local for local, _ in connections(inside, 1)} >= set(second)


def test_another_python(inside: Lab, start: Start) -> None:
    paths = f"[path for path in __import__('sys').path if path.startswith({str(inside.folder)!r})] != []"
    cluster = start(hosts=["kk0", "kk1"], python=inside.other_python(marker="1"))
    assert values(cluster.run(paths)) == ["True", "True"]
    cluster = start(0, 1, pythons={1: inside.other_python(marker="1")})
    assert values(cluster.run(paths)) == ["False", "True"]


# -- the magics -----------------------------------------------------------------------------------


@pytest.fixture
def notebook(inside: Lab) -> Iterator[Notebook]:
    notebook = Notebook()
    assert notebook.run("%load_ext kernelkit").error is None
    yield notebook
    notebook.run("%cluster stop")
    notebook.run("%unload_ext kernelkit")


def test_a_notebook(inside: Lab, notebook: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(inside.hostfile(hosts=[0, 1, 2, 3]))
    ran = notebook.run(f"%cluster connect --hostfile {path}")
    assert ran.error is None
    said = f"4 ranks on kk0, kk1, kk2, kk3 ({path}), backend ring: the hostfile says so"
    assert said in ran.stdout + ran.displayed
    ran = notebook.run(f"%%sharded\nprint('here is', rank)\n{SUM}")
    assert ran.error is None
    shown = ran.stdout + ran.displayed
    assert re.findall(r"here is (\d)", shown) == ["0", "1", "2", "3"]
    assert "[0-3] 10" in shown
    assert "kk3" in notebook.run("%cluster status").stdout
    ran = notebook.run("%%sharded --ranks 1\nfrom IPython.display import HTML\nHTML('<b>rich</b>')")
    assert any("<b>rich</b>" in output.data.get("text/html", "") for output in ran.displays)
    assert "ZeroDivisionError" in notebook.show_error("%%sharded\n1 / (rank - 2)")
    assert notebook.run("%cluster restart").error is None
    assert notebook.run("%cluster stop").error is None


# -- what they can do -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> list[Keys]:
    """The keys of the shared cluster."""
    return []


@pytest.fixture(scope="module")
def cluster(lab: Lab, made: list[Keys]) -> Iterator[Cluster]:
    """A rank on each of two hosts; none of the tests that share it may leave it unusable."""

    def note(make: Callable[[], Keys] = Keys.new) -> Keys:
        made.append(make())
        return made[-1]

    with lab.inside(), pytest.MonkeyPatch.context() as patch, without_pytests_mark():
        patch.setattr("kernelkit.cluster.bringup.Keys.new", note)
        cluster = connect(hosts="kk0,kk1")
    yield cluster
    cluster.stop()


def test_output_comes_while_a_cell_runs(cluster: Cluster, tmp_path: Path) -> None:
    note = tmp_path / "seen"
    wait = f"while not __import__('pathlib').Path({str(note)!r}).exists(): pass"

    def look(outputs: Any, *_: Any) -> None:
        if all("first" in repr(output) for output in outputs.values()):
            note.touch()

    result = cluster.run(f"print('first')\n{wait}\nprint('then')", on_turn=look, timeout_s=20)
    assert [result[rank].stdout for rank in (0, 1)] == ["first\nthen\n"] * 2


def test_values_come_and_go(cluster: Cluster) -> None:
    array = np.arange(300_000, dtype=np.float32).reshape(3, -1)
    cluster.push(array=array, text="Grüße", nested={"list": [1, None, 2.5]})
    cluster.run("array = array + rank")
    pulled = cluster["array"]
    assert [np.array_equal(pulled[rank], array + rank) for rank in (0, 1)] == [True, True]
    assert cluster["nested"] == {rank: {"list": [1, None, 2.5]} for rank in (0, 1)}
    assert cluster["text"] == dict.fromkeys((0, 1), "Grüße")


def test_an_error_on_one_rank_leaves_the_cluster_usable(cluster: Cluster) -> None:
    with pytest.raises(RankError, match="rank 1 raised ZeroDivisionError"):
        cluster.run("1 / (1 - rank)")
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_interrupt_leaves_the_cluster_usable(cluster: Cluster) -> None:
    def stop(outputs: Any, running: Any, places: Any) -> None:
        if places:
            cluster.interrupt()

    with pytest.raises(CellInterruptedError):
        cluster.run("import time; time.sleep(60)", on_turn=stop)
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_status_answers_beside_a_cell(cluster: Cluster, tmp_path: Path) -> None:
    note = tmp_path / "seen"
    code = f"here = 1\nwhile not __import__('pathlib').Path({str(note)!r}).exists(): pass"
    thread = threading.Thread(target=cluster.run, args=(code,))
    thread.start()
    try:
        assert eventually(lambda: all("line 2" in rank.doing for rank in cluster.status().ranks))
    finally:
        note.touch()
        thread.join()


def test_a_figure(cluster: Cluster) -> None:
    pytest.importorskip("matplotlib")
    result = cluster.run("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])\nplt.show()", ranks=[1])
    assert any("image/png" in display.data for display in result[1].displays)


def test_a_model_cut_over_two_hosts_says_what_one_process_says(cluster: Cluster, tmp_path: Path) -> None:
    path = str(tiny.build(tmp_path / "model", "llama"))
    with connect(1) as alone:
        wanted = alone.load(path).generate("Over two hosts", max_tokens=12)
    answer = cluster.load(path, strategy="tensor").generate("Over two hosts", max_tokens=12)
    assert answer.text == wanted.text
    assert answer.tokens == wanted.tokens


# -- what others can see --------------------------------------------------------------------------


def connections(lab: Lab, host: int, *options: str) -> list[tuple[str, str]]:
    """Local and remote address of the TCP connections inside a host, by default without their ports."""
    rows = [row.split() for row in lab.run(host, ["ss", "-tnH", *options]).stdout.splitlines()]
    return [(row[3].rpartition(":")[0], row[4].rpartition(":")[0]) for row in rows]


def listening(lab: Lab, host: int) -> set[tuple[str, int]]:
    rows = [row.split()[3].rpartition(":") for row in lab.run(host, ["ss", "-tlnH"]).stdout.splitlines()]
    return {(address, int(port)) for address, _, port in rows}


@pytest.mark.usefixtures("cluster")
def test_only_mlx_is_reached_from_other_hosts(lab: Lab) -> None:
    """The notebook's way in listens on the host's own 127.0.0.1; sshd is the one door that it uses."""
    for host in (0, 1):
        found = listening(lab, host)
        ways_in = {port for address, port in found if address == "127.0.0.1"}
        assert {port for address, port in found if address != "127.0.0.1"} == {22}
        assert len(ways_in) >= 5
        for port in ways_in:
            with lab.at(1 - host), pytest.raises(ConnectionRefusedError):
                socket.create_connection((lab.addresses[host], port), 2.0)
        outward = {remote for local, remote in connections(lab, host) if local != "127.0.0.1"}
        assert outward == {lab.addresses[1 - host], lab.controller}


@pytest.mark.usefixtures("cluster")
def test_nothing_secret_is_in_arguments_or_environments(lab: Lab, made: list[Keys]) -> None:
    (keys,) = made
    secrets = [word.encode() for word in keys.to_dict().values()]
    pids = [os.getpid(), *processes(lab)]
    told = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in pids for name in ("cmdline", "environ")]
    assert sum(b"kernelkit.rank" in text for text in told) == 2
    assert sum(b"kernelkit.launch.agent" in text for text in told) == 4  # with the ssh to each
    assert not any(secret in text for secret in secrets for text in told)


@pytest.mark.usefixtures("cluster")
def test_the_forwarded_sockets_are_this_users_alone() -> None:
    (folder,) = socket_folders()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.iterdir())) == 2 + 2 * 5
    assert all(stat.S_ISSOCK(path.stat().st_mode) for path in folder.iterdir())


# -- new ranks ------------------------------------------------------------------------------------


def test_restart_brings_empty_ranks(start: Start) -> None:
    cluster = start(0, 1)
    folders = len(socket_folders())
    cluster.push(x=1)
    before = [rank_pid(cluster, rank) for rank in (0, 1)]
    cluster.restart()
    assert values(cluster.run("'x' in globals()")) == ["False", "False"]
    assert not set(before) & {rank_pid(cluster, rank) for rank in (0, 1)}
    assert len(socket_folders()) == folders


def test_recover_brings_back_the_variables_of_the_other_hosts(start: Start) -> None:
    cluster = start(0, 1, 2)
    cluster.run("mine = mx.full((3,), rank)")
    os.kill(rank_pid(cluster, 1), signal.SIGKILL)
    assert eventually(lambda: cluster.state.startswith("failed"))
    recovery = cluster.recover()
    assert {rank: "mine" in names for rank, names in recovery.carried.items()} == {0: True, 1: False, 2: True}
    assert values(cluster.run("mine.tolist() if rank != 1 else 'mine' in globals()")) == [
        "[0, 0, 0]", "False", "[2, 2, 2]",
    ]  # fmt: skip
    assert values(cluster.run(SUM)) == ["6"] * 3
    assert json.dumps(recovery.to_dict())
