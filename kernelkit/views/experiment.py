"""An experiment's record, or two side by side: figures as bars, tokens as strips, and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kernelkit.errors import ArgumentError
from kernelkit.views.picture import Picture

# Longer texts are drawn as if they ended there; the words beside the strip count all tokens.
MOST_TOKENS = 512


class Sheet(Protocol):
    """What the picture needs of a `kernelkit.experiments.sheet.Sheet`, a frozen dataclass."""

    @property
    def title(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[Any]: ...
    @property
    def strips(self) -> Sequence[Any]: ...
    @property
    def facts(self) -> Sequence[Any]: ...
    @property
    def sentences(self) -> Sequence[str]: ...
    def as_text(self) -> str: ...


class Recorded(Protocol):
    """A record of an experiment, or a comparison of two."""

    @property
    def sheet(self) -> Sheet: ...


def experiment(shown: Recorded) -> Picture:
    """Figures by unit with their ranges, tokens that are the same and that are not, and the conditions.

    A still picture, the same on every page. Of one record all conditions are listed, of two what differs.

    Args:
        shown: what `Run.end` or `kernelkit.experiments.compare` gave, or `Experiment.load`.

    Raises:
        ArgumentError: it is neither.
    """
    sheet = getattr(shown, "sheet", None)
    if sheet is None:
        expected = "the record of an experiment, or a comparison of two"
        raise ArgumentError("this is no experiment", expected=expected, got=type(shown).__name__)
    drawn = scene(sheet)
    return Picture("experiment", drawn, sheet.as_text(), alt(drawn))


def scene(sheet: Sheet) -> dict[str, Any]:
    """All that the picture shows; figures of one unit share a chart and its scale."""
    charts = dict.fromkeys(row.chart for row in sheet.rows)
    return {
        "title": sheet.title,
        "columns": list(sheet.columns),
        "charts": [
            {"title": chart, "rows": [_row(row) for row in sheet.rows if row.chart == chart]}
            for chart in charts
        ],
        "strips": [_strip(strip) for strip in sheet.strips],
        "facts": [{"name": fact.name, "values": list(fact.values)} for fact in sheet.facts],
        "sentences": list(sheet.sentences),
    }


def alt(drawn: dict[str, Any]) -> str:
    """The picture in a few sentences."""
    rows = [row for chart in drawn["charts"] for row in chart["rows"]]
    figures = [f"{row['name']}: {' and '.join(filter(None, row['words']))}." for row in rows]
    texts = [f"{strip['name']}: {strip['words']}." for strip in drawn["strips"]]
    return " ".join([f"Experiment {drawn['title']}.", *(drawn["sentences"] or texts), *figures])


def _row(row: Any) -> dict[str, Any]:
    values = [list(measured) for measured in row.values]
    return {"name": row.name, "values": values, "words": list(row.words), "ratio": row.ratio}


def _strip(strip: Any) -> dict[str, Any]:
    """For each record whether its tokens, one by one, are those of the first."""
    first = strip.tokens[0]
    same = [
        [at < len(first) and token == first[at] for at, token in enumerate(tokens[:MOST_TOKENS])]
        for tokens in strip.tokens
    ]
    return {"name": strip.name, "words": strip.words, "same": same}
