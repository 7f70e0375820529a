"""Cells on real ranks: values, output, errors, interrupts and lost ranks."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import (
    ArgumentError,
    CellError,
    CellInterruptedError,
    ClusterBusyError,
    ClusterFailedError,
    KernelkitError,
    NoClusterError,
    RankError,
    RankLostError,
)

SLEEP = "import time\ntime.sleep(600)"
SLEEPING = "line 2: time.sleep(600)"
SUM = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"


def values(result: Any) -> list[str | None]:
    return [result[rank].value_repr for rank in result]


# -- what comes back ------------------------------------------------------------------------------


def test_every_rank_gives_its_value(cluster: Cluster) -> None:
    result = cluster.run("rank * 2, world_size")
    assert values(result) == ["(0, 2)", "(2, 2)"]
    assert repr(result) == "[0] (0, 2)\n[1] (2, 2)"


def test_without_a_last_expression_there_is_no_value(cluster: Cluster) -> None:
    result = cluster.run("x = 1;")
    assert values(result) == [None, None]
    assert not result.has_values


def test_the_namespace_persists(cluster: Cluster) -> None:
    cluster.run("kept = rank + 10\ndef double(x): return 2 * x")
    assert values(cluster.run("double(kept)")) == ["20", "22"]


def test_names_that_every_rank_has(cluster: Cluster) -> None:
    result = cluster.run("mx.__name__, nn.__name__, rank, world_size, group.size()")
    assert values(result) == [f"('mlx.core', 'mlx.nn', {rank}, 2, 2)" for rank in (0, 1)]


def test_ranks_compute_together(cluster: Cluster) -> None:
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_a_cell_may_run_on_some_ranks(cluster: Cluster) -> None:
    result = cluster.run("only_here = rank; only_here", ranks=[1])
    assert dict(result).keys() == {1}
    assert result[1].value_repr == "1"
    assert values(cluster.run("'only_here' in globals()")) == ["False", "True"]


def test_streams_are_kept_apart(cluster: Cluster) -> None:
    result = cluster.run("import sys\nprint('out', rank)\nprint('err', rank, file=sys.stderr)")
    assert [result[r].stdout for r in (0, 1)] == ["out 0\n", "out 1\n"]
    assert [result[r].stderr for r in (0, 1)] == ["err 0\n", "err 1\n"]


def test_what_a_child_process_prints_is_captured(cluster: Cluster) -> None:
    result = cluster.run("import os; _ = os.system('echo from a child')")
    assert result[0].stdout == "from a child\n"


def test_a_child_process_that_reads_finds_the_end_of_its_input(cluster: Cluster) -> None:
    """As below any kernel: it must not wait on the pipe by which the agent holds the rank."""
    code = "import subprocess; subprocess.run(['cat'], timeout=3).returncode"
    assert values(cluster.run(code)) == ["0", "0"]


def test_top_level_await(cluster: Cluster) -> None:
    assert values(cluster.run("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, rank)")) == [
        "0",
        "1",
    ]


def test_magics_of_ipython_work(cluster: Cluster) -> None:
    assert (
        "3 function calls" in cluster.run("%prun -q -s time pass\n%prun pass", ranks=[0])[0].displays[-1].text
    )
    assert values(cluster.run("x = %sx echo hi\nx[0]")) == ["'hi'", "'hi'"]


def test_help_is_shown(cluster: Cluster) -> None:
    (shown,) = cluster.run("len?", ranks=[0])[0].displays
    assert "Return the number of items" in shown.text


@pytest.mark.parametrize(
    ("code", "mime", "part"),
    [
        ("from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "text/html", "<b>x</b>"),
        ("from IPython.display import Markdown, display; display(Markdown('*x*'))", "text/markdown", "*x*"),
        # "iVBOR" is what every PNG begins with in base64.
        ("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", "image/png", "iVBOR"),
        ("import warnings; print(end=''); display({'a': 1})", "text/plain", "{'a': 1}"),
    ],
    ids=["html", "markdown", "figure", "plain"],
)
def test_rich_output_arrives_as_such(cluster: Cluster, code: str, mime: str, part: str) -> None:
    result = cluster.run(code)
    for rank in (0, 1):
        (shown,) = result[rank].displays
        assert part in shown.data[mime]


def test_a_rich_value_keeps_its_forms(cluster: Cluster) -> None:
    code = "class Rich:\n    def _repr_html_(self): return '<i>v</i>'\nRich()"
    value = cluster.run(code)[0].value
    assert value is not None
    assert value.data["text/html"] == "<i>v</i>"


def test_a_display_is_updated_in_place(cluster: Cluster) -> None:
    code = "h = display('old', display_id=True)\nprint('between')\nh.update('new')"
    output = cluster.run(code)[1]
    assert [d.text for d in output.displays] == ["'new'"]


def test_output_comes_while_the_cell_runs(cluster: Cluster, tmp_path: Path) -> None:
    """The ranks wait for a file that is made only once their first line has been seen."""
    seen = tmp_path / "seen"
    code = f"""
