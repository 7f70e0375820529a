"""A user's own chips, links and models: the same JSON as kernelkit's, read beside it and going before it.

`{"chips": [...], "links": [...], "models": [...]}`, any of them, in `$KERNELKIT_CATALOG`, or else in
`catalog.json` of the user's folder for kernelkit's settings (`~/.config/kernelkit`, on a Mac
`~/Library/Application Support/kernelkit`), and in files that `add` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import platformdirs

from kernelkit.catalog.files import SECTIONS, E, data_file, read_list
from kernelkit.errors import ArgumentError, KernelkitError

VARIABLE = "KERNELKIT_CATALOG"
_added: list[Path] = []


def own_file() -> Path | None:
    """The user's file; None where there is none.

    Raises:
        ArgumentError: the variable names a file that is not there.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise ArgumentError(f"${VARIABLE} names no file", expected="a JSON file", got=named)
        return path
    path = platformdirs.user_config_path("kernelkit") / "catalog.json"
    return path if path.is_file() else None


def add_file(path: Path, read: Callable[[], object]) -> None:
    """Read one more file from now on, which goes before all others.

    Args:
        read: reads the whole catalog; where that fails, the file is not taken.

    Raises:
        ArgumentError: there is no such file, or what `read` raises.
    """
    before = list(_added)
    _added[:] = [*(other for other in before if other != path), path]
    try:
        read()
    except KernelkitError:
        _added[:] = before
        raise


def merged(section: str, kind: type[E], names: tuple[str, ...]) -> dict[str, E]:
    """All entries of one kind by key: those of kernelkit's files, then the user's, which replace what has
    their key.

    Raises:
        KernelkitError: a file of kernelkit's is missing.
        ArgumentError: an entry is not what it should be.
    """
    found: dict[str, E] = {}
    for name in names:
        found |= _read(data_file(name), 0, section, kind, True)
    for path, time_ns in stamps() if section in SECTIONS else ():
        found |= _read(path, time_ns, section, kind, False)
    return found


def stamps() -> tuple[tuple[Path, int], ...]:
    """The user's files, each with the time of its last change: when these differ, all is to be read again.

    Raises:
        ArgumentError: one is not there.
    """
    paths = [*([] if (own := own_file()) is None else [own]), *_added]
    try:
        return tuple((path, path.stat().st_mtime_ns) for path in paths)
    except OSError as error:
        raise ArgumentError("a file of the catalog cannot be read", got=str(error)) from error


@cache
def _read(path: Path, time_ns: int, section: str, kind: type[E], required: bool) -> dict[str, E]:
    """Read once for each time at which the file was changed."""
    return read_list(path, section, kind, required)
