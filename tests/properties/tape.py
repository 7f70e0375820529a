"""Whatever a parser is given, it understands it or raises one of our errors: 10,000 examples each.

A strategy made of strategies costs Hypothesis a millisecond or more for each example. So an example
here is one drawn string of bytes, a tape, which plain functions read as a row of choices. What Hypothesis
sets to zero on a tape is the first choice, the plainest, so a failing example still shrinks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from kernelkit.errors import KernelkitError

T = TypeVar("T")

CHECKED = settings(max_examples=10_000, deadline=None, derandomize=True)
HUGE = "9" * 5_000  # more digits than Python's int takes
ODD: tuple[str, ...] = (
    *"\"'\\ \0\t\n\r\x1b\x85\u2003\ufeff\ud800é٣½🦊-0=#%$[{",
    "",
    "e\u0301",
    "--",
    "1e999",
    "nan",
    HUGE,
)


class Tape:
    """Drawn bytes, read as choices; past its end it chooses the first."""

    def __init__(self, drawn: bytes) -> None:
        self._bytes = iter(drawn)
        self._rest, self._range = 0, 1

    def below(self, count: int) -> int:
        """A number from 0; several small ones come out of one byte."""
        if self._range < count:
            self._rest, self._range = next(self._bytes, 0), 256
        self._rest, choice = divmod(self._rest, count)
        self._range //= count
        return choice

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def some(self, most: int, build: Callable[[Tape], T]) -> list[T]:
        return [build(self) for _ in range(self.below(most + 1))]

    def odd(self) -> str:
        """Text of no kind that a parser expects: a troublemaker, or anything in Unicode."""
        if self.below(2):
            return self.pick(ODD)
        drawn = bytes(self.below(256) for _ in range(2 * self.below(4)))
        return drawn.decode("utf-16-le", "surrogatepass")


def taped(build: Callable[[Tape], T], length: int = 24) -> st.SearchStrategy[T]:
    return st.binary(min_size=length, max_size=length).map(lambda drawn: build(Tape(drawn)))


def accepted(function: Callable[..., T], *arguments: Any) -> T | None:
    """What it returns, or None where it refuses as it should."""
    with contextlib.suppress(KernelkitError):
        return function(*arguments)
    return None