import pathlib, time
print("first")
while not pathlib.Path({str(seen)!r}).exists():
    time.sleep(0.01)
"""
    turns: list[list[int]] = []

    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        turns.append(list(running))
        if all(output.stdout == "first\n" for output in outputs.values()):
            seen.touch()

    cluster.run(code, on_turn=on_turn)
    assert turns[0] == [0, 1]


def test_twenty_thousand_lines_on_each_rank_arrive_whole(cluster: Cluster) -> None:
    result = cluster.run("for i in range(20_000): print('rank', rank, 'line', i)")
    for rank in (0, 1):
        assert result[rank].stdout == "".join(f"rank {rank} line {i}\n" for i in range(20_000))


def test_last_holds_the_latest_cell_also_when_it_failed(cluster: Cluster) -> None:
    with pytest.raises(RankError):
        cluster.run("print('before'); 1 / 0")
    assert cluster.last[1].stdout == "before\n"
    error = cluster.last[1].error
    assert error is not None
    assert error["ename"] == "ZeroDivisionError"


def test_names_are_completed(cluster: Cluster, eventually: Callable[..., bool]) -> None:
    cluster.run("a_name_like_no_other = 1")
    answers: list[Any] = []

    def completed() -> bool:
        # The first completion loads its engine and may take longer than anyone would wait.
        answers.append(cluster.complete("a_name_like", 11, rank=1))
        return answers[-1] is not None

    assert eventually(completed)
    assert answers[-1]["matches"] == ["a_name_like_no_other"]


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
    os.kill(fresh._runner.members.agent.pid, signal.SIGKILL)
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


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [[], [2], [0, -1], ["0"], 1, None], ids=repr)
def test_ranks_that_are_not_there(cluster: Cluster, ranks: Any) -> None:
    if ranks is None:  # means all of them
        assert len(cluster.run("1", ranks=ranks)) == 2
        return
    with pytest.raises(ArgumentError) as caught:
        cluster.run("1", ranks=ranks)
    assert "0 to 1" in caught.value.expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("code", [5, None, b"1"], ids=repr)
def test_code_that_is_no_text(cluster: Cluster, code: Any) -> None:
    with pytest.raises(ArgumentError):
        cluster.run(code)


@pytest.mark.parametrize("code", ["", "\n", "# nothing", "'\N{SNOWMAN}'", "'''\x00'''"], ids=repr)
def test_odd_code_is_answered(cluster: Cluster, code: str) -> None:
    with suppress(RankError):
        cluster.run(code)
    assert cluster.state == "idle"


def test_a_lone_surrogate_is_answered(cluster: Cluster) -> None:
    """It has no form in UTF-8, in which messages travel."""
    with suppress(KernelkitError):
        cluster.run("'\ud800'")
    assert cluster.state == "idle"
    assert values(cluster.run("1")) == ["1", "1"]


def test_exit_and_reset_leave_a_rank_that_works(cluster: Cluster) -> None:
    assert "does not end a rank" in cluster.run("exit()")[0].stderr
    cluster.run("mine = 1")
    cluster.run("%reset -f")
    assert values(cluster.run("'mine' in globals(), rank, world_size")) == ["(False, 0, 2)", "(False, 1, 2)"]
    assert values(cluster.run(SUM)) == ["3", "3"]
