"""What collectives take, by the algorithms of MLX's backends."""

from __future__ import annotations

import pytest

from kernelkit.catalog import link_kind
from kernelkit.errors import ArgumentError
from kernelkit.perf import constants
from kernelkit.perf.collectives import Wire, backend_of, wire
from kernelkit.perf.ranges import ZERO, Range

LATENCY_S, RATE = 1e-4, 1e9


def made(backend: str, crossing: Range = ZERO) -> Wire:
    return Wire(backend, Range.of(LATENCY_S), Range.of(RATE), crossing, ZERO)


def seconds(backend: str, size_bytes: int, ranks: int) -> tuple[float, float]:
    latency, transfer = made(backend).all_sum(size_bytes, ranks)
    return latency.mid, transfer.mid


def test_a_mesh_sends_small_messages_to_all_at_once_and_large_ones_round() -> None:
    assert seconds("jaccl", 8192, 8) == pytest.approx((LATENCY_S, 8192 / RATE))
    assert seconds("jaccl", 2**24, 2) == pytest.approx((LATENCY_S, 2**24 / RATE))
    assert seconds("jaccl", 2**24, 4) == pytest.approx((6 * LATENCY_S, 6 / 4 * 2**24 / RATE / 2))


def test_a_ring_takes_two_rounds() -> None:
    assert seconds("ring", 8192, 4) == pytest.approx((6 * LATENCY_S, 6 / 4 * 8192 / RATE))
    assert seconds("ring", 2**24, 4) == pytest.approx((6 * LATENCY_S, 6 / 4 * 2**24 / RATE / 2))
    assert seconds("ring", 8192, 1) == (0, 0)


def test_each_collective_crosses_to_the_cpu_once() -> None:
    crossing = Range.of(1e-3)
    assert made("ring", crossing).all_sum(8, 4)[0].mid == pytest.approx(6 * LATENCY_S + 1e-3)
    fast, slow = (wire(link_kind("tb5-rdma"), "jaccl", True, fast) for fast in (True, False))
    assert fast is not None
    assert slow is not None
    gap_s = constants.METAL_CROSSING_S.value.mid - constants.METAL_FAST_CROSSING_S.value.mid
    assert slow.all_sum(8, 2)[0].mid - fast.all_sum(8, 2)[0].mid == pytest.approx(gap_s)


def test_links_without_figures_are_not_predicted() -> None:
    assert wire(link_kind("wifi"), "ring", True, False) is None
    ethernet = wire(link_kind("10gbe"), "ring", True, False)
    assert ethernet is not None
    assert ethernet.bytes_per_s.high < 10e9 / 8


@pytest.mark.parametrize(
    ("link", "backend", "strategy", "ranks", "word"),
    [
        ("nvlink4", None, "pipeline", 2, "send and recv"),
        ("tb5-rdma", None, "tensor", 9, "at most 8"),
        ("10gbe", "jaccl", "tensor", 2, "jaccl does not run over"),
    ],
)
def test_what_a_backend_cannot_do_is_refused_by_name(
    link: str, backend: str | None, strategy: str, ranks: int, word: str
) -> None:
    with pytest.raises(ArgumentError, match=word):
        backend_of(link_kind(link), backend, strategy, ranks)
    assert backend_of(link_kind("tb5-rdma"), "jaccl-ring", "tensor", 64) == "jaccl-ring"


def test_every_constant_says_where_it_is_from() -> None:
    for each in constants.ALL:
        assert each.value.low <= each.value.mid <= each.value.high
        assert len(each.source) > 10
