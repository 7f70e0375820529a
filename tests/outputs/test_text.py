"""Lines of text: carriage returns, labels, and what is too long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.outputs.text import (
    SHOWN_LINE_CHARS,
    SHOWN_LINES,
    cut,
    label_lines,
    rank_label,
    readable,
    settle,
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("\n", [""]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("10 %\r50 %\rdone\nnext\n", ["done", "next"]),
        ("half way\r", ["half way"]),
        ("dos\r\nlines\r\n", ["dos", "lines"]),
        ("a\r\r\n", ["a"]),
    ],
)
def test_settled_lines(text: str, lines: list[str]) -> None:
    assert settle(text) == lines


@settings(deadline=None)
@given(st.text("ab\r\n", max_size=40))
def test_settled_lines_hold_no_control_and_settle_to_themselves(text: str) -> None:
    lines = settle(text)
    assert not any("\r" in line or "\n" in line for line in lines)
    assert settle("".join(f"{line}\n" for line in lines)) == lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\tb\nc é 木 🦊", "a\tb\nc é 木 🦊"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[10;3Hgone", "gone"),
        ("\x1b]0;a title\x07text\x1b]8;;http://x\x1b\\link", "textlink"),
        ("\x1bc\x1b(Breset", "reset"),
        ("\x9b31m\x00\x07\x7fbell", "31mbell"),
        ("10 %\rdone", "10 %done"),
        ("at the end \x1b", "at the end "),
        ("[0m is no colour", "[0m is no colour"),
    ],
)
def test_text_that_a_terminal_would_obey_is_only_read(text: str, seen: str) -> None:
    assert readable(text) == seen


def test_other_line_separators_stay_inside_a_line() -> None:
    """`str.splitlines` would cut here; a notebook does not."""
    assert settle("a\x0bb\u2028c\n") == ["a\x0bb\u2028c"]


@pytest.mark.parametrize(
    ("ranks", "label"), [([0], "0"), ([0, 1], "0-1"), ([0, 1, 2, 5], "0-2,5"), ([1, 3], "1,3"), ([], "")]
)
def test_rank_labels(ranks: list[int], label: str) -> None:
    assert rank_label(ranks) == label


def test_every_line_gets_the_label_and_empty_ones_too() -> None:
    assert label_lines(["a", ""], "0-1") == "[0-1] a\n[0-1] \n"
    assert label_lines(["a", ""], "") == "a\n\n"
    assert label_lines([], "0") == ""


def test_up_to_the_cap_nothing_is_cut() -> None:
    lines = [str(i) for i in range(SHOWN_LINES)]
    assert cut(lines, 0) == lines


def test_past_the_cap_head_and_tail_stay_around_a_line_that_says_what_is_missing() -> None:
    lines = [str(i) for i in range(20_000)]
    shown = cut(lines, 3)
    half = SHOWN_LINES // 2
    assert shown[:half] == lines[:half]
    assert shown[half + 1 :] == lines[-half:]
    note = shown[half]
    assert f"{20_000 - SHOWN_LINES:,} of 20,000 lines" in note
    assert "cluster.last[3].stdout" in note


def test_a_long_line_is_cut_and_says_so() -> None:
    (shown,) = cut(["x" * 5000], 0)
    assert shown.startswith("x" * SHOWN_LINE_CHARS + "…")
    assert f"{5000 - SHOWN_LINE_CHARS:,} characters not shown" in shown
    assert cut(["x" * SHOWN_LINE_CHARS], 0) == ["x" * SHOWN_LINE_CHARS]


@settings(deadline=None)
@given(st.integers(0, 3 * SHOWN_LINES))
def test_the_lines_shown_and_the_lines_missing_add_up(count: int) -> None:
    shown = cut([str(i) for i in range(count)], 0)
    notes = [line for line in shown if "not shown" in line]
    missing = int(notes[0].split()[1].replace(",", "")) if notes else 0
    assert len(shown) - len(notes) + missing == count
    assert len(shown) <= SHOWN_LINES + 1
