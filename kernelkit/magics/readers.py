"""How what is typed after a flag becomes a value; pure."""

from __future__ import annotations

import math
import re


def seconds(text: str) -> float:
    """A positive number of seconds; ValueError for anything else."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def numbers(text: str) -> tuple[int, ...]:
    """`20,12`; ValueError for anything else."""
    return tuple(int(part) for part in text.split(","))


def tokens(text: str) -> int:
    """`4096`, `100k` or `100K`, which are 100,000; ValueError for anything else."""
    thousands = text[-1:] in ("k", "K")
    return int(text[:-1]) * 1000 if thousands else int(text)


def text(typed: str) -> str:
    r"""Text in which `\n`, `\t` and `\\` stand for a line's end, a tab and a backslash."""
    return re.sub(r"\\([nt\\])", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), typed)
