"""Whatever ranks send, in whatever order: merging loses nothing, and stays small past every bound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from kernelkit.hosts.ranklist import parse_ranks
from kernelkit.outputs import Display, RankOutput, Stream, collect, fold, render, render_cell, render_values
from kernelkit.outputs import text as output_text
from kernelkit.outputs.fold import Token, tokens_of
from kernelkit.outputs.text import settle
from tests.properties.tape import CHECKED, Tape, taped

Message = tuple[str, dict[str, Any]]
TEXTS = ("a\n", "b", "\n", "50 %\r", "100 %\r\n", "[0] c\n", "[0-1]\n", "d" * 40, "\x1b[1me\n", "\ud800🦊\n")
WIDGET = "application/vnd.jupyter.widget-view+json"
MIMES = ("text/plain", "text/html", "image/png", "application/json", WIDGET)
RICH = ("display_data", "update_display_data", "execute_result", "execute_result")
SILENT = ("status", "execute_input", "comm_msg", "a_kind_of_tomorrow")


def bundle(tape: Tape) -> dict[str, Any]:
    data: dict[str, Any] = {"text/plain": tape.pick(TEXTS)} if tape.below(4) else {}
    if tape.below(2):
        data |= dict(tape.some(3, lambda t: (t.pick(MIMES), t.pick((*TEXTS, None, ["l"], {"k": 1.5})))))
    return data


def rich(tape: Tape) -> dict[str, Any]:
    content: dict[str, Any] = {"data": bundle(tape)}
    if tape.below(4):
        content["metadata"] = tape.pick(({}, {"isolated": True}, {"image/png": {"width": 1}}))
    if tape.below(4):
        content["transient"] = {"display_id": tape.pick(("one", "two"))} if tape.below(3) else {}
    return content


def message(tape: Tape) -> Message:
    kind = tape.below(12)
    if kind < 5:
        text = tape.pick(TEXTS) if tape.below(8) else tape.odd()
        return "stream", {"name": tape.pick(("stdout", "stdout", "stderr")), "text": text}
    if kind < 9:
        return tape.pick(RICH), rich(tape)
    if kind == 9:
        return "clear_output", tape.pick(({"wait": True}, {"wait": False}, {}))
    if kind == 10:
        return "error", {"ename": tape.odd(), "evalue": tape.odd(), "traceback": [tape.odd()]}
    return tape.pick(SILENT), tape.pick(({}, {"execution_state": "busy"}, {"data": None}))


def reply(tape: Tape) -> dict[str, Any]:
    error = {"ename": "E", "evalue": tape.odd(), "traceback": []} if tape.below(2) else {}
    page = {"source": "page", "data": bundle(tape), "start": 0}
    other = {"source": "set_next_input", "text": tape.odd(), "replace": False}
    payload = tape.some(2, lambda tape: tape.pick((page, other)))
    return {"status": tape.pick(("ok", "error", "aborted")), **error, "payload": payload}


class Cell:
    """What the ranks of one cell sent."""

    def __init__(self, tape: Tape) -> None:
        self.world_size = 1 + tape.below(4)
        ranks = [rank for rank in range(self.world_size) if tape.below(8)]
        sent = tape.some(9, lambda tape: (message(tape), tape.below(2) or tape.below(2 << self.world_size)))
        self.messages = {rank: [one for one, to in sent if to == 1 or to >> rank & 1] for rank in ranks}
        self.replies = {rank: reply(tape) for rank in ranks}

    def __repr__(self) -> str:
        return f"<{self.world_size} ranks: {self.messages}, {self.replies}>"

    def one_by_one(self) -> dict[int, RankOutput]:
        """Each rank's whole, and then the next one's."""
        outputs = {rank: RankOutput(rank) for rank in self.messages}
        for rank, output in outputs.items():
            for kind, content in self.messages[rank]:
                output.feed(kind, content)
            output.feed_reply(self.replies[rank])
        return outputs

    def by_turns(self) -> dict[int, RankOutput]:
        """The highest rank first, and one message of each at a time."""
        outputs = {rank: RankOutput(rank) for rank in reversed(self.messages)}
        for turn in range(max(map(len, self.messages.values()), default=0)):
            for rank, output in outputs.items():
                for kind, content in self.messages[rank][turn : turn + 1]:
                    output.feed(kind, content)
        for rank, output in outputs.items():
            output.feed_reply(self.replies[rank])
        return outputs


def read_back(pieces: Sequence[Stream | Display], world_size: int) -> dict[int, list[Token]]:
    """What one who reads the labels would say that each rank showed."""
    read: dict[int, list[Token]] = {rank: [] for rank in range(world_size)}
    ranks = [0]
    for piece in pieces:
        if isinstance(piece, Display):
            shown = json.dumps({"data": piece.data, "metadata": piece.metadata}, sort_keys=True)
            for rank in ranks:
                read[rank].append(Token("display", shown))
            continue
        for line in piece.text.removesuffix("\n").split("\n"):
            label, _, rest = line.partition("]") if world_size > 1 else ("[0", "", f" {line}")
            ranks = parse_ranks(label.removeprefix("["), world_size)
            for rank in ranks if rest else ():  # without, it names the ranks of the display after it
                read[rank].append(Token(piece.name, rest.removeprefix(" ")))
    return read


def cut(tokens: Sequence[Token]) -> list[Token]:
    """What is shown of them: of a very long line, its beginning."""
    return [t if t.kind == "display" else Token(t.kind, output_text.cut_line(t.text)) for t in tokens]


@CHECKED
@given(taped(Cell, 40))
def test_merging_loses_nothing_and_does_not_depend_on_who_was_first(cell: Cell) -> None:
    outputs, others = cell.one_by_one(), cell.by_turns()
    tokens = {rank: tokens_of(output) for rank, output in outputs.items()}
    blocks = fold(tokens)
    for rank, own in tokens.items():
        assert [token for block in blocks if rank in block.ranks for token in block.tokens] == own
    shown, values = render_cell(outputs, cell.world_size), render_values(outputs, cell.world_size)
    assert read_back(shown, cell.world_size) == {r: cut(tokens.get(r, [])) for r in range(cell.world_size)}
    assert render_cell(others, cell.world_size) == shown
    assert render_values(others, cell.world_size) == values
    text = "\n".join(value.text for value in values if value.is_text)
    for value in (output.value for output in outputs.values() if output.value is not None):
        if value.is_text:
            assert all(line in text for line in settle(value.text))
        else:
            assert value.data in [one.data for one in values]


@CHECKED
@given(taped(Cell, 40))
def test_past_every_bound_merging_stays_small_and_the_same(cell: Cell) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in {"KEPT_CHARS": 60, "KEPT_ITEMS": 4, "KEPT_DISPLAYS": 2}.items():
            patch.setattr(collect, name, bound)
        for module in (render, output_text):
            patch.setattr(module, "SHOWN_LINES", 4)
        patch.setattr(output_text, "SHOWN_LINE_CHARS", 10)
        outputs, others = cell.one_by_one(), cell.by_turns()
        shown = render_cell(outputs, cell.world_size)
        assert render_cell(others, cell.world_size) == shown
        assert render_values(others, cell.world_size) == render_values(outputs, cell.world_size)
    assert sum(len(piece.text) for piece in shown if isinstance(piece, Stream)) < 5_000
    for output in outputs.values():
        assert sum(item.kept_chars for item in output.items if isinstance(item, Stream)) <= 60
        assert len(output.displays) <= 2
        assert len("".join(item.head for item in output.recent(10).items if isinstance(item, Stream))) <= 10
