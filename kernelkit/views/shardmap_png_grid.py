"""Draw a shard map's overview on paper: layers down, ranks across, each rank's bytes as a bar below."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from kernelkit.units import format_bytes
from kernelkit.views.shardmap_ink import FONT, LINE, LOOKS, RULE, SOFT, Box, Ink, cut, text_width, wrapped
from kernelkit.views.shardmap_words import ADDED, notes

Matrix = dict[str, Any]
_NAMES, _BITS = 38.0, 30.0
_GOAL, _PITCH = 300.0, (2.5, 22.0)
_END_ROW, _END_MARGIN = (12.0, 56.0), 4.0
_SMALL, _GROUP_GAP = 2.5, 2.0
_LEAST_ADDED = 1.2
_LEAST_PITCH = 40.0
BAR = 36.0


class _Row(NamedTuple):
    """A row of cells: a layer, or what stands before or after all layers (then `layer` is None)."""

    layer: int | None
    name: str
    matrices: list[Matrix]
    owner: int | None
    y: float
    height: float


class Grid(NamedTuple):
    """What `draw_bars` goes on from: the columns, and the y below the rows."""

    columns: list[Box]
    bottom: float


def least_width(drawn: dict[str, Any]) -> float:
    """In less the words over the columns of its ranks would lie over each other."""
    return _NAMES + _BITS + len(drawn["ranks"]) * _LEAST_PITCH


def draw_grid(ink: Ink, drawn: dict[str, Any], maps: list[dict[str, Any]], x: float, width: float) -> Grid:
    """Draw one of `maps` with its left edge at `x`, all but the bars."""
    columns = _columns(drawn, x, width)
    _title(ink, drawn, x, width)
    # Maps in a row begin on one line, whatever they are called.
    top = _headers(ink, drawn, columns, 18 + max(_lines_below(each, width) for each in maps) * LINE)
    full = _full_bytes(maps, drawn["strategy"])
    rows, layer_height = _rows(drawn, full, top)
    bottom = rows[-1].y + rows[-1].height
    per_point = full / ((columns[0].width - _SMALL - 1 - _GROUP_GAP) * layer_height)
    for column in columns:
        ink.track(Box(column.x - 1, rows[0].y - 1, column.width + 2, bottom - rows[0].y + 2))
    for row in rows:
        for rank, column in enumerate(columns):
            _cell(ink, row, rank, column, per_point)
    _names(ink, rows, x + _NAMES - 5)
    _bands(ink, rows, columns)
    if drawn["quantization"]:
        _badges(ink, rows, x + width - _BITS + 3)
    return Grid(columns, bottom)


def _title(ink: Ink, drawn: dict[str, Any], x: float, width: float) -> None:
    lines, note, beside = _said(drawn, width)
    for i, line in enumerate(lines):
        ink.text(x, 11 + i * LINE, line, size=FONT + 1, bold=True)
    y = 11 + _lines_below(drawn, width) * LINE
    ink.text(x + width if beside else x, y, note, colour=SOFT, align="right" if beside else "left")


def _lines_below(drawn: dict[str, Any], width: float) -> int:
    """Of title and note, those below the first."""
    lines, _, beside = _said(drawn, width)
    return len(lines) - beside


def _said(drawn: dict[str, Any], width: float) -> tuple[list[str], str, bool]:
    """The title's lines, the note, and whether it has room beside the last of them."""
    # A little less than there is: bold hyphens, of which names have many, are wider than reckoned.
    title = " ".join(cut(word, 0.93 * width, FONT + 2) for word in drawn["title"].split(" "))
    lines, note = wrapped(title, width, FONT + 2), "  ·  ".join(notes(drawn))
    return lines, note, text_width(lines[-1], FONT + 2) + text_width(note) + 10 < width


def _columns(drawn: dict[str, Any], x: float, width: float) -> list[Box]:
    pitch = (width - _NAMES - (_BITS if drawn["quantization"] else 2)) / len(drawn["ranks"])
    gap = min(10.0, max(3.0, pitch * 0.08))
    return [Box(x + _NAMES + rank * pitch, 0, pitch - gap, 0) for rank in range(len(drawn["ranks"]))]


def _headers(ink: Ink, drawn: dict[str, Any], columns: list[Box], top: float) -> float:
    deepest = 0
    for rank, column in zip(drawn["ranks"], columns, strict=True):
        said = [line for words in (rank["label"], format_bytes(rank["size_bytes"]))
                for line in wrapped(words, column.width - 1, FONT - 0.5)]  # fmt: skip
        for i, words in enumerate([f"rank {rank['rank']}", *said]):
            y = top + (i + 1) * (LINE - 1)
            ink.text(
                column.x + column.width / 2,
                y,
                words,
                align="center",
                bold=not i,
                size=FONT - (0.5 if i else 0),
            )
        deepest = max(deepest, 1 + len(said))
    return top + deepest * (LINE - 1) + 6


