"""`--help` in a magic's line, as `%magic?` beside it."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import Any, TypeVar, cast

from kernelkit.magics import show
from kernelkit.magics.grammar import Magic

HELP = "--help"

_Run = TypeVar("_Run", bound=Callable[..., Any])


def with_help(*forms: Magic) -> Callable[[_Run], _Run]:
    """A magic that says what it takes, by `?` and by `--help`, and then does nothing else.

    Args:
        forms: of the magic; of two the first is the cell's, the second the line's.
    """

    def decorate(run: _Run) -> _Run:
        @functools.wraps(run)
        def helped(self: Any, line: str, *cell: str) -> Any:
            form = forms[0] if cell else forms[-1]
            if not _asks(form, line):
                return run(self, line, *cell)
            show.say(form.help_of(line))
            return None

        helped.__doc__ = "\n".join(form.help for form in forms)
        return cast("_Run", helped)

    return decorate


def _asks(form: Magic, line: str) -> bool:
    """Whether the word stands in the line by itself: in quotes it is a part of a prompt, say."""
    try:
        words = shlex.split(line, posix=False)
    except ValueError:  # a quotation mark is left open
        return False
    if form.name == "%sharded":  # what follows its flags is Python's own
        words = words[: _flags_end(form, words) + 1]
    return HELP in words


def _flags_end(form: Magic, words: list[str]) -> int:
    known = {f"--{flag.name}": flag for flag in form.commands[0].flags}
    at = 0
    while at < len(words) and (flag := known.get(words[at].partition("=")[0])) is not None:
        at += 1 if flag.convert is None or "=" in words[at] else 2
    return at
