"""Observers of real ranks: what they see of cells, of what is sent, and of the ranks' own start and end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.cluster.observers import Moment
from kernelkit.errors import CellInterruptedError
from tests.cluster.seen import Seen


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watched(cluster: Cluster, seen: Seen) -> Iterator[Cluster]:
    cluster.observers.append(seen)
    yield cluster
    cluster.observers.remove(seen)


def test_a_cell_is_seen_with_what_it_sends(watched: Cluster, seen: Seen) -> None:
    watched.run(
        "import time\nfor _ in range(30):\n    mx.eval(mx.distributed.all_sum(mx.ones(250)))\ntime.sleep(1.5)"
    )
    assert seen.phases[0] == "begins"
    stood = [moment.places for moment in seen if moment.phase == "runs" and moment.places]
    assert {place.line for places in stood for place in places.values()} <= {2, 3, 4}
    assert stood[-1][0].peer_bytes == {1: 30_000}
    last = seen[-1]
    assert (last.phase, last.state) == ("ended", "idle")
    assert {rank: place.op_bytes for rank, place in last.places.items()} == {
        0: {"all_sum": 30_000},
        1: {"all_sum": 30_000},
    }
    times = [moment.elapsed_s for moment in seen]
    assert times == sorted(times)
    turns = [moment.elapsed_s for moment in seen if moment.phase == "runs"]
    assert all(later - earlier >= 0.09 for earlier, later in pairwise(turns))


def test_the_next_cell_counts_from_zero(watched: Cluster, seen: Seen) -> None:
    watched.run("mx.eval(mx.distributed.all_sum(mx.ones(2)))")
    assert seen[-1].places[1].peer_bytes == {0: 8}
    watched.run("1")
    assert seen[-1].places[1].peer_bytes == {}


def test_collectives_inside_a_compiled_function_are_not_counted(watched: Cluster, seen: Seen) -> None:
    watched.run(
        "f = mx.compile(lambda x: mx.distributed.all_sum(x) * 2)\nmx.eval(f(mx.ones(4)), f(mx.ones(4)))"
    )
    assert seen[-1].places[0].op_bytes == {}


def test_values_that_are_carried_are_seen(watched: Cluster, seen: Seen) -> None:
    watched.push(carried=[1, 2])
    assert watched["carried"] == {0: [1, 2], 1: [1, 2]}
    assert seen.ends == [("push", "idle"), ("pull", "idle")]


def test_an_interrupted_cell_keeps_what_it_sent(watched: Cluster, seen: Seen) -> None:
    """Afterwards the ranks prove that they are in step, and that counts from zero."""
    ran: list[int] = []

    def stop(outputs: Any, running: Any, places: Any) -> None:
        if "go" in outputs[0].stdout and "go" in outputs[1].stdout and not ran:
            ran.append(1)
            watched.interrupt()

    code = (
        "mx.eval(mx.distributed.all_sum(mx.ones(500)))\nprint('go', flush=True)\nimport time\ntime.sleep(600)"
    )
    with pytest.raises(CellInterruptedError):
        watched.run(code, on_turn=stop)
    assert seen.ends == [("cell", "idle")]
    assert seen[-1].places[0].peer_bytes == {1: 2000}


def test_ranks_that_are_replaced_and_stopped_are_told(start: Callable[[int], Cluster], seen: Seen) -> None:
    fresh = start(1)
    fresh.observers.append(seen)
    fresh.restart()
    fresh.run("1")
    fresh.stop()
    fresh.stop()
    assert seen.ends == [("stop", "stopped"), ("start", "idle"), ("cell", "idle"), ("stop", "stopped")]


def test_a_broken_observer_of_a_real_cell_costs_nothing_but_a_warning(watched: Cluster, seen: Seen) -> None:
    def broken(moment: Moment) -> None:
        raise RuntimeError("the page is gone")

    watched.observers.insert(0, broken)
    with pytest.warns(RuntimeWarning, match="the page is gone"):
        assert repr(watched.run("rank * 2")) == "[0] 0\n[1] 2"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(watched.run("rank * 2")) == "[0] 0\n[1] 2"
    assert watched.observers == [seen]
