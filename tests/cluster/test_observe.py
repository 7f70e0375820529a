"""What is known of where ranks stand, and when it is too old to judge by."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.channel.base import Message
from kernelkit.channel.fake import FakeChannel
from kernelkit.cluster import observe
from kernelkit.cluster.observe import Observer
from kernelkit.places import deadlock


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(observe, "time", clock)
    return clock


def answer(calls: int, *, in_mlx: bool) -> dict[str, Any]:
    call = {"index": calls - 1, "op": "all_sum", "shape": [4], "dtype": "float32", "line": 3, "source": "x"}
    place = {"line": 3, "source": "x", "doing": "", "in_mlx": in_mlx, "cpu_s": 1.0, "calls": calls}
    return {**place, "recent": [call] if calls else [], "sent": [], "received": []}


def look(observer: Observer, channel: FakeChannel, clock: Clock, running: list[int]) -> None:
    clock.now_s += observe.FIRST_LOOK_S
    observer.turn(running)
    for message in channel.poll(0):
        assert isinstance(message, Message)
        observer.take(message)


def test_a_rank_that_came_late_and_ended_at_once_is_no_deadlock(clock: Clock) -> None:
    channel = FakeChannel()
    observer = Observer(channel, 2, [0, 1])
    channel.places = {0: answer(1, in_mlx=True), 1: answer(0, in_mlx=False)}
    for _ in range(4):
        look(observer, channel, clock, [0, 1])
    assert observer.places([0, 1])[0].still_s >= 1.4
    # Now rank 1 calls the collective and ends; what is known of both is from before.
    observer.turn([0])
    assert deadlock(observer.places([0]), 1.4), "by what is known it is one"
    assert not observer.settled
    channel.places = {0: answer(1, in_mlx=True), 1: answer(1, in_mlx=False)}
    look(observer, channel, clock, [0])
    assert observer.settled
    assert deadlock(observer.places([0]), 1.4) == ""


def test_a_silent_rank_keeps_nobody_from_judging(clock: Clock) -> None:
    channel = FakeChannel()
    observer = Observer(channel, 3, [0, 1, 2])
    channel.places = {0: answer(1, in_mlx=True), 1: answer(0, in_mlx=False)}
    for _ in range(4):
        look(observer, channel, clock, [0, 2])
    assert observer.settled
    places = observer.places([0, 2])
    assert places[2].state == "silent"
    assert "rank 1 never entered it" in deadlock(places, 1.4)


def looks(clock: Clock, sparing: bool, calls: list[int]) -> tuple[list[float], Observer]:
    """When a rank was looked at in ten seconds, which told something in the first six.

    Args:
        calls: how many collectives it had called by each look; the last of them goes on.
    """
    channel = FakeChannel()
    observer = Observer(channel, 1, [0], sparing=sparing)
    began_s, seen_s = clock.now_s, []
    for _ in range(80):
        clock.now_s += 0.125
        if clock.now_s - began_s < 6:
            observer.heard()
        channel.places = {0: answer(calls[min(len(seen_s), len(calls) - 1)], in_mlx=True)}
        observer.turn([0])
        for message in channel.poll(0):
            observer.take(message)
            seen_s.append(clock.now_s - began_s)
    return seen_s, observer


def test_an_operation_that_tells_how_it_goes_is_looked_at_less_often(clock: Clock) -> None:
    moving = list(range(100))
    assert looks(clock, False, moving)[0] == [1 + 0.5 * n for n in range(19)]
    # The last was told at 5.875 s.
    assert looks(clock, True, moving)[0] == [1, 3, 5, *(6.375 + 0.5 * n for n in range(8))]


def test_until_a_rank_stands_still(clock: Clock) -> None:
    seen_s, observer = looks(clock, True, [1, 2, 2])
    assert seen_s == [1, 3, *(5 + 0.5 * n for n in range(11))]
    assert observer.places([0])[0].still_s == 2 + 5.0
