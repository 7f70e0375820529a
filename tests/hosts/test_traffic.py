"""What a collective sends to whom: figures that were counted on MLX's connections, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.hosts.traffic import sent_bytes

REDUCING = ("all_sum", "all_max", "all_min")
OPS = (*REDUCING, "all_gather", "sum_scatter")
BACKENDS = ("ring", "jaccl", "jaccl-ring", "mpi", "nccl")

# float32 on MLX 0.32.4: op, ranks, elements, and what the system counted from rank 1 to others.
COUNTED = [
    ("all_sum", 2, 1, {0: 8}),
    ("all_sum", 2, 300_000, {0: 1_200_000}),
    ("all_sum", 2, 4_000_001, {0: 16_000_004}),
    ("all_gather", 2, 1_000, {0: 4_000}),
    ("all_gather", 2, 4_000_001, {0: 16_000_004}),
    ("all_sum", 3, 1, {2: 16}),
    ("all_sum", 3, 2, {2: 16}),
    ("all_sum", 3, 3, {0: 16}),
    ("all_sum", 3, 1_000, {0: 5_336}),
    ("all_sum", 3, 300_000, {0: 1_600_000}),
    ("all_sum", 3, 393_212, {0: 2_097_132}),
    ("all_sum", 3, 393_216, {0: 1_048_576, 2: 1_048_576}),
    ("all_sum", 3, 4_000_001, {0: 10_666_672, 2: 10_666_668}),
    ("all_max", 3, 1_000, {0: 5_336}),
    ("all_max", 3, 1_000_000, {0: 2_666_668, 2: 2_666_668}),
    ("all_gather", 3, 1, {0: 8}),
    ("all_gather", 3, 1_000, {0: 8_000}),
    ("all_gather", 3, 196_608, {0: 786_432, 2: 786_432}),
    ("all_gather", 3, 4_000_001, {0: 16_000_004, 2: 16_000_004}),
]


@pytest.mark.parametrize(("op", "ranks", "elements", "counted"), COUNTED)
def test_a_ring_sends_what_was_counted(op: str, ranks: int, elements: int, counted: dict[int, int]) -> None:
    found = sent_bytes(op, elements, 4, 1, ranks, "ring")
    assert found.keys() == counted.keys()
    for peer, size in counted.items():
        # Segments are whole elements: one more or less in each of the steps.
        assert abs(found[peer] - size) <= 2 * (ranks - 1) * 4


def test_a_mesh_sends_whole_arrays_and_splits_large_ones() -> None:
    assert sent_bytes("all_sum", 8192, 4, 0, 4, "jaccl") == {1: 32768, 2: 32768, 3: 32768}
    assert sent_bytes("all_sum", 16384, 4, 0, 4, "jaccl") == {1: 32768, 2: 32768, 3: 32768}
    assert sent_bytes("all_sum", 1 << 20, 4, 1, 2, "jaccl") == {0: 1 << 22}
    assert sent_bytes("all_gather", 1 << 20, 4, 1, 3, "jaccl") == {0: 1 << 22, 2: 1 << 22}
    assert sent_bytes("sum_scatter", 1 << 20, 4, 1, 4, "jaccl") == {0: 1 << 20, 2: 1 << 20, 3: 1 << 20}


def test_a_ring_of_rdma_goes_both_ways() -> None:
    assert sent_bytes("all_sum", 8, 4, 1, 4, "jaccl-ring") == {0: 24, 2: 24}
    assert sent_bytes("all_sum", 4, 4, 1, 4, "jaccl-ring") == {2: 24}
    assert sent_bytes("all_gather", 1000, 4, 1, 3, "jaccl-ring") == {0: 4000, 2: 4000}


@pytest.mark.parametrize("op", ["send", "recv", "nothing"])
def test_what_is_no_collective_is_not_reckoned(op: str) -> None:
    assert sent_bytes(op, 100, 4, 0, 4, "ring") == {}


@given(
    st.sampled_from(OPS),
    st.integers(0, 2**33),
    st.sampled_from((1, 2, 4, 8)),
    st.integers(1, 8).flatmap(lambda ranks: st.tuples(st.integers(0, ranks - 1), st.just(ranks))),
    st.sampled_from(BACKENDS),
)
def test_a_rank_sends_to_others_what_it_must_and_no_more_than_all_of_it(
    op: str, elements: int, item_bytes: int, who: tuple[int, int], backend: str
) -> None:
    rank, ranks = who
    sent = sent_bytes(op, elements, item_bytes, rank, ranks, backend)
    assert set(sent) <= set(range(ranks)) - {rank}
    assert all(size > 0 for size in sent.values())
    size_bytes = max(elements, ranks) * item_bytes  # padded to one for each
    assert sum(sent.values()) <= 2 * (ranks - 1) * size_bytes
    least = (1 if op == "sum_scatter" else 2) * (ranks - 1) * elements * item_bytes // ranks
    least = (ranks - 1) * elements * item_bytes if op == "all_gather" else least
    assert sum(sent.values()) >= least - ranks - 8 * item_bytes


@given(
    st.sampled_from(OPS),
    st.integers(0, 2**24),
    st.integers(2, 8),
    st.sampled_from(BACKENDS),
    st.integers(1, 7),
)
def test_every_rank_sends_alike(op: str, elements: int, ranks: int, backend: str, turn: int) -> None:
    first = sent_bytes(op, elements, 4, 0, ranks, backend)
    other = sent_bytes(op, elements, 4, turn % ranks, ranks, backend)
    assert {(peer + turn) % ranks: size for peer, size in first.items()} == other
