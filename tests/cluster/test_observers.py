"""Who is told what runs: of every request its beginning, what comes between, and its end, however it ends."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.cluster import observers
from kernelkit.cluster.observers import Moment, Observer, Watch, tell
from kernelkit.cluster.runner import Runner
from kernelkit.errors import ClusterBusyError, KernelkitError, RankError, RankLostError
from kernelkit.launch.exits import Exit
from kernelkit.places import Place
from tests.cluster.bench import Bench, press_ctrl_c
from tests.cluster.seen import Seen


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def bench(bench: Bench, seen: Seen) -> Bench:
    bench.runner = Runner(bench.runner.members, observers=[seen])
    return bench


# One request.


def test_a_cell_begins_runs_and_has_ended(bench: Bench, seen: Seen) -> None:
    bench.run()
    assert seen.phases == ["begins", "runs", "ended"]
    assert [moment.state for moment in seen] == ["running", "running", "idle"]
    assert {moment.what for moment in seen} == {"cell"}
    assert [moment.elapsed_s >= 0 for moment in seen] == [True] * 3


def test_an_operation_is_called_by_its_name(bench: Bench, seen: Seen) -> None:
    bench.runner.operate({0: ("load", {}), 1: ("load", {})})
    assert seen.ends == [("load", "idle")]
    assert seen.phases[0] == "begins"


def test_where_ranks_stand_in_the_end_is_asked_once_more(bench: Bench, seen: Seen) -> None:
    """A short cell is over before the first look."""
    answer = {
        "line": 0,
        "source": "",
        "doing": "idle",
        "in_mlx": False,
        "cpu_s": 1.0,
        "calls": 3,
        "recent": [],
    }
    for rank in (0, 1):
        sent = {"sent": [], "received": [], "op_bytes": {"all_sum": 8}, "peer_bytes": [[1 - rank, 8]]}
        bench.channel.answers[rank, "where"] = {**answer, **sent}
    bench.runner.run("code", {1: bench.outputs[1]}, None, lambda *_: None)
    places = seen[-1].places
    assert (places[0].state, places[0].peer_bytes) == ("absent", {})
    assert (places[1].state, places[1].peer_bytes, places[1].op_bytes) == ("ended", {0: 8}, {"all_sum": 8})


def test_without_observers_nobody_asks(bench: Bench, seen: Seen) -> None:
    bench.runner = Runner(bench.runner.members)
    bench.run()
    assert bench.channel.asked == []
    assert seen == []


# However it ends.


def test_a_cell_that_raised_has_ended_as_well(bench: Bench, seen: Seen) -> None:
    bench.play = lambda channel, request: channel.fail(request)
    with pytest.raises(RankError):
        bench.run()
    assert seen.ends == [("cell", "idle")]


def test_a_lost_rank_ends_it_and_the_state_says_so(bench: Bench, seen: Seen) -> None:
    bench.play = lambda channel, request: channel.happen(lambda: bench.agent.exits.update({1: Exit(-9, [])}))
    with pytest.raises(RankLostError):
        bench.run()
    (end,) = seen.ends
    assert end[1].startswith("failed: rank 1")


def test_an_interrupt_and_a_stuck_rank(bench: Bench, seen: Seen) -> None:
    bench.play = lambda channel, request: channel.finish(request) if request.rank == 0 else None
    bench.channel.happen(press_ctrl_c)
    with pytest.raises(KernelkitError):
        bench.run()
    (end,) = seen.ends
    assert end[1].startswith("failed: ")


def test_a_callback_that_raises_ends_it_too(bench: Bench, seen: Seen) -> None:
    def on_turn(*_: Any) -> None:
        raise LookupError("the widget is gone")

    with pytest.raises(LookupError):
        bench.run(on_turn)
    assert seen.phases[-1] == "ended"


def test_what_is_refused_is_not_told(bench: Bench, seen: Seen) -> None:
    def again(*_: Any) -> None:
        with pytest.raises(ClusterBusyError):
            bench.run()

    bench.run(again)
    assert seen.phases.count("begins") == seen.phases.count("ended") == 1


# Ten times a second.


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def monotonic(self) -> float:
        return self.now_s


def test_turns_are_told_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    clock = Clock()
    monkeypatch.setattr(observers, "time", clock)
    watch = Watch([seen], "cell", [0], lambda: "running")
    for _ in range(100):
        watch.turn()
        clock.now_s += 0.0625
    assert len(seen) == 50
    assert seen[-1].elapsed_s == pytest.approx(98 * 0.0625)


def test_places_are_those_of_the_follower_and_in_the_end_the_last_ones(seen: Seen) -> None:
    class Follower:
        places = {0: Place(0, "running", 3)}  # noqa: RUF012

    watch = Watch([seen], "cell", [0], lambda: "running")
    assert watch.places == {}
    watch.follow(Follower())
    watch.turn()
    assert seen[-1].places == Follower.places


# An observer's own errors.


class Odd(Exception):
    """Of a type that nobody here knows."""


@pytest.mark.parametrize("error", [KeyError("no such cell"), Odd("really"), OSError(9, "closed")])
def test_one_that_raises_is_dropped_with_a_warning_and_the_cell_goes_on(
    bench: Bench, seen: Seen, error: Exception
) -> None:
    told: list[Moment] = []

    def broken(moment: Moment) -> None:
        told.append(moment)
        raise error

    watching: list[Observer] = [broken, seen]
    bench.runner = Runner(bench.runner.members, observers=watching)
    with pytest.warns(RuntimeWarning, match="told nothing more") as caught:
        bench.run()
    assert type(error).__name__ in str(caught[0].message)
    assert str(error) in str(caught[0].message)
    assert watching == [seen]
    assert len(told) == len(caught) == 1
    assert seen.phases == ["begins", "runs", "ended"]


def test_ctrl_c_in_an_observer_is_none_of_its_errors(seen: Seen) -> None:
    def interrupted(moment: Moment) -> None:
        raise KeyboardInterrupt

    watching: list[Observer] = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        tell(watching, Moment("cell", "runs", "running"))
    assert watching == [interrupted]


def test_an_observer_may_take_itself_out(seen: Seen) -> None:
    watching: list[Observer] = []

    def once(moment: Moment) -> None:
        seen(moment)
        watching.remove(once)

    def once_and_broken(moment: Moment) -> None:
        watching.remove(once_and_broken)
        raise ValueError("and broken")

    watching += [once, once_and_broken, seen]
    with pytest.warns(RuntimeWarning, match="and broken"):
        tell(watching, Moment("cell", "runs", "running"))
    assert len(seen) == 2
    assert watching == [seen]
