"""Draw one layer magnified on paper: its matrices to scale, their cuts and shapes, and what is sent."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from kernelkit.units import format_bytes
from kernelkit.views.shardmap_ink import FONT, INK, LINE, LOOKS, SOFT, Box, Ink, text_width, wrapped
from kernelkit.views.shardmap_png_grid import parts_of
from kernelkit.views.shardmap_words import ADDED, by_ranks, layer_numbers, ranks_text, shape_text

Matrix = dict[str, Any]
_GAP, _MARK = 14.0, 42.0
_MAX_HEIGHT, _LONGEST, _VECTOR = 330.0, 12, 5.0
_LEAST_HEIGHT = 44.0  # of the highest matrix: with many lines of labels the drawing grows instead
_GROUPS = {"attention": "attention", "other": "", "mlp": "MLP", "small": "norms and other vectors"}


class _Block(NamedTuple):
    """A matrix in the drawing: its box, and the width with labels and the collective behind it."""

    matrix: Matrix
    box: Box
    slot: float
    lines: tuple[str, ...]


def draw_layer(ink: Ink, drawn: dict[str, Any], kind: int, x: float, top: float, width: float) -> float:
    """Draw the layers of `kind`, which are all alike; gives the y below them."""
    matrices = drawn["kinds"][kind] if drawn["kinds"] else []
    top = _heading(ink, _title_of(drawn, kind, matrices), x, top, width)
    owned = bool(drawn["owners"])
    scale = width / max([1.0, *(_sides(m)[0] for m in matrices)])
    placed, headings, bottom = _place(matrices, x, top, width, scale)
    while bottom - top > _MAX_HEIGHT and max(block.box.height for block in placed) > _LEAST_HEIGHT:
        scale *= 0.94
        placed, headings, bottom = _place(matrices, x, top, width, scale)
    for words, left, y in headings:
        ink.text(left, y, words, colour=SOFT, size=FONT - 0.5)
    for i, block in enumerate(placed):
        _draw(ink, block, owned)
        follows = i and placed[i - 1].matrix["cut"] == "column" and block.matrix["cut"] == "row"
        if follows and block.box.x > x:
            ink.arrow(block.box.x - _GAP + 2, block.box.y + 6, block.box.x - 3, block.box.y + 6)
    return _reasons(ink, drawn, matrices, x, bottom, width)


def _title_of(drawn: dict[str, Any], kind: int, matrices: list[Matrix]) -> str:
    """`"layers 0-15: 3.15 MB on rank 0, 1.57 MB on ranks 1-2"`."""
    sizes: dict[int, int] = {}
    for matrix in matrices:
        for rank, share in _held(matrix).items():
            sizes[rank] = sizes.get(rank, 0) + share["size_bytes"]
    held = by_ranks({rank: format_bytes(sizes[rank]) for rank in sorted(sizes)})
    if len(held) > 1:
        each = ""
    elif drawn["owners"]:
        each = " each"
    else:  # of a hybrid, only a stage has them
        each = " per rank" if len(sizes) == len(drawn["ranks"]) else f" on {ranks_text(sorted(sizes))}"
    return f"{layer_numbers(drawn['layers'], kind)}: {', '.join(held)}{each}"


def _heading(ink: Ink, title: str, x: float, top: float, width: float) -> float:
    """The title, and how matrices are drawn, below it where there is no room beside; gives the y below."""
    note, size = "y = x W: inputs down, outputs across", FONT - 0.5
    lines = wrapped(title, width, FONT + 2)
    for i, line in enumerate(lines):
        ink.text(x, top + 11 + i * (LINE + 1), line, size=FONT + 1, bold=True)
    y = top + 11 + (len(lines) - 1) * (LINE + 1)
    beside = text_width(lines[-1], FONT + 2) + text_width(note, size) + 10 < width
    y += 0 if beside else LINE
    ink.text(x + width if beside else x, y, note, colour=SOFT, align="right" if beside else "left", size=size)
    return y + 11


def _held(matrix: Matrix) -> dict[int, dict[str, Any]]:
    """What each rank has of it."""
    return {rank: matrix["shares"][i] for rank, i in enumerate(matrix["share_of"]) if i >= 0}


def _reasons(
    ink: Ink, drawn: dict[str, Any], matrices: list[Matrix], x: float, y: float, width: float
) -> float:
    """In words what each cut of these matrices means, and what was added to them; gives the y below."""
    reasons = {m["cut"]: m["why"] for m in reversed(matrices)}
    shares = [share for m in matrices if m["group"] != "small" for share in m["shares"]]
    for what, words in ADDED.items():
        cost_bytes = sum(rank[f"{what}_bytes"] for rank in drawn["ranks"])
        if any(share[f"{what}_bytes"] for share in shares):
            reasons[what] = f"{words} Cost: {format_bytes(cost_bytes)} on all ranks together."
    for cut, words in ((look, reasons[look]) for look in LOOKS if look in reasons):
        swatch = Box(x, y + 1, 9, 7)
        ink.part(cut, swatch)
        ink.frame(swatch, LOOKS[cut][1])
        for line in wrapped(f"{LOOKS[cut][0].partition(':')[0]}: {words}", width - 14, FONT - 0.5):
            ink.text(x + 14, y + 7.5, line, size=FONT - 0.5, colour=SOFT)
            y += LINE - 1
        y += 4
    return y


def _sides(matrix: Matrix) -> tuple[float, float | None]:
    """What is drawn across and down, padding included; a side is at most twelve times the other."""
    full = list(matrix["shape"])
    axis = matrix["axis"]
    if axis is not None:
        full[axis] = sum(matrix["shares"][i]["shape"][axis] for i in matrix["share_of"] if i >= 0)
    across = full[matrix["across"]["axis"]]
    if axis in _behind(matrix):
        across *= full[axis]  # a cut between the matrices of a stack: these stand side by side
    if matrix["down"] is None:
        return across, None
    down = full[matrix["down"]["axis"]]
    return min(across, _LONGEST * down), min(down, _LONGEST * across)


def _behind(matrix: Matrix) -> list[int]:
    """The axes that are drawn neither across nor down: of experts, or of heads."""
    seen = [side["axis"] for side in (matrix["across"], matrix["down"]) if side]
    return [axis for axis in range(len(matrix["shape"])) if axis not in seen]


def _stack(matrix: Matrix) -> int:
    """How many matrices stand one behind the other."""
    return math.prod(matrix["shape"][axis] for axis in _behind(matrix) if axis != matrix["axis"])


def _place(
    matrices: list[Matrix], left: float, top: float, width: float, scale: float
) -> tuple[list[_Block], list[tuple[str, float, float]], float]:
    """Blocks group by group in lines, the groups' headings, and the y below all."""
    placed: list[_Block] = []
    headings: list[tuple[str, float, float]] = []
    y = top
    for group, words in _GROUPS.items():
        members = [_block(m, scale) for m in matrices if m["group"] == group]
        if not members:
            continue
        if words:
            headings.append((words, left, y + 6))
            y += LINE
        labels = (1 + max(len(block.lines) for block in members)) * (LINE - 1) + 4
        x, high = left, 0.0
        for block in members:
            if x > left and x + block.slot > left + width:
                x, y, high = left, y + high + 8, 0.0
            placed.append(block._replace(box=block.box._replace(x=x, y=y + labels)))
            x += block.slot + _GAP
            high = max(
                high,
                labels + block.box.height + (6 if _stack(block.matrix) > 1 else 0),
                labels + 30 if block.matrix["collective"] else 0,
            )
        y += high + 12
    return placed, headings, y


