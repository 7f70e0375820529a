"""What is shown of one record or of two: as text and HTML here, by `views.experiment` as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from kernelkit.tables import NO_MATH, html_table, text_table


@dataclass(frozen=True)
class Row:
    """A figure of each record.

    Attributes:
        name: of the figure.
        unit: of its values.
        chart: which figures share a scale with it: those of a unit, links apart.
        values: for each record those that were measured; none where it lacks the figure.
        words: for each record the median, with its range where there are several.
        ratio: second to first, in words; empty of one record.
    """

    name: str
    unit: str
    chart: str
    values: tuple[tuple[float, ...], ...]
    words: tuple[str, ...]
    ratio: str = ""


@dataclass(frozen=True)
class Strip:
    """The tokens of a text in each record.

    Attributes:
        name: of the text.
        tokens: for each record; none where it lacks the text.
        words: what is to be said of them.
    """

    name: str
    tokens: tuple[tuple[int, ...], ...]
    words: str


@dataclass(frozen=True)
class Fact:
    """Something that is so in each record.

    Attributes:
        name: what it is.
        values: for each record, in words.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """One record, or two side by side.

    Attributes:
        title: in a line.
        columns: what the records are called, one or two.
        rows: the figures.
        strips: the texts.
        facts: of one record all, of two those that differ.
        sentences: what follows from it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    strips: tuple[Strip, ...]
    facts: tuple[Fact, ...]
    sentences: tuple[str, ...] = ()

    def as_text(self) -> str:
        """Title, sentences, and a table each of figures, texts and facts."""
        tables = [text_table(columns, rows) for columns, rows in self._tables() if rows]
        return "\n\n".join(["\n".join([self.title, *self.sentences]), *tables])

    def as_html(self) -> str:
        """The same as HTML."""
        said = "".join(f"<div>{escape(line)}</div>" for line in self.sentences)
        tables = [html_table(columns, rows, "") for columns, rows in self._tables() if rows]
        return f"<div {NO_MATH}><b>{escape(self.title)}</b>{said}</div>" + "".join(tables)

    def _tables(self) -> Sequence[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        both = len(self.columns) > 1
        ratio = ("second / first",) if both else ()
        figures: list[tuple[str, ...]] = [
            (row.name, *row.words, *([row.ratio] if both else [])) for row in self.rows
        ]
        texts: list[tuple[str, ...]] = [(strip.name, strip.words) for strip in self.strips]
        facts: list[tuple[str, ...]] = [(fact.name, *fact.values) for fact in self.facts]
        return (
            (("result", *self.columns, *ratio), figures),
            (("text", "tokens"), texts),
            (("what differs" if both else "condition", *self.columns), facts),
        )
