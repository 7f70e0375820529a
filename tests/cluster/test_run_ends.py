"""Cells that do not end by themselves: errors, interrupts, and ranks that are lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import (
    CellError,
    CellInterruptedError,
    ClusterBusyError,
    ClusterFailedError,
    KernelkitError,
    NoClusterError,
    RankError,
    RankLostError,
)
from tests.cluster.cells import SLEEP, SLEEPING, SUM, values

# -- errors ---------------------------------------------------------------------------------------


def test_an_error_on_one_rank_names_it_and_shows_its_traceback(cluster: Cluster) -> None:
    with pytest.raises(RankError) as caught:
        cluster.run("1 / rank", cell=None)
    assert caught.value.what == "rank 0 raised ZeroDivisionError: division by zero"
    ((label, trace),) = caught.value.tracebacks
    assert label == "rank 0"
    assert "ZeroDivisionError" in trace
    assert not caught.value.cure
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_error_alike_on_all_ranks_is_told_once(cluster: Cluster) -> None:
    # Ranks count their cells; one that ran more of them must not make its traceback differ.
    for _ in range(2):
        cluster.run("pass", ranks=[1])
        with pytest.raises(RankError) as caught:
            cluster.run("1 / 0")
        assert caught.value.what == "ranks 0-1 raised ZeroDivisionError: division by zero"
        assert [label for label, _ in caught.value.tracebacks] == ["ranks 0-1"]


def test_different_errors_are_told_apart(cluster: Cluster) -> None:
    with pytest.raises(RankError) as caught:
        cluster.run("raise ValueError('low') if rank == 0 else KeyError('high')")
    assert [label for label, _ in caught.value.tracebacks] == ["rank 0", "rank 1"]
    assert "rank 0 raised ValueError: low" in caught.value.what
    assert "rank 1 raised KeyError: 'high'" in caught.value.what


def test_a_traceback_names_the_notebooks_cell(cluster: Cluster) -> None:
    with pytest.raises(RankError) as caught:
        cluster.run("def f():\n    1 / 0\nf()", cell=4711)
    trace = caught.value.tracebacks[0][1]
    assert "4711" in trace
    with pytest.raises(RankError) as caught:
        cluster.run("f()", cell=4712)
    trace = caught.value.tracebacks[0][1]
    assert "4712" in trace
    assert "4711" in trace, "the function was defined there"


def test_a_syntax_error(cluster: Cluster) -> None:
    with pytest.raises(RankError, match="SyntaxError"):
        cluster.run("for")
    assert values(cluster.run("1")) == ["1", "1"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import sys; sys.exit(3)", RankError),
        ("input('name? ')", RankError),
        ("raise KeyboardInterrupt", CellInterruptedError),
    ],
)
def test_what_ends_a_program_fails_the_cell_and_no_more(
    cluster: Cluster, code: str, kind: type[CellError]
) -> None:
    with pytest.raises(kind):
        cluster.run(code)
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_error_while_the_other_rank_waits_in_a_collective(
    fresh: Cluster, eventually: Callable[..., bool]
) -> None:
    with pytest.raises(RankError) as caught:
        fresh.run("if rank == 0:\n    1 / 0\nmx.eval(mx.distributed.all_sum(mx.ones(3)))")
    assert caught.value.what == "rank 0 raised ZeroDivisionError: division by zero"
    assert "%cluster recover (rank 1 waits in all_sum at line 3" in caught.value.cure
    assert fresh.state.startswith("failed: ")
    with pytest.raises(ClusterFailedError) as refused:
        fresh.run("1")
    assert "%cluster recover" in refused.value.cure
    with pytest.raises(ClusterFailedError):
        fresh.push(x=1)

    old = [rank.pid for rank in fresh.status().ranks]
    fresh.restart()
    assert fresh.state == "idle"
    assert values(fresh.run(SUM)) == ["3", "3"]
    assert not set(old) & {rank.pid for rank in fresh.status().ranks}


def test_a_restart_empties_the_namespaces(fresh: Cluster) -> None:
    fresh.run("left_over = 1")
    fresh.restart()
    assert values(fresh.run("'left_over' in globals()")) == ["False", "False"]


# -- interrupts -----------------------------------------------------------------------------------


@contextmanager
def when(condition: Callable[[], Any], action: Callable[[], None], eventually: Callable[..., bool]) -> Any:
    """Do something from another thread as soon as a condition holds."""
    done: list[bool] = []

    def watch() -> None:
        done.append(eventually(condition))
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert done == [True], "the condition never held"


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_the_cell_and_leaves_the_cluster_usable(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    cluster.run("before = rank")
    sleeping = when(lambda: doing(cluster) == [SLEEPING] * 2, press_ctrl_c, eventually)
    with sleeping, pytest.raises(CellInterruptedError) as caught:
        cluster.run(SLEEP)
    assert "still usable" in caught.value.what
    assert "KeyboardInterrupt" in caught.value.tracebacks[0][1]
    assert cluster.state == "idle"
    assert values(cluster.run("before")) == ["0", "1"]
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_interrupt_from_another_thread_stops_the_cell(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    sleeping = when(lambda: doing(cluster) == [SLEEPING] * 2, cluster.interrupt, eventually)
    with sleeping, pytest.raises(CellInterruptedError):
        cluster.run(SLEEP)
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_interrupt_while_nothing_runs_does_nothing(cluster: Cluster) -> None:
    cluster.interrupt()
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_ctrl_c_pressed_twice_leaves_no_cluster_that_says_it_is_idle_and_is_not(
    fresh: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    """One rank is stuck in a collective, and the user does not wait for the grace to pass."""
    code = "if rank == 0:\n    mx.eval(mx.distributed.all_sum(mx.ones(3)))"
    stuck = "line 2: mx.eval(mx.distributed.all_sum(mx.ones(3)))"
    pressed: list[float] = []

    def press_twice() -> None:
        for _ in range(2):
            press_ctrl_c()
            pressed.append(time.monotonic())
            # Between two presses of a human hand; well within the grace.
            time.sleep(0.4)

    with (
        when(lambda: doing(fresh) == [stuck, "idle"], press_twice, eventually),
        pytest.raises((KernelkitError, KeyboardInterrupt)),
    ):
        fresh.run(code)
    assert len(pressed) == 2
    assert fresh.state.startswith("failed: ")


def test_a_second_cell_is_refused_while_one_runs(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    refused: list[KernelkitError] = []

    def second() -> None:
        try:
            cluster.run("1")
        except KernelkitError as error:
            refused.append(error)
        press_ctrl_c()

    sleeping = when(lambda: doing(cluster) == [SLEEPING] * 2, second, eventually)
    with sleeping, pytest.raises(CellInterruptedError):
        cluster.run(SLEEP)
    assert [type(error) for error in refused] == [ClusterBusyError]


# -- lost ranks -----------------------------------------------------------------------------------


def test_a_cell_that_ends_its_own_process_names_rank_and_status(fresh: Cluster) -> None:
    before_s = time.monotonic()
    with pytest.raises(RankLostError) as caught:
        fresh.run("import os\nif rank == 1:\n    os._exit(3)\nmx.eval(mx.distributed.all_sum(mx.ones(3)))")
    assert time.monotonic() - before_s < 5
    assert "rank 1" in caught.value.what
    assert "exit status 3" in caught.value.what
    assert caught.value.cure.startswith("%cluster recover")
    assert fresh.state.startswith("failed: ")
    with pytest.raises(KernelkitError):
        fresh.run("1")


def test_kill_9_names_rank_and_signal(
    fresh: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    pid = fresh.status().ranks[0].pid
    killed: list[float] = []

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)
        killed.append(time.monotonic())

    sleeping = when(lambda: doing(fresh) == [SLEEPING] * 2, kill, eventually)
    with sleeping, pytest.raises(RankLostError) as caught:
        fresh.run(SLEEP)
    assert time.monotonic() - killed[0] < 5
    assert f"rank 0 on {socket.gethostname()} is gone" in caught.value.what
    assert "SIGKILL" in caught.value.what
    fresh.restart()
    assert values(fresh.run(SUM)) == ["3", "3"]


def test_a_rank_lost_between_two_cells_is_told_by_the_next(
    fresh: Cluster, eventually: Callable[..., bool]
) -> None:
    fresh.run("import os, threading\nthreading.Timer(0.1, os._exit, (3,)).start()", ranks=[1])
    assert eventually(lambda: fresh.state.startswith("failed"))
    with pytest.raises(RankLostError, match=r"rank 1 on .* is gone"):
        fresh.run("1")


def test_the_agent_lost_is_told(fresh: Cluster, eventually: Callable[..., bool]) -> None:
    os.kill(fresh._runner.members.agent.pids[0], signal.SIGKILL)
    assert eventually(lambda: fresh.state.startswith("failed"))
    with pytest.raises(RankLostError):
        fresh.run("1")
    fresh.restart()
    assert values(fresh.run(SUM)) == ["3", "3"]


def test_stop_from_another_thread_ends_the_cell_with_an_error_of_ours(
    fresh: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    sleeping = when(lambda: doing(fresh) == [SLEEPING] * 2, fresh.stop, eventually)
    with sleeping, pytest.raises(KernelkitError):
        fresh.run(SLEEP)
    assert fresh.state == "stopped"


def test_after_stop_there_is_no_cluster_and_restart_brings_one(fresh: Cluster) -> None:
    fresh.stop()
    fresh.stop()
    assert fresh.state == "stopped"
    for use in (lambda: fresh.run("1"), lambda: fresh.push(x=1), lambda: fresh["x"], fresh.status):
        with pytest.raises(NoClusterError):
            use()
    fresh.restart()
    assert values(fresh.run(SUM)) == ["3", "3"]
