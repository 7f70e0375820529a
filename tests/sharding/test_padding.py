"""Padding in numbers: what it comes to, that it divides, and that no more is added than it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.padding import HeadPlan, Shares, padded_mlp, plan_heads

_SHARES = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "parts", "expected"),
    [
        (9, 3, 1, HeadPlan(9, 3)),
        (9, 3, 2, HeadPlan(12, 4)),
        (9, 3, 3, HeadPlan(9, 3)),
        (9, 3, 4, HeadPlan(12, 4)),
        (9, 3, 9, HeadPlan(9, 9, 3)),
        (32, 8, 8, HeadPlan(32, 8)),
        (32, 8, 3, HeadPlan(36, 9)),
        (32, 8, 16, HeadPlan(32, 16, 2)),
        (4, 1, 2, HeadPlan(4, 2, 2)),
        (2, 2, 3, HeadPlan(3, 3)),
    ],
)
def test_heads_in_parts(heads: int, kv_heads: int, parts: int, expected: HeadPlan) -> None:
    assert plan_heads(heads, kv_heads, parts) == expected


@given(
    kv_heads=st.integers(1, 64),
    ratio=st.integers(1, 16),
    parts=st.integers(1, 64),
    head_dim=st.sampled_from([16, 48, 64, 80, 128]),
    group_size=st.sampled_from([1, 32, 64, 128]),
)
def test_heads_divide_into_whole_groups_and_never_cost_more_than_zeros_alone(
    kv_heads: int, ratio: int, parts: int, head_dim: int, group_size: int
) -> None:
    plan = plan_heads(kv_heads * ratio, kv_heads, parts, head_dim, group_size)
    assert plan.heads % parts == plan.kv_heads % parts == 0
    assert plan.heads * plan.copies == plan.kv_heads * ratio  # each copy has its part of the query heads
    assert plan.kv_heads >= kv_heads * plan.copies
    assert plan.heads // parts * head_dim % group_size == 0
    zeros_alone = padded_mlp(kv_heads, parts * group_size)
    assert plan.heads + plan.kv_heads <= zeros_alone * (ratio + 1)


def test_heads_without_a_whole_ratio_are_refused() -> None:
    with pytest.raises(ModelShardError, match="cannot be padded"):
        plan_heads(9, 2, 3)


@pytest.mark.parametrize(
    ("size", "parts", "group_size", "expected"),
    [(1536, 2, 32, 1536), (1536, 5, 32, 1600), (100, 3, 1, 102)],
)
def test_padded_mlp(size: int, parts: int, group_size: int, expected: int) -> None:
    assert padded_mlp(size, parts, group_size) == expected


@given(full=st.integers(1, 200), split=_SHARES)
def test_padding_is_at_the_end_and_undone_gives_the_full_size(full: int, split: list[int]) -> None:
    shares = Shares.of(len(split), split)
    size = padded_mlp(full, shares.parts)
    pieces = shares.cut(size)
    assert sum(pieces) == size
    paddings = [shares.padding(rank, size, full) for rank in range(len(split))]
    assert sum(pieces) - sum(paddings) == full
    assert all(0 <= padding <= piece for padding, piece in zip(paddings, pieces, strict=True))
    # Once a rank has some, all that follow have nothing else.
    seen = False
    for padding, piece in zip(paddings, pieces, strict=True):
        assert not seen or padding == piece
        seen = seen or padding > 0


@given(split=_SHARES)
def test_shares_keep_their_proportions_in_lowest_terms(split: list[int]) -> None:
    shares = Shares.of(len(split), split)
    assert Shares.of(len(split), [share * 3 for share in split]) == shares
    assert [share * sum(split) for share in shares.by_rank] == [share * shares.parts for share in split]


@pytest.mark.parametrize("split", [[1], [1, 0], [2, 1, 1], [1, -1], [1.5, 1]])
def test_shares_that_do_not_fit_are_refused(split: list[int]) -> None:
    with pytest.raises(ArgumentError, match="shares"):
        Shares.of(2, split)


@pytest.mark.parametrize("split", [[55, 46], [1000, 1], [17, 15]])
def test_shares_that_would_be_mostly_zeros_are_refused(split: list[int]) -> None:
    with pytest.raises(ArgumentError, match="too many parts"):
        Shares.of(2, split)
