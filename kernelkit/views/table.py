"""A table as text and as HTML: the same cells, aligned for reading in either."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[Sequence[str]]


def text_table(columns: Sequence[str], rows: Rows) -> str:
    """Columns padded to their widest cell, two spaces apart, no trailing space."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def html_table(columns: Sequence[str], rows: Rows, *captions: str) -> str:
    """A plain table under its captions, a line each; it takes its colours from the notebook's theme."""
    head = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    style = "caption-side:top;text-align:left;padding:0;white-space:nowrap"
    lines = "<br>".join(escape(caption) for caption in captions)
    title = f'<caption style="{style}">{lines}</caption>'
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
