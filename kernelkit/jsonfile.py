"""Plain data as JSON files: one way to write them, one clear error for files that are something else."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from kernelkit.errors import ArgumentError
from kernelkit.fields import build


class Stored:
    """Plain data that is kept as JSON: a frozen dataclass says by which key, as what, and checks itself."""

    _key: ClassVar[str]
    _name: ClassVar[str]
    _version: ClassVar[int] = 1
    # Of the file's lines, for what a person may read; None for one long line.
    _indent: ClassVar[int | None] = 1

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, with a key that says what it is and of which version."""
        data: Any = self  # a dataclass
        return {self._key: self._version, **asdict(data)}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """What `to_dict` gave.

        Raises:
            ArgumentError: it is not that, or of another version, or its parts do not fit together.
        """
        try:
            made = build(cls, cls._fields(data))
            made.check()
        except ValueError as error:
            raise ArgumentError(f"the {cls._name} does not fit together", got=str(error)) from error
        return made

    @classmethod
    def _fields(cls, data: Any) -> dict[str, Any]:
        """A dictionary's fields, once it has said what it is."""
        if not isinstance(data, dict) or data.get(cls._key) != cls._version:
            got = data.get(cls._key, "none") if isinstance(data, dict) else type(data).__name__
            expected = f'an object with "{cls._key}": {cls._version}'
            raise ArgumentError(f"this is no {cls._name}", expected=expected, got=str(got))
        return {field: value for field, value in data.items() if field != cls._key}

    def save(self, path: str | Path) -> None:
        """Write it as JSON.

        Raises:
            ArgumentError: it cannot be written there.
        """
        save_json(self.to_dict(), path, indent=self._indent)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArgumentError: there is no such file, or it holds something else.
        """
        return cls.from_dict(load_json(path, cls._name))


def save_json(data: dict[str, Any], path: str | Path, indent: int | None = None) -> None:
    """Write a dictionary.

    Args:
        indent: of its lines, for what a person may read; None for one long line.

    Raises:
        ArgumentError: it cannot be written there.
    """
    _check_path(path)
    try:
        Path(path).expanduser().write_text(json.dumps(data, indent=indent) + "\n", encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{path} cannot be written", got=error.strerror or str(error)) from error


def load_json(path: str | Path, name: str) -> Any:
    """Read what `save_json` wrote.

    Raises:
        ArgumentError: there is no such file, or no JSON in it.
    """
    _check_path(path)
    try:
        return json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    # RecursionError: brackets within brackets, without end.
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{path} cannot be read as a {name}", got=str(error)) from error


def _check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError("this names no file", expected="a path", got=repr(path))
