"""The table of `notebooks/README.md`, read as the tests need it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.notebooks.stored import FOLDER

README = FOLDER / "README.md"
_ROW = re.compile(r"^\| (\d\d) \| \[([^\]]+)\]\(([^)]+)\) \| (.+?) \| (\d+) s \| (.+?) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """A row: its number, file, what one learns, how long it runs, and what it needs."""

    number: str
    title: str
    file: str
    learned: str
    seconds: int
    needs: str


def lessons() -> list[Lesson]:
    """In the table's order."""
    rows = _ROW.findall(README.read_text(encoding="utf-8"))
    return [
        Lesson(number, title, file, learned, int(s), needs) for number, title, file, learned, s, needs in rows
    ]