def _block(matrix: Matrix, scale: float) -> _Block:
    across, down = _sides(matrix)
    box = Box(0, 0, max(1.5, across * scale), _VECTOR if down is None else max(1.5, down * scale))
    cut = matrix["cut"] in ("column", "row")
    parts = by_ranks({rank: shape_text(share["shape"]) for rank, share in _held(matrix).items()})
    lines = (shape_text(matrix["shape"]), *(f"→ {part}" for part in parts if cut))
    labels = max(text_width(_title(matrix)) + 3, *(text_width(line, FONT - 0.5) for line in lines))
    return _Block(matrix, box, max(box.width + (_MARK if matrix["collective"] else 0), labels), lines)


def _title(matrix: Matrix) -> str:
    return _name(matrix) + (f"  {matrix['bits']}-bit" if matrix["bits"] else "")


def _name(matrix: Matrix) -> str:
    return str(matrix["name"]) + (f" ×{_stack(matrix)}" if _stack(matrix) > 1 else "")


def _draw(ink: Ink, block: _Block, owned: bool) -> None:
    matrix, box, look = block.matrix, block.box, block.matrix["cut"]
    first = box.y - 4 - len(block.lines) * (LINE - 1)
    ink.text(box.x, first, _name(matrix), bold=True)
    if matrix["bits"]:
        x = box.x + text_width(_name(matrix), FONT * 1.12) + 5
        ink.text(x, first, f"{matrix['bits']}-bit", colour=SOFT, size=FONT - 0.5)
    for i, words in enumerate(block.lines):
        ink.text(box.x, first + (i + 1) * (LINE - 1), words, colour=SOFT, size=FONT - 0.5)
    for i in range(min(_stack(matrix), 3) - 1, 0, -1):
        ink.behind(Box(box.x + 2.5 * i, box.y + 2.5 * i, box.width, box.height))
    if look in ("column", "row") and not owned:
        _stripes(ink, matrix, box)
    else:
        ink.part(look, box)
    ink.frame(box, LOOKS[look][1])
    if matrix["collective"]:
        middle, y = box.x + box.width + 14, box.y + max(9.0, min(box.height / 2, 30.0))
        ink.line(box.x + box.width, y, middle - 7, y, SOFT)
        sign = "Σ" if matrix["collective"] == "all_sum" else "∪"
        ink.text(middle, y + 3.2, sign, align="center", size=FONT + 1.5)
        ink.circle(middle, y, 7)
        ink.text(middle + 2, y + 17, matrix["collective"], align="center", size=FONT - 0.5)


