"""Text of ranks: carriage returns resolved, lines labelled with their ranks, the too long cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWN_LINES = 400
SHOWN_LINE_CHARS = 1_000
# What moves a terminal's cursor, colours its text or names its window; then what is no character to read.
_UNSEEN = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-Z\\^-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def readable(text: str) -> str:
    """Text of a model or of an error without what a terminal obeys; line ends and tabs stay.

    >>> readable("\x1b[31mred\x1b[0m\n")
    'red\n'
    """
    return _UNSEEN.sub("", text)


def settle(text: str) -> list[str]:
    """Lines as a terminal would leave them: what a carriage return overwrote is gone.

    >>> settle("10 %\\r50 %\\rdone\\nnext\\n")
    ['done', 'next']
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines]


def rank_label(ranks: Sequence[int]) -> str:
    """`[0, 1, 2, 5] -> '0-2,5'`, the same notation that `--ranks` reads."""
    return ",".join(run_labels(ranks))


def run_labels(numbers: Sequence[int]) -> list[str]:
    """`[0, 1, 2, 5] -> ["0-2", "5"]`."""
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs_of(numbers)]


def runs_of(numbers: Sequence[int]) -> list[list[int]]:
    """Those in a row together: `[0, 1, 2, 5] -> [[0, 1, 2], [5]]`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def label_lines(lines: Sequence[str], label: str) -> str:
    """Each line with its ranks in front; an empty label leaves them as they are."""
    prefix = f"[{label}] " if label else ""
    return "".join(f"{prefix}{line}\n" for line in lines)


def cut(lines: Sequence[str], first_rank: int, where: str = "stdout") -> list[str]:
    """At most `SHOWN_LINES` lines, head and tail, with a line between that says what is not shown.

    Args:
        first_rank: the rank whose output holds all of them.
        where: the attribute of that output.
    """
    if len(lines) <= SHOWN_LINES:
        return [cut_line(line) for line in lines]
    half = SHOWN_LINES // 2
    note = missing_note(len(lines), first_rank, where)
    return [*map(cut_line, lines[:half]), note, *map(cut_line, lines[-half:])]


def missing_note(lines: int, first_rank: int, where: str) -> str:
    """Says how many of `lines` lines are not shown, and where they are."""
    missing = lines - SHOWN_LINES // 2 * 2
    return f"… {missing:,} of {lines:,} lines not shown; all of them: cluster.last[{first_rank}].{where} …"


def cut_line(line: str) -> str:
    """The line, or its beginning and how much is missing."""
    if len(line) <= SHOWN_LINE_CHARS:
        return line
    return f"{line[:SHOWN_LINE_CHARS]}… ({len(line) - SHOWN_LINE_CHARS:,} characters not shown)"