def share_of(matrix: Matrix, rank: int, owner: int | None) -> dict[str, Any] | None:
    """What `rank` holds of a matrix; `owner` is the rank that holds a whole layer."""
    if owner is not None:
        rank = 0 if rank == owner else -1
    index = matrix["share_of"][rank] if rank >= 0 else -1
    return matrix["shares"][index] if index >= 0 else None


def _bytes(matrices: list[Matrix], rank: int, owner: int | None = None) -> int:
    shares = (share_of(m, rank, owner) for m in matrices if m["group"] != "small")
    return sum(share["size_bytes"] for share in shares if share)


def _full_bytes(maps: list[dict[str, Any]], strategy: str) -> int:
    """The bytes that fill a layer's cell; maps of one strategy share it."""
    kinds = [kind for drawn in maps if drawn["strategy"] == strategy for kind in drawn["kinds"]]
    return max([1, *(_most(kind) for kind in kinds)])


def _most(matrices: list[Matrix]) -> int:
    ranks = len(matrices[0]["share_of"]) if matrices else 0
    return max((_bytes(matrices, rank) for rank in range(ranks)), default=0)


def _rows(drawn: dict[str, Any], full: int, top: float) -> tuple[list[_Row], float]:
    """All rows where they stand, and the height of a layer."""
    ends = {place: _most(drawn[place]) / full for place in ("before", "after")}
    count = len(drawn["layers"])
    units = count + sum(min(end, count / 4) for end in ends.values())
    # In half points, whole pixels of the PNG: else every row would be rounded in its own way.
    pitch = min(_PITCH[1], max(_PITCH[0], _GOAL / max(units, 1) * 2 // 1 / 2))
    layer_height = pitch - (1.0 if pitch > 8 else 0.0)
    rows: list[_Row] = []

    def end_row(place: str, y: float) -> float:
        matrices = drawn[place]
        if not matrices:
            return y
        height = min(_END_ROW[1], max(_END_ROW[0], ends[place] * layer_height))
        large = [m for m in matrices if m["group"] != "small"] or matrices
        rows.append(_Row(None, ", ".join(m["name"] for m in large), matrices, None, y, height))
        return y + height + _END_MARGIN

    y = end_row("before", top)
    for layer, kind in enumerate(drawn["layers"]):
        owner = drawn["owners"][layer] if drawn["owners"] else None
        rows.append(_Row(layer, str(layer), drawn["kinds"][kind], owner, y, layer_height))
        y += pitch
    end_row("after", y + _END_MARGIN)
    return rows, layer_height


def _cell(ink: Ink, row: _Row, rank: int, column: Box, per_point: float) -> None:
    """One rank's part of one row: the matrices by their bytes, and a marker where there are vectors."""
    room = column.width - _SMALL - 1
    held = [(m, share) for m in row.matrices if (share := share_of(m, rank, row.owner))]
    large = [(m, share) for m, share in held if m["group"] != "small"]
    gaps = [
        _GROUP_GAP if i and large[i - 1][0]["group"] != m["group"] else 0.0 for i, (m, _) in enumerate(large)
    ]
    widths = [share["size_bytes"] / per_point / row.height for _, share in large]
    shrink = min(1.0, (room - sum(gaps)) / max(sum(widths), 1e-9))
    x = column.x
    for (matrix, share), gap, wide in zip(large, gaps, widths, strict=True):
        x += gap
        for look, part in parts_of(matrix, share, wide * shrink):
            ink.part(look, Box(x, row.y, part, row.height))
            x += part
        if wide > 2:
            ink.line(x, row.y, x, row.y + row.height, "white", width=0.8)
    if len(held) > len(large):
        cut = next(m["cut"] for m, _ in held if m["group"] == "small")
        ink.marker(cut, Box(column.x + room + 1, row.y, _SMALL, row.height))
    if large and row.layer is not None:
        # Layers that touch are parted by a fine line.
        ink.line(column.x, row.y, x, row.y, "#ffffff66", width=0.5)
    if row.layer is None and large:
        words = format_bytes(sum(share["size_bytes"] for _, share in held))
        words += " (shortened)" if shrink < 1 and text_width(words + " (shortened)") < x - column.x else ""
        if text_width(words) < x - column.x:
            middle = (column.x + x) / 2
            ink.text(middle, row.y + row.height / 2 + 2.8, words, align="center", on=True, size=FONT - 0.5)


def parts_of(matrix: Matrix, share: dict[str, Any], size: float) -> list[tuple[str, float]]:
    """A share that is drawn `size` wide, by looks: its own, what is repeated, and what is padding at the end.

    What is added is seen, however little it is.
    """
    least = min(_LEAST_ADDED, size / 4)
    added = [
        (what, max(least, size * share[f"{what}_bytes"] / share["size_bytes"]))
        for what in ("repeated", "padding")
        if share[f"{what}_bytes"]
    ]
    own = size - sum(part for _, part in added)
    return [*([(matrix["cut"], own)] if own > 1e-6 else []), *added]


def _names(ink: Ink, rows: list[_Row], right: float) -> None:
    layers = [row for row in rows if row.layer is not None]
    pitch = layers[1].y - layers[0].y if len(layers) > 1 else LINE
    step = next(n for n in (1, 2, 4, 5, 8, 10, 16, 20, 32, 64, 1 << 20) if n * pitch >= LINE - 1)
    for row in rows:
        last = row.layer is not None and row.layer == len(layers) - 1
        regular = row.layer is not None and row.layer % step == 0 and len(layers) - 1 - row.layer >= step
        if row.layer is None or last or regular:
            ink.text(
                right, row.y + row.height / 2 + 2.8, row.name, align="right", colour=SOFT, size=FONT - 0.5
            )


def _bands(ink: Ink, rows: list[_Row], columns: list[Box]) -> None:
    """The numbers of a band's layers on it, and an arrow to the rank that goes on."""
    runs = [list(run) for owner, run in groupby(rows, lambda row: row.owner) if owner is not None]
    for i, run in enumerate(runs):
        column = columns[run[0].owner or 0]
        bottom = run[-1].y + run[-1].height
        words = run[0].name if len(run) == 1 else f"{run[0].name}–{run[-1].name}"
        if bottom - run[0].y > LINE and text_width(words) < column.width:
            ink.text(
                column.x + column.width / 2, (run[0].y + bottom) / 2 + 2.8, words, align="center", on=True
            )
        if i + 1 < len(runs):
            beyond = columns[runs[i + 1][0].owner or 0]
            leftwards = beyond.x < column.x
            start = column.x - 1 if leftwards else column.x + column.width + 1
            end = beyond.x + beyond.width * (0.8 if leftwards else 0.2)
            ink.line(start, bottom - 4, end, bottom - 4, SOFT)
            ink.arrow(end, bottom - 4, end, bottom + 1)


def _badges(ink: Ink, rows: list[_Row], x: float) -> None:
    """A bracket at the right of each run of rows that are quantized alike, and its bits."""

    def bits(row: _Row) -> tuple[str, bool]:
        found = sorted({m["bits"] for m in row.matrices if m["bits"]})
        return ("+".join(map(str, found)) + "-bit" if found else ""), row.layer is None

    for (words, _), run in groupby(rows, bits):
        members = list(run)
        top, bottom = members[0].y, members[-1].y + members[-1].height
        if words:
            ink.line(x, top, x, bottom, RULE)
            if bottom - top >= FONT:
                ink.text(x + 3, (top + bottom) / 2 + 2.8, words, colour=SOFT, size=FONT - 0.5)


def draw_bars(ink: Ink, drawn: dict[str, Any], grid: Grid, baseline: float, most: int) -> float:
    """Each rank's bytes as a bar on the baseline, `most` bytes the highest; gives the y below all."""
    columns = grid.columns
    ink.line(columns[0].x - 3, baseline, columns[-1].x + columns[-1].width + 3, baseline, RULE)
    ink.text(columns[0].x - 5, baseline, "bytes", align="right", colour=SOFT, size=FONT - 0.5)
    deepest = 0
    for rank, column in zip(drawn["ranks"], columns, strict=True):
        middle, wide, y = column.x + column.width / 2, min(40.0, column.width * 0.7), baseline
        amounts = {**rank["cut_bytes"], **{what: rank[f"{what}_bytes"] for what in ADDED}}
        for look, size_bytes in amounts.items():
            height = size_bytes / most * BAR
            y -= height
            if size_bytes:
                part = Box(middle - wide / 2, y, wide, height)
                ink.part(look, part)
                ink.frame(part, LOOKS[look][1], 0.4)
        ink.text(middle, y - 3, format_bytes(rank["size_bytes"]), align="center", size=FONT - 0.5)
        told = [f"{format_bytes(amounts[look])} {look}" for look in ("replicated", *ADDED) if amounts[look]]
        notes = [line for words in told for line in wrapped(words, column.width, FONT - 0.5)]
        for i, words in enumerate(notes):
            y = baseline + (i + 1) * (LINE - 1)
            ink.text(middle, y, words, align="center", colour=SOFT, size=FONT - 0.5)
        deepest = max(deepest, len(notes))
    return baseline + deepest * (LINE - 1) + 4
