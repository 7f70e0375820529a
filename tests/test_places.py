"""Who waits where, and for ever or not: judged from plain data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kernelkit.places import (
    Call,
    Place,
    awaited,
    behind,
    deadlock,
    first_difference,
    sentence,
)


def call(index: int, op: str = "all_sum", shape: tuple[int, ...] = (4,), line: int = 3, **kw: Any) -> Call:
    return Call(index, op, shape, "float32", line, "y = ...", **kw)


WAITING = Place(
    0, "running", 5, "mx.eval(y)", in_mlx=True, still_s=12.4, calls=7, recent=(call(5, line=2), call(6))
)
SLEEPING = Place(1, "running", 6, "time.sleep(100)", still_s=12.4, calls=6, recent=(call(5, line=2),))
ENDED = Place(1, "ended", calls=6, recent=(call(5, line=2),))


def both(one: Place, other: Place) -> dict[int, Place]:
    return {one.rank: one, other.rank: other}


def test_a_rank_waits_in_the_first_collective_that_another_has_not_called() -> None:
    places = both(WAITING, SLEEPING)
    assert behind(WAITING, places) == [1]
    assert awaited(WAITING, places) == "all_sum at line 3"
    assert sentence(WAITING, places) == "waits in all_sum at line 3 for 12 s"
    assert sentence(SLEEPING, places) == "at line 6: time.sleep(100) for 12 s"


def test_ahead_by_many_it_waits_in_the_oldest_of_them() -> None:
    ahead = replace(WAITING, calls=8, recent=(call(6, line=3), call(7, "all_max", line=4)))
    assert awaited(ahead, both(ahead, SLEEPING)) == "all_sum at line 3"


def test_a_call_that_is_no_longer_known_is_still_a_wait() -> None:
    ahead = replace(WAITING, calls=90, recent=(call(89, line=9),))
    assert awaited(ahead, both(ahead, replace(SLEEPING, calls=1))) == "all_sum at line 9"
    assert awaited(replace(ahead, recent=()), both(ahead, SLEEPING)) == "a collective"


def test_nobody_behind_means_computing() -> None:
    level = replace(SLEEPING, calls=7)
    assert awaited(WAITING, both(WAITING, level)) == ""
    assert sentence(WAITING, both(WAITING, level)) == "in MLX at line 5: mx.eval(y) for 12 s"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("ended", "has ended its cell"),
        ("absent", "takes no part in this cell"),
        ("silent", "does not answer"),
    ],
)
def test_ranks_that_do_not_run(state: Any, text: str) -> None:
    place = Place(1, state)
    assert sentence(place, both(WAITING, place)) == text
    assert place.full == f"rank 1: {text}; 0 collectives"


def test_the_full_line_has_line_source_and_count() -> None:
    expected = (
        "rank 0: line 5: mx.eval(y); 7 collectives, the last all_sum of float32[4] at line 3 (`y = ...`)"
    )
    assert WAITING.full == expected


def test_a_rank_that_is_over_never_comes() -> None:
    why = deadlock(both(WAITING, ENDED), 1.4)
    assert why == "rank 0 waits for ever in all_sum at line 3: rank 1 never entered it"
    absent = Place(1, "absent")
    assert "rank 1 never entered it" in deadlock(both(WAITING, absent), 1.4)


@pytest.mark.parametrize(
    ("waiting", "other"),
    [
        (WAITING, SLEEPING),  # may still come
        (replace(WAITING, still_s=1.0), ENDED),  # not for long enough
        (replace(WAITING, in_mlx=False), ENDED),  # does not wait yet
        (replace(WAITING, calls=6, recent=(call(5, line=2),)), ENDED),  # computes
        (WAITING, replace(ENDED, state="silent")),  # who knows
    ],
)
def test_what_may_still_go_on_is_left_alone(waiting: Place, other: Place) -> None:
    assert deadlock(both(waiting, other), 1.4) == ""


@pytest.mark.parametrize(
    "other", [call(6, "all_max"), call(6, shape=(5,)), replace(call(6), dtype="float16")], ids=str
)
def test_different_collectives_never_end_well(other: Call) -> None:
    places = both(WAITING, replace(SLEEPING, calls=7, recent=(other,)))
    assert deadlock(places, 1.4) == "rank 0 stands still after ranks entered different collectives"


def test_the_same_collective_from_another_line_is_the_same() -> None:
    places = both(WAITING, replace(ENDED, calls=7, recent=(call(6, line=9),)))
    assert deadlock(places, 1.4) == ""


@pytest.mark.parametrize(
    ("mine", "theirs", "text"),
    [
        ({"received": {1: 2}}, {"sent": {0: 1}}, "recv from rank 1"),
        ({"sent": {1: 1}}, {}, "send to rank 1"),
    ],
)
def test_send_and_recv_are_matched_by_peer(mine: Any, theirs: Any, text: str) -> None:
    waiting = replace(WAITING, calls=0, recent=(), **mine)
    ended = replace(ENDED, calls=0, recent=(), **theirs)
    assert awaited(waiting, both(waiting, ended)) == text
    assert text in deadlock(both(waiting, ended), 1.4)


def test_send_to_another_peer_is_nobody_elses_business() -> None:
    waiting = replace(WAITING, calls=0, recent=(), sent={2: 1})
    assert behind(waiting, both(waiting, replace(ENDED, calls=0))) == []


def test_the_first_difference_is_found() -> None:
    ledgers = {0: [call(0), call(1), call(2)], 1: [call(0), call(1, "all_max"), call(2)]}
    row = first_difference(ledgers)
    assert {rank: c.op for rank, c in row.items() if c} == {0: "all_sum", 1: "all_max"}
    assert first_difference({0: [call(0)], 1: [call(0, line=8)]}) == {}
    assert first_difference({0: [call(0)], 1: []}) == {0: call(0), 1: None}
    assert first_difference({0: [call(0)]}) == {}
    assert first_difference({0: [], 1: []}) == {}


def test_ledgers_that_lost_their_beginning_are_compared_from_where_both_know() -> None:
    ledgers = {0: [call(i) for i in range(5, 9)], 1: [call(i) for i in range(3, 8)]}
    assert first_difference(ledgers) == {0: call(8), 1: None}


def test_a_call_survives_its_trip_through_json() -> None:
    data = {
        "index": 1,
        "op": "all_sum",
        "shape": [2, 3],
        "dtype": "float32",
        "file": "",
        "line": 2,
        "source": "x",
    }
    assert str(Call.from_dict(data)) == "all_sum of float32[2, 3] at line 2 (`x`)"
    assert call(0, file="distributed.py").where == "at distributed.py:3"
