"""One timeline of the ranks' recordings: whose clock, who waited for whom, and what was dropped."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.perf.job import Job
from kernelkit.perf.network import Link, Network
from kernelkit.perf.recorded import timeline_of
from kernelkit.perf.simulate import simulate
from kernelkit.perf.timeline import Timeline


def _recording(origin_s: float, spans: list[list[int]], **given: Any) -> dict[str, Any]:
    kinds = [["all_sum", 64], ["send", 8]]
    base = {"spans": spans, "kinds": kinds, "dropped": 0, "machine": "mac", "origin_s": origin_s}
    return {**base, "elapsed_s": 1.0, **given}


def test_on_one_clock_the_early_rank_waits_for_the_late_one() -> None:
    early = _recording(100.0, [[100_000, 300_000, 0]])
    late = _recording(100.1, [[200_000, 100_000, 0]])
    timeline = timeline_of([early, late], [0.5, 0.9])
    assert [span.what for span in timeline.ranks[0].spans] == ["compute", "wait", "collective", "compute"]
    assert timeline.ranks[0].seconds["wait"] == pytest.approx(0.2)
    assert timeline.ranks[1].seconds["wait"] == 0
    assert timeline.critical_rank == 1
    assert timeline.tokens_per_s == pytest.approx(2.5)
    assert Timeline.from_dict(timeline.to_dict()) == timeline


def test_a_recorded_run_is_as_fast_when_it_is_simulated_from_its_spans() -> None:
    # A token is one sum: a rank computes 1,000 us for it, the other 600, and the sum itself takes 50.
    slow = [[1_050 * token + 1_000, 50, 0] for token in range(9)]
    quick = [[1_050 * token + 600, 450, 0] for token in range(9)]
    ends_s = [(start_us + length_us) / 1e6 for start_us, length_us, _ in slow]
    run = timeline_of([_recording(0.0, slow), _recording(0.0, quick)], ends_s)
    assert run.tokens_per_s == pytest.approx(1e6 / 1_050)
    collectives_s = [span.end_s - span.start_s for span in run.ranks[1].spans if span.what == "collective"]
    job = Job((1,), (1e-3, 6e-4), (0.0, 0.0), 1.0, 1)
    # What a sum takes once all have come is its crossing: a latency the late rank would not wait for.
    network = Network((2,), Link(0.0, 1e12), crossing_s=collectives_s[0])
    simulated = simulate(job, network, tokens=9, algorithm="mesh")
    assert simulated.token_times_s == pytest.approx(run.token_times_s, rel=1e-4)
    waits_s = [lane.seconds["wait"] for lane in simulated.ranks]
    assert waits_s == pytest.approx([lane.seconds["wait"] for lane in run.ranks], rel=1e-3)


def test_clocks_of_two_machines_are_set_alike_where_the_first_collective_ends() -> None:
    sent = [50_000, 10_000, 1]
    one = _recording(7.0, [sent, [100_000, 300_000, 0]])
    other = _recording(90_000.0, [[800_000, 100_000, 0]], machine="other")
    timeline = timeline_of([one, other], [0.5])
    ends_s = [next(s.end_s for s in lane.spans if s.what == "collective") for lane in timeline.ranks]
    assert ends_s == pytest.approx([0.9, 0.9])
    assert timeline.token_times_s == pytest.approx((1.0,))
    assert "set alike" in timeline.conditions[0]


def test_a_recording_that_was_cut_says_so_and_ends_with_its_last_span() -> None:
    cut = _recording(0.0, [[0, 400_000, 0]], dropped=5, elapsed_s=None)
    timeline = timeline_of([cut, cut], [0.4, 2.0])
    assert timeline.dropped_spans == 5
    assert "5 later ones" in timeline.conditions[-1]
    assert timeline.duration_s == pytest.approx(0.4)


@pytest.mark.parametrize("end_s", [[2.0, 3.0], [1.0]])
def test_a_rank_in_two_places_at_once_is_refused(end_s: list[float]) -> None:
    lane = {"start_s": [0.0, 1.0], "end_s": end_s, "what": ["compute", "wait"], "name": ["", ""]}
    data = {"kernelkit_timeline": 1, "source": "recorded", "ranks": [{**lane, "size_bytes": [0, 0]}]}
    with pytest.raises(ArgumentError, match="does not fit together"):
        Timeline.from_dict(data)