def _stripes(ink: Ink, matrix: Matrix, box: Box) -> None:
    """Each rank's part with its number, padding at its end, and the cuts between them."""
    axis = matrix["axis"]
    down = matrix["down"] is not None and axis == matrix["down"]["axis"]
    held = _held(matrix)
    total = sum(share["shape"][axis] for share in held.values())
    length = box.height if down else box.width
    start = 0.0
    for rank, share in held.items():
        size = share["shape"][axis] / total
        part, pieces, at = _between(box, down, start, start + size), [], start
        for look, long in parts_of(matrix, share, size * length):
            pieces.append(_between(box, down, at, at + long / length))
            ink.part(look, pieces[-1])
            at += long / length
        thickness = part.height if down else part.width
        if start and thickness > 1.5:
            end = (part.x + part.width, part.y) if down else (part.x, part.y + part.height)
            colour, style = (INK, "dashed") if thickness > 8 else ("white", "solid")
            ink.line(part.x, part.y, *end, colour, width=0.8, style=style)
        inner = pieces[0] if min(pieces[0].width, pieces[0].height) > 9 else part
        if min(inner.width, inner.height) > 9:
            x, y = inner.x + inner.width / 2, inner.y + inner.height / 2
            ink.text(x, y + 2.8, str(rank), align="center", on=True)
        start += size


def _between(box: Box, down: bool, first: float, last: float) -> Box:
    """The part of a box from one fraction to another: from top to bottom, or from left to right."""
    if down:
        return Box(box.x, box.y + first * box.height, box.width, (last - first) * box.height)
    return Box(box.x + first * box.width, box.y, (last - first) * box.width, box.height)
