"""Folding: every rank's output stays whole and in order, and ranks that agree are shown once."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.outputs.collect import Display, RankOutput, Stream
from kernelkit.outputs.fold import Block, Token, fold, tokens_of


def lines(*texts: str) -> list[Token]:
    return [Token("stdout", text) for text in texts]


# Few letters, so that ranks often agree in part.
_TOKENS = st.lists(
    st.builds(Token, st.sampled_from(["stdout", "stderr"]), st.sampled_from("abc")), max_size=6
)
_OUTPUTS = st.dictionaries(st.integers(0, 7), _TOKENS, max_size=5)


@settings(deadline=None)
@given(_OUTPUTS)
def test_every_rank_finds_its_own_tokens_in_its_blocks(tokens: dict[int, list[Token]]) -> None:
    blocks = fold(tokens)
    for rank, own in tokens.items():
        assert [token for block in blocks if rank in block.ranks for token in block.tokens] == own


@settings(deadline=None)
@given(_OUTPUTS, st.randoms())
def test_the_order_in_which_ranks_finished_does_not_matter(
    tokens: dict[int, list[Token]], random: Any
) -> None:
    ranks = list(tokens)
    random.shuffle(ranks)
    assert fold({rank: tokens[rank] for rank in ranks}) == fold(tokens)


@settings(deadline=None)
@given(_TOKENS.filter(bool), st.sets(st.integers(0, 7), min_size=1))
def test_ranks_that_agree_give_one_block(own: list[Token], ranks: set[int]) -> None:
    assert fold({rank: list(own) for rank in ranks}) == [Block(tuple(sorted(ranks)), tuple(own))]


@settings(deadline=None)
@given(_OUTPUTS)
def test_blocks_are_not_empty_and_their_ranks_are_sorted(tokens: dict[int, list[Token]]) -> None:
    for block in fold(tokens):
        assert block.tokens
        assert list(block.ranks) == sorted(set(block.ranks))


@settings(deadline=None)
@given(_OUTPUTS)
def test_between_head_and_tail_each_rank_has_one_block_and_lowest_ranks_come_first(
    tokens: dict[int, list[Token]],
) -> None:
    blocks = fold(tokens)
    middle = [block for block in blocks if len(block.ranks) < len(tokens)]
    firsts = [block.ranks[0] for block in middle]
    assert firsts == sorted(firsts)
    spoken = [rank for block in middle for rank in block.ranks]
    assert len(spoken) == len(set(spoken))
    assert len({block.tokens for block in middle}) == len(middle)


def test_shared_head_and_tail_are_shown_once_around_what_differs() -> None:
    blocks = fold({0: lines("start", "a", "end"), 1: lines("start", "b", "c", "end")})
    assert blocks == [
        Block((0, 1), tuple(lines("start"))),
        Block((0,), tuple(lines("a"))),
        Block((1,), tuple(lines("b", "c"))),
        Block((0, 1), tuple(lines("end"))),
    ]


def test_ranks_that_differ_from_some_share_a_block_with_others() -> None:
    blocks = fold({0: lines("a"), 1: lines("b"), 2: lines("a"), 3: lines("b")})
    assert [(block.ranks, block.tokens) for block in blocks] == [
        ((0, 2), tuple(lines("a"))),
        ((1, 3), tuple(lines("b"))),
    ]


def test_a_repeated_line_is_not_counted_for_head_and_for_tail() -> None:
    blocks = fold({0: lines("x"), 1: lines("x", "x")})
    assert blocks == [Block((0, 1), tuple(lines("x"))), Block((1,), tuple(lines("x")))]


def test_the_same_line_on_another_stream_is_another_token() -> None:
    assert len(fold({0: [Token("stdout", "x")], 1: [Token("stderr", "x")]})) == 2


def test_nobody_and_nothing_fold_to_nothing() -> None:
    assert fold({}) == []
    assert fold({0: [], 1: []}) == []


def test_text_becomes_a_token_per_line_and_a_rich_output_one() -> None:
    html = Display({"text/html": "<b>x</b>"}, {"isolated": True})
    output = RankOutput(0, items=[Stream("stdout", "a\nb\n"), html, Stream("stderr", "e\n")])
    tokens = tokens_of(output)
    assert [(t.kind, t.text) for t in tokens if t.kind != "display"] == [
        ("stdout", "a"),
        ("stdout", "b"),
        ("stderr", "e"),
    ]
    assert tokens[2].display == {"data": {"text/html": "<b>x</b>"}, "metadata": {"isolated": True}}


def test_displays_that_differ_in_the_order_of_their_keys_are_equal() -> None:
    one = RankOutput(0, items=[Display({"text/html": "x", "text/plain": "y"})])
    other = RankOutput(1, items=[Display(json.loads('{"text/plain": "y", "text/html": "x"}'))])
    assert tokens_of(one) == tokens_of(other)


def test_displays_of_text_count_as_printed_lines() -> None:
    output = RankOutput(0, items=[Display({"text/plain": "<Figure>\nsecond"})])
    assert tokens_of(output) == lines("<Figure>", "second")


def test_a_display_that_lost_its_only_form_is_no_token() -> None:
    assert tokens_of(RankOutput(0, items=[Display({})])) == []


def test_dropped_displays_are_told() -> None:
    assert tokens_of(RankOutput(0, dropped_displays=1200)) == lines("… 1,200 more outputs dropped …")
