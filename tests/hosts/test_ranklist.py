"""Lists of ranks as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.hosts.ranklist import parse_ranks
from kernelkit.outputs.text import rank_label


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("0", [0]),
        ("3", [3]),
        ("0,2-3", [0, 2, 3]),
        ("2-3,0", [0, 2, 3]),
        ("1,1,0-1", [0, 1]),
        (" 0 , 1 - 2 ", [0, 1, 2]),
        ("0-3", [0, 1, 2, 3]),
        ("2-2", [2]),
        ("00,01", [0, 1]),
    ],
)
def test_lists_and_ranges(text: str, ranks: list[int]) -> None:
    assert parse_ranks(text, 4) == ranks


@pytest.mark.parametrize(
    "text",
    ["", ",", "0,", "a", "1.5", "-1", "0-", "-", "0--1", "0 1", "0;1", "+1", "٣", "0-1-2", "1e0", "\x00"],
)
def test_what_is_no_list_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_ranks(text, 4)
    assert "ranks 0 to 3" in caught.value.expected
    assert caught.value.got == repr(text)


@pytest.mark.parametrize("text", ["4", "0,4", "2-4", "3-1", "0-999999999", "99999999999999999999"])
def test_ranks_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        parse_ranks(text, 4)


def test_with_one_rank_the_error_does_not_speak_of_a_range() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_ranks("7", 1)
    assert caught.value.expected == "rank 0, the only one"
    assert "1 rank;" in caught.value.cure


@settings(deadline=None)
@given(st.sets(st.integers(0, 63), min_size=1))
def test_what_labels_print_can_be_read_back(ranks: set[int]) -> None:
    assert parse_ranks(rank_label(sorted(ranks)), 64) == sorted(ranks)


@settings(deadline=None)
@given(st.text() | st.text("0123456789,- "), st.integers(1, 8))
def test_any_text_gives_ranks_of_the_cluster_or_our_error(text: str, world_size: int) -> None:
    try:
        ranks = parse_ranks(text, world_size)
    except KernelkitError:
        return
    assert ranks
    assert ranks == sorted(set(ranks))
    assert set(ranks) <= set(range(world_size))
