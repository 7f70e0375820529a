"""Collectives: closed formulas, and the matrix of a schedule against the same messages one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError
from kernelkit.perf.collectives import wire
from kernelkit.perf.engine import Engine
from kernelkit.perf.exchange import Exchange
from kernelkit.perf.network import Link, Network
from kernelkit.perf.schedules import ALGORITHMS, Algorithm, Schedule, Times, all_gather, all_sum

NEAR, FAR = Link(2e-6, 6e9), Link(5e-5, 1e9)
SIZE_BYTES = 16_384.0


def _all_at_once(schedule: Schedule) -> Times:
    return schedule.exits(np.zeros(len(schedule.members)))


@pytest.mark.parametrize("count", [2, 3, 8, 64])
def test_closed_formulas_without_groups(count: int) -> None:
    network = Network((count,), NEAR)
    steps = 2 * (count - 1)
    expected: dict[Algorithm, float] = {
        "ring": steps * NEAR.time_s(SIZE_BYTES / count),
        "two-way ring": steps * NEAR.time_s(SIZE_BYTES / count / 2),
        "mesh": NEAR.time_s(SIZE_BYTES),
        "hierarchical": 2 * NEAR.time_s(SIZE_BYTES),
    }
    for algorithm, time_s in expected.items():
        exits_s = _all_at_once(all_sum(algorithm, range(count), network, SIZE_BYTES))
        assert exits_s.max() == pytest.approx(time_s, rel=1e-12)
        if algorithm != "hierarchical":  # where the first member has sent on before the others have it
            assert exits_s == pytest.approx([time_s] * count, rel=1e-12)
    gathered = _all_at_once(all_gather("ring", range(count), network, SIZE_BYTES))
    assert gathered == pytest.approx([(count - 1) * NEAR.time_s(SIZE_BYTES)] * count)


def test_a_ring_over_groups_goes_at_the_pace_of_its_slowest_link_and_a_hierarchy_does_not() -> None:
    network = Network((8,) * 8, NEAR, FAR)
    ring = _all_at_once(all_sum("ring", range(64), network, SIZE_BYTES)).max()
    tree = _all_at_once(all_sum("hierarchical", range(64), network, SIZE_BYTES)).max()
    assert tree == pytest.approx(2 * NEAR.time_s(SIZE_BYTES) + 14 * FAR.time_s(SIZE_BYTES / 8))
    # A slow link is gone through every eighth step at the least, and bounds the pace where a rank sends on.
    assert 126 * FAR.leave_s(SIZE_BYTES / 64) < ring < 126 * FAR.time_s(SIZE_BYTES / 64)
    assert ring > tree


def test_the_catalogs_link_gives_what_a_plan_reckons_with() -> None:
    from kernelkit.catalog import link_kind

    for algorithm, backend in (("two-way ring", "jaccl-ring"), ("mesh", "jaccl")):
        network = Network.of_kinds(8)
        found = wire(link_kind("tb5-rdma"), backend, metal=True, fast_synch=False)
        assert found is not None
        latency, transfer = found.all_sum(SIZE_BYTES, 8)
        schedule = all_sum(algorithm, range(8), network, SIZE_BYTES)  # type: ignore[arg-type]
        assert _all_at_once(schedule).max() == pytest.approx(latency.mid + transfer.mid)


groups = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=80, deadline=None)
@given(groups, st.sampled_from(ALGORITHMS), st.booleans(), st.randoms())
def test_the_matrix_and_the_messages_agree_and_none_leaves_before_the_last_has_come(
    sizes: tuple[int, ...], algorithm: Algorithm, shared: bool, random: object
) -> None:
    network = Network(sizes, NEAR, FAR, shared)
    count = network.world_size
    schedule = all_sum(algorithm, range(count), network, SIZE_BYTES)
    entries_s = np.array([random.random() * 1e-3 for _ in range(count)])  # type: ignore[attr-defined]
    found: list[Times] = []
    engine = Engine(network)
    exchange = Exchange(engine, schedule, found.append)
    for place, time_s in enumerate(entries_s):
        engine.at(time_s, lambda at=place, by=time_s: exchange.enter(at, by))  # type: ignore[misc]
    engine.run(math.inf)
    (messages_s,) = found
    assert messages_s.min() >= entries_s.max()
    matrix_s = schedule.exits(entries_s)
    if schedule.contends:
        assert (messages_s >= matrix_s - 1e-12).all()
    else:
        assert messages_s == pytest.approx(matrix_s, rel=1e-9)


def test_messages_that_share_an_uplink_go_one_after_the_other() -> None:
    network = Network((4, 4), NEAR, FAR)
    schedule = all_sum("mesh", range(8), network, SIZE_BYTES)
    assert schedule.contends
    assert not all_sum("mesh", range(8), Network((4, 4), NEAR, FAR, shared=False), SIZE_BYTES).contends
    found: list[Times] = []
    engine = Engine(network)
    exchange = Exchange(engine, schedule, found.append)
    for place in range(8):
        exchange.enter(place, 0.0)
    engine.run(math.inf)
    # 4 ranks send 4 messages each over one uplink.
    assert found[0].max() == pytest.approx(16 * FAR.leave_s(SIZE_BYTES) + FAR.latency_s)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ArgumentError, match="link between"):
        Network((2, 2), NEAR)
    with pytest.raises(ArgumentError, match="no such algorithm"):
        all_sum("star", range(2), Network((2,), NEAR), 1.0)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="no published"):
        Network.of_kinds(2, "loopback")
    with pytest.raises(ArgumentError, match="how NCCL sums over NVLink 4 is not simulated"):
        Network.of_kinds(2, "nvlink4")
