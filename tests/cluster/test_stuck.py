"""Cells that wait: told while they do, ended when they must be, and what is learnt from a cell that ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import (
    ArgumentError,
    CellError,
    ClusterFailedError,
    CollectiveMismatchError,
    RankError,
    RankStuckError,
)
from kernelkit.places import sentence

SUM = "mx.distributed.all_sum(mx.ones(1))"
WAIT = f"""import time
if rank == 0:
    y = {SUM}
    mx.eval(y)
else:
    time.sleep(600)"""


def values(cluster: Cluster, code: str) -> list[str | None]:
    return [output.value_repr for output in cluster.run(code).values()]


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    """Run in another thread, as a subshell of the notebook would, and keep what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except CellError as error:
            raised.append(error)
        except ClusterFailedError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


# -- while it waits ---------------------------------------------------------------------------------


def test_a_waiting_cell_tells_who_waits_where_and_can_be_recovered_from_beside(
    fresh: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    fresh.run("kept = [rank]; import json")
    seen: dict[int, str] = {}

    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        seen.update({rank: sentence(place, places) for rank, place in places.items()})

    thread, raised = in_thread(lambda: fresh.run(WAIT, on_turn=on_turn))
    assert eventually(lambda: seen.get(0, "").startswith("waits in all_sum at line 3 for"))
    assert seen[1].startswith("at line 6: time.sleep(600)")
    assert doing(fresh) == ["line 4: mx.eval(y)", "line 6: time.sleep(600)"]
    assert fresh.state == "running"
    recovery = fresh.recover()
    thread.join()
    assert isinstance(raised[0], ClusterFailedError)
    assert "being recovered" in raised[0].what
    assert recovery.carried == {0: ["json", "kept", "time"], 1: ["json", "kept", "time"]}
    assert recovery.left == {0: {"y": "changed in the cell that broke"}, 1: {}}
    assert fresh["kept"] == {0: [0], 1: [1]}
    assert values(fresh, SUM) == ["array([2], dtype=float32)"] * 2


def test_an_interrupt_from_beside_names_every_rank(fresh: Cluster, eventually: Callable[..., bool]) -> None:
    where: dict[int, Any] = {}
    thread, raised = in_thread(
        lambda: fresh.run(WAIT, on_turn=lambda outputs, running, places: where.update(places))
    )
    assert eventually(lambda: where and where[0].calls == 1)
    fresh.interrupt()
    thread.join()
    assert isinstance(raised[0], RankStuckError)
    assert "rank 0: line 4: mx.eval(y); 1 collective" in raised[0].got
    assert fresh.state.startswith("failed: rank 0 waits in all_sum at line 3")


def test_the_patience_without_a_timeout_can_be_set(fresh: Cluster) -> None:
    assert fresh.stuck_s == 600
    fresh.stuck_s = 1.0
    with pytest.raises(RankStuckError) as caught:
        fresh.run(WAIT)
    assert caught.value.what == "rank 0 has not moved for 1 s"
    assert "rank 1: line 6: time.sleep(600); 0 collectives" in caught.value.got
    assert [label for label, _ in caught.value.tracebacks] == ["rank 0 stood at", "rank 1 stood at"]
    fresh.recover()
    assert fresh.stuck_s == 1.0


@pytest.mark.parametrize("seconds", [0, -1, "3", True, float("nan")])
def test_times_must_be_times(cluster: Cluster, seconds: Any) -> None:
    with pytest.raises(ArgumentError, match="timeout_s must be a time"):
        cluster.run("1", timeout_s=seconds)
    with pytest.raises(ArgumentError, match="stuck_s must be a time"):
        cluster.stuck_s = seconds


def test_computing_for_long_is_not_waiting(cluster: Cluster) -> None:
    """One rank computes alone, in many short steps, for longer than the patience with a rank that waits."""
    cluster.stuck_s = 1.0
    try:
        steps = (
            "x = mx.ones((400, 400))\nimport time\nend = time.time() + 3.5\nwhile time.time() < end:\n    "
        )
        cluster.run(f"{steps}mx.eval(x @ x)", ranks=[1])
        cluster.run("import time; time.sleep(2.5)", ranks=[0])
    finally:
        cluster.stuck_s = 600


# -- what is left lazy ------------------------------------------------------------------------------


def test_a_collective_runs_in_the_cell_that_called_it(cluster: Cluster) -> None:
    cluster.run(f"lazy = {SUM}; nested = [{SUM} * 2]")
    assert cluster.run("lazy", ranks=[1])[1].value_repr == "array([2], dtype=float32)"
    assert values(cluster, SUM) == ["array([2], dtype=float32)"] * 2


@pytest.mark.parametrize(
    ("cell", "look", "expected"),
    [
        # what is left is only a lazy value that was derived from the result
        ("loss = mx.distributed.all_sum(mx.array(rank + 1.0)) / world_size", "loss.item()", "1.5"),
        ("big = mx.distributed.all_sum(mx.ones((1024, 1024))) / 2", "big[0, 0].item()", "1.0"),
        # one rank drops it, or looks at it alone
        (f"tmp = {SUM}\nif rank == 1: del tmp", "tmp.item()", "2.0"),
        (f"def f():\n    t = {SUM}\n    return t.item() if rank == 0 else 0\nseen = f()", "seen", "2.0"),
    ],
)
def test_results_that_are_dropped_are_computed_all_the_same(
    cluster: Cluster, cell: str, look: str, expected: str
) -> None:
    cluster.run(cell, timeout_s=20)
    assert cluster.run(look, ranks=[0], timeout_s=20)[0].value_repr == expected
    assert values(cluster, SUM) == ["array([2], dtype=float32)"] * 2


def test_an_error_after_a_collective_leaves_nobody_waiting(cluster: Cluster) -> None:
    with pytest.raises(RankError, match="rank 0 raised NameError"):
        cluster.run(f"y = {SUM}\nif rank == 0: oops")
    assert values(cluster, SUM) == ["array([2], dtype=float32)"] * 2


def test_what_mx_compile_traces_is_not_compared(cluster: Cluster) -> None:
    cluster.run("@mx.compile\ndef step(x): return mx.distributed.all_sum(x.sum())\nstep(mx.ones(4))")
    for check in (False, True):
        result = cluster.run("step(mx.ones(4 - rank)).item()", check=check, timeout_s=20)
        assert [output.value_repr for output in result.values()] == ["7.0", "7.0"]
        assert not result.warning


def test_numbers_are_summed_as_mlx_does(cluster: Cluster) -> None:
    assert values(cluster, "mx.distributed.all_sum(1.5)") == ["array(3, dtype=float32)"] * 2


def test_a_callback_that_raises_leaves_no_rank_at_work(cluster: Cluster) -> None:
    def on_turn(*_: Any) -> None:
        raise LookupError("the widget is gone")

    with pytest.raises(LookupError):
        cluster.run("import time; time.sleep(600)", on_turn=on_turn)
    assert cluster.state == "idle"
    assert values(cluster, SUM) == ["array([2], dtype=float32)"] * 2


def test_the_functions_in_front_of_collectives_are_not_in_tracebacks(cluster: Cluster) -> None:
    with pytest.raises(RankError) as caught:
        cluster.run("mx.distributed.all_sum('text')")
    (_, trace) = caught.value.tracebacks[0]
    assert "kernelkit" not in trace
    assert "all_sum(x: array" in cluster.run("print(mx.distributed.all_sum.__doc__)")[0].stdout


# -- different collectives --------------------------------------------------------------------------


def test_different_operations_that_end_are_a_warning(fresh: Cluster) -> None:
    result = fresh.run("x = mx.ones(4)\nf = mx.distributed\n(f.all_sum if rank == 0 else f.all_max)(x)")
    assert "rank 0 all_sum of float32[4] at line 3" in result.warning
    assert "rank 1 all_max of float32[4] at line 3" in result.warning
    assert "--check" in result.warning
    assert values(fresh, SUM) == ["array([2], dtype=float32)"] * 2
    assert not fresh.run(SUM).warning


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("all_sum(mx.ones(4))", "all_min(mx.ones(4))"),
        ("all_sum(mx.ones(4))", "all_sum(mx.ones(5))"),
        ("all_sum(mx.ones(4))", "all_sum(mx.ones(4, dtype=mx.int32))"),
        ("all_gather(mx.ones((2, 2)))", "all_gather(mx.ones(4))"),
    ],
)
def test_check_finds_what_differs_before_it_runs(cluster: Cluster, one: str, other: str) -> None:
    d = "mx.distributed"
    with pytest.raises(CollectiveMismatchError) as caught:
        cluster.run(
            f"before = {d}.all_sum(mx.ones(2))\nif rank == 0:\n    x = {d}.{one}\nelse:\n    x = {d}.{other}",
            check=True,
        )
    text = str(caught.value)
    assert f"line 3 (`x = {d}.{one}`)" in text
    assert f"line 5 (`x = {d}.{other}`)" in text
    assert "cure: mend the lines above" in text
    assert cluster["before"][1].tolist() == [2, 2], "what came before was right"
    assert values(cluster, SUM) == ["array([2], dtype=float32)"] * 2, "nothing wrong was computed"


