"""A table as text and as HTML: the same cells, aligned for reading in either."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# Text of users and models may hold $...$, which a notebook typesets, but not in elements of these classes.
NO_MATH = 'class="tex2jax_ignore mathjax_ignore"'
# Cells up to this length are figures and names, which must not be broken at their spaces and signs.
_SHORT_CHARS = 30

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
        "<tr>"
        + "".join(f'<td style="text-align:left{_wrap(cell)}">{escape(cell)}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    style = "caption-side:top;text-align:left;padding:0;white-space:nowrap"
    lines = "<br>".join(escape(caption) for caption in captions)
    title = f'<caption style="{style}">{lines}</caption>'
    return f"<table {NO_MATH}>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _wrap(cell: str) -> str:
    return ";white-space:nowrap" if len(cell) <= _SHORT_CHARS else ""
