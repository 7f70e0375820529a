"""Simulated runs: formulas without chance, laws with it, lost ranks, and the same run from the same seed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, DoesNotFitError
from kernelkit.perf import plan as planned
from kernelkit.perf.job import Job
from kernelkit.perf.network import Link, Network
from kernelkit.perf.schedules import ALGORITHMS
from kernelkit.perf.simulate import Lost, simulate
from kernelkit.perf.timeline import Timeline

NEAR, FAR = Link(2e-6, 6e9), Link(5e-5, 1e9)
SIZE_BYTES = 16_384.0


@pytest.mark.parametrize("count", [2, 8, 64])
def test_tensor_parallelism_by_the_formula(count: int) -> None:
    job = Job.even(count, 10, 1e-3, SIZE_BYTES, head_s=5e-4)
    timeline = simulate(job, Network((count,), NEAR, crossing_s=1e-4), tokens=3)
    sum_s = 2 * (count - 1) * NEAR.time_s(SIZE_BYTES / count) + 1e-4
    token_s = 10 * (1e-3 / count + 2 * sum_s) + 5e-4 / count
    assert timeline.token_times_s == pytest.approx([token_s, 2 * token_s, 3 * token_s], rel=1e-12)
    assert timeline.communication_share == pytest.approx(20 * sum_s / token_s)
    assert timeline.critical_rank is None


@pytest.mark.parametrize(("stages", "micro_batches"), [(4, 2), (4, 8), (8, 3)])
def test_a_pipelines_bubble(stages: int, micro_batches: int) -> None:
    job = Job.even(stages, 16, 1e-3, 0.0, stages=stages)
    timeline = simulate(job, Network((stages,), Link(0.0, 1e9)), tokens=1, micro_batches=micro_batches)
    bubble = (stages - 1) / (micro_batches + stages - 1)
    assert timeline.idle_share == pytest.approx([bubble] * stages)


def test_in_an_even_pipeline_nobody_is_waited_for() -> None:
    # Rank 2 waits least before its messages, by a hair less than half of the next; and longest after them.
    job = Job.even(4, 8, 1e-3, 1280.0, stages=4)
    timeline = simulate(job, Network((4,), Link(1e-6, 1e9)), tokens=1, micro_batches=4)
    waits = timeline.shares("wait")
    assert min(waits) == waits[2] < sorted(waits)[1] / 2
    assert timeline.critical_rank is None


@pytest.mark.parametrize("backend", ["jaccl", "jaccl-ring"])
def test_a_plan_and_its_simulation_say_the_same(backend: str) -> None:
    plan = planned("llama-3.3-70b", on="4xm3-ultra-512", link="tb5-rdma", backend=backend)
    job = Job.planned("llama-3.3-70b", on="4xm3-ultra-512")
    algorithm = "mesh" if backend == "jaccl" else "two-way ring"
    timeline = simulate(job, Network.of_kinds(4), tokens=4, algorithm=algorithm)  # type: ignore[arg-type]
    assert plan.decode_tokens_per_s is not None
    assert timeline.tokens_per_s == pytest.approx(plan.decode_tokens_per_s.mid, rel=0.01)


def test_a_straggler_holds_up_all_and_is_named() -> None:
    # With a latency the straggler itself is through earlier: what it needs of others is there already.
    job, network = Job.even(4, 10, 1e-3, SIZE_BYTES), Network((4,), Link(0.0, 6e9))
    even, slow = simulate(job, network), simulate(job, network, slow={2: 1.5})
    assert slow.critical_rank == 2
    more_s = 16 * 10 * 0.5 * 1e-3 / 4
    assert slow.duration_s - even.duration_s == pytest.approx(more_s)


@st.composite
def runs(draw: Any) -> tuple[Job, Network, dict[str, Any]]:
    stages, many = draw(st.sampled_from([(1, 1), (1, 4), (1, 6), (2, 2), (2, 3), (4, 1), (3, 2)]))
    count = stages * many
    first = draw(st.integers(1, count))
    sizes = (first, count - first) if first < count else (count,)
    job = Job.even(count, 6, 1e-3, draw(st.sampled_from([0.0, 1e3, 1e6])), head_s=2e-4, stages=stages)
    options = {
        "tokens": draw(st.integers(1, 3)),
        "algorithm": draw(st.sampled_from(ALGORITHMS)),
        "micro_batches": draw(st.integers(1, 3)),
        "jitter": draw(st.sampled_from([0.0, 0.3])),
        "seed": draw(st.integers(0, 5)),
        "slow": {0: draw(st.sampled_from([1.0, 2.0]))},
    }
    if draw(st.booleans()):
        at_s = draw(st.floats(0, 5e-3))
        options["lost"] = Lost(draw(st.integers(0, count - 1)), at_s, 1e-3, 2e-3)
    return job, Network(sizes, NEAR, FAR, draw(st.booleans())), options


@settings(max_examples=60, deadline=None)
@given(runs())
def test_laws_of_every_run(run: tuple[Job, Network, dict[str, Any]]) -> None:
    job, network, options = run
    timeline = simulate(job, network, **options)
    timeline.check()  # no rank is in two spans at once
    assert len(timeline.token_times_s) == options["tokens"]
    assert timeline == simulate(job, network, **options)
    if "lost" not in options and job.stages == 1 and job.message_bytes:
        _none_leaves_before_the_last_has_come(timeline)
    if "lost" not in options:
        passes = options["tokens"] * options["micro_batches"]
        hops = job.stages - 1 + (job.stages > 1 and options["micro_batches"] > 1)
        sent = passes * hops * job.ranks_per_stage * job.message_bytes
        assert _bytes(timeline, "send") == sent
        # A message that was there before it was asked for takes no time to receive.
        assert _bytes(timeline, "recv") <= sent
    if "lost" not in options and not options["jitter"]:
        passes = options["tokens"] * options["micro_batches"]
        rank = (
            job.world_size - 1
        )  # of the first stage, which has no head where micro-batches follow each other
        heads = 0 if job.stages > 1 and options["micro_batches"] > 1 else 1
        factor = options["slow"].get(rank, 1.0)
        each_s = job.layers[0] * job.layer_s[rank] + heads * job.head_s[rank]
        assert timeline.ranks[rank].seconds["compute"] == pytest.approx(passes * factor * each_s)


def _none_leaves_before_the_last_has_come(timeline: Timeline) -> None:
    spans = [[s for s in lane.spans if s.what == "collective"] for lane in timeline.ranks]
    for same in zip(*spans, strict=True):
        assert max(span.start_s for span in same) <= min(span.end_s for span in same)


def _bytes(timeline: Timeline, what: str) -> int:
    return sum(span.size_bytes for lane in timeline.ranks for span in lane.spans if span.what == what)


def test_a_lost_rank_is_a_gap_and_the_tokens_before_it_stay() -> None:
    job, network = Job.even(4, 10, 1e-3, SIZE_BYTES), Network((4,), NEAR)
    calm = simulate(job, network, tokens=6)
    at_s = (calm.token_times_s[1] + calm.token_times_s[2]) / 2
    lossy = simulate(job, network, tokens=6, lost=Lost(3, at_s, 0.5, 2.0))
    assert lossy.token_times_s[:2] == calm.token_times_s[:2]
    again_s = at_s + 2.5
    assert lossy.token_times_s[2] == pytest.approx(again_s + calm.token_times_s[0])
    assert lossy.ranks[3].seconds["lost"] == pytest.approx(2.5)
    assert lossy.ranks[0].seconds["lost"] == pytest.approx(2.0)
    assert simulate(job, network, tokens=6, lost=Lost(3, 100.0, 1.0, 1.0)) == calm


def test_seeds_differ_and_chance_costs_time() -> None:
    job, network = Job.even(16, 20, 1e-2, SIZE_BYTES), Network((16,), NEAR)
    even, one, other = (simulate(job, network, jitter=j, seed=s) for j, s in ((0, 0), (0.2, 1), (0.2, 2)))
    assert one != other
    assert one.duration_s > 1.1 * even.duration_s  # the mean is the same, but the slowest of 16 sets the pace


def test_what_cannot_be_is_refused() -> None:
    job = Job.even(4, 10, 1e-3, SIZE_BYTES)
    with pytest.raises(ArgumentError, match="not as many ranks"):
        simulate(job, Network((3,), NEAR))
    with pytest.raises(ArgumentError, match="no such rank"):
        simulate(job, Network((4,), NEAR), slow={4: 2.0})
    with pytest.raises(ArgumentError, match="stages"):
        Job.even(4, 10, 1e-3, 0.0, stages=3)
    with pytest.raises(DoesNotFitError, match="does not fit"):
        Job.planned("kimi-k2", on="2xm4-max-128")
