"""The outputs of one notebook cell: labelled, in rank order, bounded."""

from typing import Any

from kernelkit.outputs import render_cell, render_values
from kernelkit.outputs.collect import Display, RankOutput, Stream

HTML = {"text/html": "<b>x</b>", "text/plain": "x"}


def printed(**by_rank: str) -> dict[int, RankOutput]:
    """`printed(r0="a\\n", r1="b\\n")`"""
    outputs = {}
    for name, text in by_rank.items():
        rank = int(name[1:])
        outputs[rank] = RankOutput(rank, items=[Stream("stdout", text)])
    return outputs


def with_values(**data: dict[str, Any] | None) -> dict[int, RankOutput]:
    outputs = {}
    for name, part in data.items():
        rank = int(name[1:])
        outputs[rank] = RankOutput(rank, value=Display(part) if part is not None else None)
    return outputs


def texts(pieces: list[Stream | Display]) -> list[str]:
    return [piece.text for piece in pieces]


def test_ranks_that_print_alike_are_shown_once() -> None:
    assert texts(render_cell(printed(r0="hi\n", r1="hi\n"), 2)) == ["[0-1] hi\n"]


def test_lines_come_in_rank_order_whoever_was_first() -> None:
    assert texts(render_cell(printed(r1="b\nend\n", r0="a\nend\n"), 2)) == ["[0] a\n[1] b\n[0-1] end\n"]


def test_a_single_rank_is_not_labelled() -> None:
    assert texts(render_cell(printed(r0="a\nb\n"), 1)) == ["a\nb\n"]


def test_a_subset_of_the_ranks_is_labelled_with_it() -> None:
    assert texts(render_cell(printed(r1="a\n", r2="a\n"), 4)) == ["[1-2] a\n"]


def test_standard_error_stays_standard_error() -> None:
    outputs = {0: RankOutput(0, items=[Stream("stdout", "o\n"), Stream("stderr", "e\n")])}
    assert [(p.name, p.text) for p in render_cell(outputs, 2) if isinstance(p, Stream)] == [
        ("stdout", "[0] o\n"),
        ("stderr", "[0] e\n"),
    ]


def test_a_rich_output_follows_a_line_with_its_ranks() -> None:
    outputs = {rank: RankOutput(rank, items=[Display(HTML, {"m": 1})]) for rank in (0, 1)}
    label, rich = render_cell(outputs, 2)
    assert label == Stream("stdout", "[0-1]\n")
    assert rich == Display(HTML, {"m": 1})


def test_a_rich_output_of_a_single_rank_needs_no_line() -> None:
    assert render_cell({0: RankOutput(0, items=[Display(HTML)])}, 1) == [Display(HTML)]


def test_nothing_printed_shows_nothing() -> None:
    assert render_cell({0: RankOutput(0), 1: RankOutput(1)}, 2) == []
    assert render_cell({}, 2) == []


def test_twenty_thousand_lines_on_each_of_four_ranks_stay_small() -> None:
    outputs = printed(**{f"r{r}": "".join(f"rank {r} line {i}\n" for i in range(20_000)) for r in range(4)})
    (piece,) = render_cell(outputs, 4)
    assert len(piece.text) < 100_000
    for rank in range(4):
        assert f"[{rank}] rank {rank} line 0\n" in piece.text
        assert f"[{rank}] rank {rank} line 19999\n" in piece.text
        assert f"cluster.last[{rank}].stdout" in piece.text


def test_two_streams_by_turns_stay_small_too() -> None:
    """A flushed line on each stream in turn makes 40,000 groups of one line: the cap must hold for them."""
    items: list[Stream | Display] = []
    for i in range(20_000):
        items += [Stream("stdout", f"out {i}\n"), Stream("stderr", f"err {i}\n")]
    pieces = render_cell({0: RankOutput(0, items=items)}, 2)
    assert sum(len(piece.text) for piece in pieces) < 100_000


def test_the_note_on_cut_lines_names_where_all_of_them_are() -> None:
    long = "".join(f"{i}\n" for i in range(1000))
    (errors,) = render_cell({0: RankOutput(0, items=[Stream("stderr", long)])}, 2)
    assert "cluster.last[0].stderr" in errors.text
    (value,) = render_values(with_values(r0={"text/plain": long}, r1=None), 2)
    assert "cluster.last[0].value_repr" in value.text


def test_values_that_agree_are_one_line() -> None:
    assert texts(list(render_values(with_values(r0={"text/plain": "5"}, r1={"text/plain": "5"}), 2))) == [
        "[0-1] 5"
    ]


def test_values_that_differ_come_in_rank_order_as_one_output() -> None:
    outputs = with_values(r1={"text/plain": "1"}, r0={"text/plain": "0"}, r2={"text/plain": "1"})
    assert texts(list(render_values(outputs, 3))) == ["[0] 0\n[1-2] 1"]


def test_every_line_of_a_value_is_labelled() -> None:
    (shown,) = render_values(with_values(r0={"text/plain": "a\nb"}, r1=None), 2)
    assert shown.text == "[0] a\n[0] b"


def test_ranks_without_a_value_are_left_out() -> None:
    assert render_values(with_values(r0=None, r1=None), 2) == []


def test_a_value_of_a_single_rank_is_as_in_a_plain_cell() -> None:
    assert render_values(with_values(r0=HTML), 1) == [Display(HTML)]


def test_a_rich_value_that_all_share_is_shown_once_and_as_such() -> None:
    assert render_values(with_values(r0=HTML, r1=HTML), 2) == [Display(HTML)]


def test_rich_values_that_differ_are_each_named() -> None:
    other = {"text/html": "<i>y</i>", "text/plain": "y"}
    label_0, rich_0, label_1, rich_1 = render_values(with_values(r0=HTML, r1=other), 2)
    assert (label_0.text, label_1.text) == ("[0]", "[1]")
    assert (rich_0.data, rich_1.data) == (HTML, other)
