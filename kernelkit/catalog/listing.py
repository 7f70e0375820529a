"""What the catalog holds of one kind: looked up by key, shown as a table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from kernelkit.errors import ArgumentError
from kernelkit.tables import html_table, text_table

T = TypeVar("T")

# So many near keys are offered where one is not there.
_NEAR = 4
# Of two letters one is half of all, as in m9.
_LIKENESS = (0.6, 0.5)


class Listing(Mapping[str, T], Generic[T]):
    """Entries by key. An entry may have other names too, by which it is found but not counted.

    Args:
        name: of one entry, such as `chip`.
        entries: in the order in which they are shown.
        columns: of the table.
        row: an entry's cells.
        aliases: other names, each with its key.
        call: the function of `kk.catalog` that gives the list.
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[str, T],
        columns: Sequence[str],
        row: Callable[[T], Sequence[str]],
        aliases: Mapping[str, str] | None = None,
        *,
        call: str,
    ) -> None:
        self._name, self._call = name, call
        self._entries = dict(entries)
        self._columns = columns
        self._row = row
        self._aliases = {_plain(alias): key for alias, key in (aliases or {}).items()}
        self._aliases |= {_plain(key): key for key in entries}

    def __getitem__(self, key: str) -> T:
        """The entry of that key or other name; capital letters, blanks and underscores do not matter.

        Raises:
            ArgumentError: there is none; the error offers the nearest keys.
        """
        found = self._aliases.get(_plain(key)) if isinstance(key, str) else None
        if found is None:
            near = self.near(key) if isinstance(key, str) else []
            cure = f"did you mean {' or '.join(near)}?" if near else self._all()
            expected = f"a key of the catalog's {len(self)}, such as {next(iter(self), '')}"
            raise ArgumentError(
                f"there is no {self._name} {key!r}", expected=expected, got=repr(key), cure=cure
            )
        return self._entries[found]

    def near(self, name: str) -> list[str]:
        """Keys and other names that are spelt much like one."""
        for likeness in _LIKENESS:
            if found := difflib.get_close_matches(_plain(name), [*self._aliases], n=_NEAR, cutoff=likeness):
                return found
        return []

    def _all(self) -> str:
        keys = list(self._entries)
        return (
            f"one of {', '.join(keys)}"
            if len(keys) <= 40
            else f"kk.catalog.{self._call}() lists all {len(keys)}"
        )

    def get(self, key: str, default: Any = None) -> Any:
        found = self._aliases.get(_plain(key))
        return default if found is None else self._entries[found]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _plain(key) in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return text_table(self._columns, self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._columns, self._rows(), f"{len(self)} {self._name}{'s' * (len(self) != 1)}")

    def _rows(self) -> list[Sequence[str]]:
        return [self._row(entry) for entry in self._entries.values()]


def _plain(name: str) -> str:
    return "-".join(name.lower().replace("_", " ").split())