def test_check_finds_another_order(cluster: Cluster) -> None:
    order = "for x in (a, b) if rank == 0 else (b, a):"
    code = f"a, b = mx.ones(2), mx.ones(3)\n{order}\n    mx.distributed.all_sum(x)"
    with pytest.raises(CollectiveMismatchError, match=r"rank 0: all_sum of float32\[2\]"):
        cluster.run(code, check=True)


def test_check_lets_good_programs_through(cluster: Cluster) -> None:
    code = f"""
g = mx.grad(lambda w: (w * mx.distributed.all_sum(w)).sum())(mx.ones(2) * (rank + 1))
c = mx.compile(lambda w: mx.distributed.all_sum(w * 2))
d = c(mx.ones(2)), c(mx.ones(2))
if rank == 0:
    e = {SUM}
else:
    e = mx.distributed.all_sum(x=mx.ones(1))
h = mx.distributed.all_gather(mx.array([rank], dtype=mx.bfloat16))
[v.tolist() for v in (g, *d, e, h)]"""
    checked = cluster.run(code, check=True)
    assert not checked.warning
    assert checked[1].value_repr == cluster.run(code)[1].value_repr


def test_check_of_a_collective_that_one_rank_never_calls(fresh: Cluster) -> None:
    before_s = time.monotonic()
    with pytest.raises(CollectiveMismatchError, match="rank 1 waits for ever in all_sum at line 1"):
        fresh.run(f"x = {SUM} if rank == 1 else 0", check=True)
    assert time.monotonic() - before_s < 30
