"""Turn folded blocks into the outputs of one notebook cell, each line labelled with its ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from kernelkit.outputs.collect import Display, RankOutput, Stream
from kernelkit.outputs.fold import Block, Token, fold, tokens_of
from kernelkit.outputs.text import SHOWN_LINES, cut, cut_line, label_lines, missing_note, rank_label, settle


def render_cell(outputs: Mapping[int, RankOutput], world_size: int) -> list[Stream | Display]:
    """What the ranks printed and displayed, ready to be published in this order.

    Args:
        outputs: per rank.
        world_size: with one rank there is nothing to label.
    """
    blocks = fold({rank: tokens_of(output) for rank, output in outputs.items()})
    return _merge(piece for block in blocks for piece in _render_block(block, world_size))


def render_values(outputs: Mapping[int, RankOutput], world_size: int) -> list[Display]:
    """The last expression's values: text together as one output, rich ones each as such."""
    values = {rank: output.value for rank, output in sorted(outputs.items()) if output.value is not None}
    groups: list[tuple[Display, list[int]]] = []
    for rank, value in values.items():
        for known, ranks in groups:
            if known.data == value.data:
                ranks.append(rank)
                break
        else:
            groups.append((value, [rank]))
    shown: list[Display] = []
    text = ""
    for value, ranks in groups:
        label = rank_label(ranks) if world_size > 1 else ""
        if value.is_text:
            text += label_lines(cut(settle(value.text), ranks[0], "value_repr"), label)
        elif not label or len(groups) == 1:
            shown.append(value)
        else:
            shown += [_label_output(label), value]
    if text:
        shown.insert(0, Display({"text/plain": text.rstrip("\n")}))
    return shown


def _render_block(block: Block, world_size: int) -> Iterable[Stream | Display]:
    label = rank_label(block.ranks) if world_size > 1 else ""
    for kind, group in groupby(_cut(block), key=lambda token: token.kind):
        tokens: list[Token] = list(group)
        if kind == "display":
            for token in tokens:
                if label:
                    yield Stream("stdout", f"[{label}]\n")
                parts: dict[str, Any] = token.display
                yield Display(parts["data"], parts["metadata"])
        else:
            yield Stream(kind, label_lines([cut_line(token.text) for token in tokens], label))


def _cut(block: Block) -> Iterable[Token]:
    """The block's tokens, lines in the middle left out where there are too many, on whatever stream."""
    lines = [i for i, token in enumerate(block.tokens) if token.kind != "display"]
    if len(lines) <= SHOWN_LINES:
        return block.tokens
    half = SHOWN_LINES // 2
    left_out = set(lines[half:-half])
    kinds = {block.tokens[i].kind for i in lines}
    note = missing_note(len(lines), block.ranks[0], kinds.pop() if len(kinds) == 1 else "items")
    at = lines[half]
    tokens = [(i, token) for i, token in enumerate(block.tokens) if i not in left_out or i == at]
    return [Token(token.kind, note) if i == at else token for i, token in tokens]


def _merge(pieces: Iterable[Stream | Display]) -> list[Stream | Display]:
    merged: list[Stream | Display] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, Stream) and isinstance(last, Stream) and piece.name == last.name:
            merged[-1] = Stream(last.name, last.head + piece.head)
        else:
            merged.append(piece)
    return merged


def _label_output(label: str) -> Display:
    return Display({"text/plain": f"[{label}]"})
