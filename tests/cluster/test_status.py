"""Status: it answers whatever the ranks are doing, and is plain data."""

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kernelkit import Cluster, ClusterStatus
from kernelkit.cluster import RankStatus
from kernelkit.errors import KernelkitError


def test_idle_ranks(cluster: Cluster) -> None:
    status = cluster.status()
    assert (status.state, status.backend) == ("idle", "ring")
    assert [rank.rank for rank in status.ranks] == [0, 1]
    for rank in status.ranks:
        assert rank.doing == "idle"
        assert psutil.pid_exists(rank.pid)
        assert rank.pid != os.getpid()
        assert rank.device
        assert rank.blas
        assert re.match(r"\d+\.\d+", rank.mlx)
        assert rank.memory_bytes is not None
        assert rank.memory_bytes > 10_000_000


def test_mlx_memory_is_counted(cluster: Cluster) -> None:
    before = cluster.status().ranks[1].mlx_bytes
    cluster.run("held = mx.zeros(1_000_000); mx.eval(held)", ranks=[1])
    after = cluster.status().ranks[1].mlx_bytes
    cluster.run("del held", ranks=[1])
    assert before is not None
    assert after is not None
    assert after - before >= 4_000_000


def run_in_thread(cluster: Cluster, code: str) -> threading.Thread:
    def run() -> None:
        try:
            cluster.run(code)
        except KernelkitError:
            # The test ends the cell itself, by an interrupt or a kill.
            return

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_running_cell_is_named_by_its_line(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    code = "import time\ndef work():\n    time.sleep(600)\nif rank == 1:\n    work()"
    thread = run_in_thread(cluster, code)
    try:
        assert eventually(lambda: doing(cluster) == ["idle", "line 3: time.sleep(600)"])
        assert cluster.status().state == "running"
        assert repr(cluster) == "<Cluster: 2 ranks, backend ring, running>"
    finally:
        cluster.interrupt()
        thread.join()
    assert eventually(lambda: doing(cluster) == ["idle", "idle"])


def test_a_rank_blocked_in_a_collective_is_named_by_its_line(
    start: Callable[[int], Cluster],
    eventually: Callable[..., bool],
    doing: Callable[[Cluster], list[str]],
) -> None:
    fresh = start(2)
    thread = run_in_thread(fresh, "if rank == 0:\n    mx.eval(mx.distributed.all_sum(mx.ones(1)))")
    stuck = "line 2: mx.eval(mx.distributed.all_sum(mx.ones(1)))"
    try:
        assert eventually(lambda: doing(fresh) == [stuck, "idle"])
    finally:
        os.kill(fresh.status().ranks[1].pid, signal.SIGKILL)
        thread.join()


def test_a_rank_that_holds_the_gil_is_said_not_to_answer(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    thread = run_in_thread(cluster, "import ctypes\nif rank == 0: ctypes.PyDLL(None).sleep(3)")
    try:
        assert eventually(lambda: doing(cluster)[:1] == ["does not answer"])
        assert cluster.state == "running"
    finally:
        thread.join()
    assert eventually(lambda: doing(cluster) == ["idle", "idle"])


def test_a_gone_rank_is_named_with_its_end(
    start: Callable[[int], Cluster],
    eventually: Callable[..., bool],
    doing: Callable[[Cluster], list[str]],
) -> None:
    fresh = start(2)
    os.kill(fresh.status().ranks[1].pid, signal.SIGKILL)
    assert eventually(lambda: doing(fresh) == ["idle", "gone (killed by SIGKILL)"])
    status = fresh.status()
    assert status.state.startswith("failed: ")
    assert status.ranks[1].memory_bytes is None


def test_status_answers_when_the_agent_is_gone(
    start: Callable[[int], Cluster], eventually: Callable[..., bool]
) -> None:
    fresh = start(1)
    os.kill(fresh._runner.members.agent.pids[0], signal.SIGKILL)
    assert eventually(lambda: fresh.state.startswith("failed: "))
    assert fresh.status().ranks[0].doing == "gone (the agent that started it has ended (killed by SIGKILL))"


def test_status_is_plain_data_that_goes_through_json(cluster: Cluster) -> None:
    status = cluster.status()
    back = ClusterStatus.from_dict(json.loads(json.dumps(status.to_dict())))
    assert back == status
    with pytest.raises(AttributeError):
        back.state = "other"  # type: ignore[misc]


_RANK = RankStatus(0, "host", 7, "cpu", "none", "0.32", 97_000_000, 0, "line 1: x = a<b")


def test_the_table_as_text() -> None:
    text = repr(ClusterStatus("idle", "ring", (_RANK, _RANK)))
    title, columns, rule, *rows = text.splitlines()
    assert title == "2 ranks, backend ring: idle"
    assert columns.split() == ["rank", "host", "pid", "device", "BLAS", "mlx", "memory", "doing"]
    assert set(rule) == {"-", " "}
    assert rows[0].split(maxsplit=8) == [
        "0",
        "host",
        "7",
        "cpu",
        "none",
        "0.32",
        "97",
        "MB",
        "line 1: x = a<b",
    ]
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_table_as_html_escapes_what_users_wrote() -> None:
    bundle = ClusterStatus("idle", "none", (_RANK,))._repr_mimebundle_()
    assert "a&lt;b" in bundle["text/html"]
    assert "1 rank, backend none: idle" in bundle["text/html"]
    assert bundle["text/plain"].startswith("1 rank, backend none: idle\n")


def test_no_key_is_kept_where_a_user_would_print_it(cluster: Cluster, tmp_path: Path) -> None:
    shown = json.dumps(cluster.status().to_dict()) + repr(cluster) + repr(cluster.status())
    assert "key" not in shown
