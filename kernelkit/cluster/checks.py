"""Refuse bad arguments before a rank sees them: each in one sentence with expected, got and cure."""

from __future__ import annotations

import keyword
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError

# See `rank.group.bind_names`.
_OF_EVERY_RANK = ("mx", "nn", "rank", "world_size", "group")


def check_world_size(world_size: int) -> None:
    """A possible number of local ranks.

    Raises:
        ArgumentError: it is not a whole number, or none that this machine could hold.
    """
    most = max(8, 4 * (os.cpu_count() or 1))
    if isinstance(world_size, bool) or not isinstance(world_size, int) or not 1 <= world_size <= most:
        raise ArgumentError(
            "this is no possible number of local ranks",
            expected=f"1 to {most} on this machine ({os.cpu_count()} cores)",
            got=repr(world_size),
        )


def check_ranks(ranks: Sequence[int], world_size: int) -> list[int]:
    """The ranks in order, each once.

    Raises:
        ArgumentError: there are none, or some that the cluster does not have.
    """
    known = range(world_size)
    if not isinstance(ranks, Sequence) or not ranks or any(rank not in known for rank in ranks):
        raise ArgumentError(
            "the cluster has no such ranks", expected=f"a list of 0 to {world_size - 1}", got=repr(ranks)
        )
    return sorted(set(ranks))


def check_variables(variables: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """All of them, whose names Python code could assign to, and ranks do not have from the start.

    Raises:
        ArgumentError: a name is none of these, or `variables` no mapping.
    """
    if not isinstance(variables, Mapping | None):
        got = type(variables).__name__
        raise ArgumentError("push takes variables by name", expected="a mapping, or y=VALUE", got=got)
    bound = {**(variables or {}), **named}
    for name in bound:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ArgumentError("a variable needs a Python name", got=repr(name))
        if (meant := unicodedata.normalize("NFKC", name)) != name:
            raise ArgumentError(
                "Python reads this name as another", expected=meant, got=name, cure=f"push it as {meant}"
            )
        if name in _OF_EVERY_RANK:
            raise ArgumentError(
                f"{name} is what every rank has from the start, each its own",
                expected="another name",
                got=name,
                cure=f"to change it all the same, assign to it in a cell: %%sharded, then {name} = ...",
            )
        if name.startswith("__") and name.endswith("__"):
            raise ArgumentError(f"{name} is Python's own", expected="another name", got=name)
    return bound


def check_seconds(name: str, seconds: float | None, *, or_none: bool = True) -> None:
    """A time that can pass; where it may be None, that stands for no limit.

    Raises:
        ArgumentError: it is no positive number.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (or_none and seconds is None) and not (is_number and seconds and seconds > 0):
        raise ArgumentError(f"{name} must be a time", expected="seconds, more than 0", got=repr(seconds))


def check_record(record: bool, *, check: bool, ranks: Sequence[int] | None) -> None:
    """A recording is of all ranks, and of collectives that run when they are called.

    Raises:
        ArgumentError: only some ranks are to run, or each collective is to be checked before.
    """
    if record and ranks is not None:
        raise ArgumentError(
            "a recording is of all ranks", got=f"ranks {ranks}", cure="leave out ranks, or record"
        )
    if record and check:
        raise ArgumentError("a recording would time the checks as well", cure="check first, then record")


def check_code(code: str) -> None:
    """Refuse what no kernel can run, before a rank waits for it.

    Raises:
        ArgumentError: it is not text, or text that has no UTF-8 form.
    """
    if not isinstance(code, str):
        raise ArgumentError("code must be a string", got=type(code).__name__)
    try:
        code.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError("the code has characters that cannot be sent", got=error.reason) from error


def check_callable(name: str, given: object) -> None:
    """A function that is to be called.

    Raises:
        ArgumentError: it is none.
    """
    if not callable(given):
        raise ArgumentError(f"{name} is no function", expected="one of rank and event", got=repr(given))


def model_name(given: object) -> str:
    """What names a model: a text, or a path.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(given, Path):
        return str(given)
    if not isinstance(given, str):
        raise ArgumentError(
            "this names no model", expected="a folder, a hub id, austen or smollm2", got=repr(given)
        )
    return given
