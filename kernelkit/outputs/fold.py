"""Fold what the ranks showed: once where they agree, in rank order where they do not.

Whatever all ranks begin with alike, and end with alike, is shown once. Between the two, ranks with
the same output share one block, and the blocks come in the order of their lowest rank. Nothing
depends on which rank was faster, so a cell looks the same from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelkit.outputs.collect import Display, RankOutput, Stream
from kernelkit.outputs.text import settle


@dataclass(frozen=True)
class Token:
    """The smallest thing that can be equal on two ranks: a line of text, or a rich output.

    Attributes:
        kind: `stdout`, `stderr` or `display`.
        text: the line; for a display, canonical JSON of its data and metadata.
    """

    kind: str
    text: str

    @property
    def display(self) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.text)
        return loaded


@dataclass(frozen=True)
class Block:
    """Tokens that these ranks share."""

    ranks: tuple[int, ...]
    tokens: tuple[Token, ...]


def tokens_of(output: RankOutput) -> list[Token]:
    """A rank's output as tokens in order; displays that are only text count as printed lines."""
    tokens: list[Token] = []
    for item in output.items:
        if isinstance(item, Stream):
            tokens += [Token(item.name, line) for line in settle(item.text)]
        else:
            tokens += _display_tokens(item)
    if output.dropped_displays:
        tokens.append(Token("stdout", f"… {output.dropped_displays:,} more outputs dropped …"))
    if output.dropped_lines:
        tokens.append(Token("stdout", f"… {output.dropped_lines:,} lines in between dropped …"))
    return tokens


def _display_tokens(display: Display) -> list[Token]:
    if display.is_text:
        return [Token("stdout", line) for line in settle(display.text)]
    return [
        Token("display", json.dumps({"data": display.data, "metadata": display.metadata}, sort_keys=True))
    ]


def fold(tokens: Mapping[int, Sequence[Token]]) -> list[Block]:
    """Blocks in the order in which they are shown.

    Args:
        tokens: each rank's, in any order of ranks.
    """
    ranks = tuple(sorted(tokens))
    if not ranks:
        return []
    columns = [tokens[rank] for rank in ranks]
    head = _common(columns)
    tail = _common([list(reversed(column[head:])) for column in columns])
    blocks = [Block(ranks, tuple(columns[0][:head]))] if head else []
    middles: dict[tuple[Token, ...], list[int]] = {}
    for rank, column in zip(ranks, columns, strict=True):
        middles.setdefault(tuple(column[head : len(column) - tail]), []).append(rank)
    blocks += [Block(tuple(sharing), middle) for middle, sharing in middles.items() if middle]
    if tail:
        blocks.append(Block(ranks, tuple(columns[0][len(columns[0]) - tail :])))
    return blocks


def _common(columns: Sequence[Sequence[Token]]) -> int:
    """How many tokens at the start all columns share."""
    shared = 0
    for row in zip(*columns, strict=False):
        if any(token != row[0] for token in row):
            break
        shared += 1
    return shared
