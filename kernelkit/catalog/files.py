"""The catalog's JSON files: where they lie, and lists of entries, with every error saying where.

They come with kernelkit, in the repository's `data` or, once installed, in the package's; a user's own files
(`own`) have the same form, and are read by the same rules.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.fields import build

_PACKAGE = Path(__file__).parent.parent
# Of a user's own file.
SECTIONS = {"about", "chips", "links", "models"}
_PLACES = (_PACKAGE / "data", _PACKAGE.parent / "data")


class Entry(Protocol):
    """One thing of the catalog: a frozen dataclass that can be looked up by its key."""

    # What one of them is called, in errors.
    name: ClassVar[str]

    @property
    def key(self) -> str: ...

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says which.
        """


E = TypeVar("E", bound=Entry)


def data_file(name: str) -> Path:
    """A file of the data that come with kernelkit.

    Raises:
        KernelkitError: it is in none of the places.
    """
    for place in _PLACES:
        if (path := place / name).is_file():
            return path
    looked = " or ".join(str(place) for place in _PLACES)
    raise KernelkitError(
        f"kernelkit's {name} is missing", expected=f"in {looked}", cure="install kernelkit again"
    )


def read_list(path: Path, section: str, kind: type[E], required: bool = True) -> dict[str, E]:
    """The entries of one section of a file, by key.

    Args:
        required: whether a file without that section is wrong, or has none of these entries.

    Raises:
        ArgumentError: the file cannot be read, or an entry is not what it should be; the error names file,
            entry and field.
    """
    try:
        return parse_list(path.read_text(encoding="utf-8"), section, kind, required)
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path} cannot be read", got=str(error)) from error
    except ArgumentError as error:
        error.what = f"{path}: {error.what}"
        raise


def parse_list(text: str, section: str, kind: type[E], required: bool = True) -> dict[str, E]:
    """Read a file's text: `{"chips": [{"key": ..., ...}, ...]}`.

    Raises:
        ArgumentError: it is no JSON, or an entry is not a `kind`; the error says which.
    """
    expected = f'{{"{section}": [...]}}'
    try:
        data = json.loads(text)
    # RecursionError: brackets within brackets, without end.
    except (ValueError, RecursionError) as error:
        raise ArgumentError("this is no JSON", expected=expected, got=str(error)) from error
    if isinstance(data, dict) and not required and (unknown := set(data) - SECTIONS):
        allowed = ", ".join(sorted(SECTIONS))
        raise ArgumentError(f"the catalog has no {sorted(unknown)[0]}", expected=allowed, got=text[:80])
    entries = data.get(section, None if required else []) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ArgumentError(f"this is no list of {section}", expected=expected, got=text[:80])
    made = [_entry(entry, f"{section}[{i}]", kind) for i, entry in enumerate(entries)]
    keys = [entry.key for entry in made]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ArgumentError(f"{section} must differ by key", got=", ".join(sorted(twice)))
    return dict(zip(keys, made, strict=True))


def _entry(data: Any, where: str, kind: type[E]) -> E:
    try:
        made: E = build(kind, data)
        made.check()
    except ValueError as error:
        key = data.get("key") if isinstance(data, dict) else None
        named = f"{where} ({key})" if isinstance(key, str) else where
        raise ArgumentError(f"{named} is no {kind.name}: {error}", got=str(data)[:200]) from error
    return made


def check_figures(entry: Any) -> None:
    """See that an entry has a key and a title, numbers above 0, ranges in order, and a source for each
    figure.

    A field `x_source` belongs to the fields `x` and `x_...`: either all are there or none is.

    Raises:
        ValueError: it is not so; the error names the field.
    """
    names = [field.name for field in fields(entry)]
    for name in ("key", "title"):
        if not getattr(entry, name).strip():
            raise ValueError(f"{name} is empty")
    for field in fields(entry):
        value = getattr(entry, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(0 < n < float("inf") for n in numbers if isinstance(n, int | float)):
            raise ValueError(f"{field.name} is {value!r}, not above 0")
        if value and "tuple[float, float]" in str(field.type) and value[0] > value[1]:
            raise ValueError(f"{field.name} is no range: {value[0]:g} comes before {value[1]:g}")
    for source in (name for name in names if name.endswith("_source")):
        stem = source.removesuffix("_source")
        figures = [name for name in names if name != source and f"{name}_".startswith(f"{stem}_")]
        for name in figures:
            if (getattr(entry, name) in (None, ())) == bool(getattr(entry, source)):
                raise ValueError(f"{name} and {source} go together")
