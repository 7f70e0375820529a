"""Whatever a parser is given, it understands it or raises one of our errors: 10,000 examples each.

A strategy made of strategies costs Hypothesis a millisecond or more for each example. So an example
here is one drawn string of bytes, a tape, which plain functions read as a row of choices. What Hypothesis
sets to zero on a tape is the first choice, the plainest, so a failing example still shrinks.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.errors import KernelkitError
from kernelkit.hosts.hostfile import BACKENDS, format_hostfile, parse_hostfile
from kernelkit.hosts.ranklist import parse_ranks
from kernelkit.magics import lines
from kernelkit.magics.commands import _split_line
from kernelkit.magics.grammar import Flag, Magic, parse
from kernelkit.outputs import Display, RankOutput, Stream, collect, fold, render, render_cell, render_values
from kernelkit.outputs import text as output_text
from kernelkit.outputs.fold import Token, tokens_of
from kernelkit.outputs.text import rank_label, settle

T = TypeVar("T")

CHECKED = settings(max_examples=10_000, deadline=None, derandomize=True)
HUGE = "9" * 5_000  # more digits than Python's int takes
ODD: tuple[str, ...] = (
    *"\"'\\ \0\t\n\r\x1b\x85\u2003\ufeff\ud800é٣½🦊-0=#%$[{",
    "",
    "e\u0301",
    "--",
    "1e999",
    "nan",
    HUGE,
)


class Tape:
    """Drawn bytes, read as choices; past its end it chooses the first."""

    def __init__(self, drawn: bytes) -> None:
        self._bytes = iter(drawn)
        self._rest, self._range = 0, 1

    def below(self, count: int) -> int:
        """A number from 0; several small ones come out of one byte."""
        if self._range < count:
            self._rest, self._range = next(self._bytes, 0), 256
        self._rest, choice = divmod(self._rest, count)
        self._range //= count
        return choice

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def some(self, most: int, build: Callable[[Tape], T]) -> list[T]:
        return [build(self) for _ in range(self.below(most + 1))]

    def odd(self) -> str:
        """Text of no kind that a parser expects: a troublemaker, or anything in Unicode."""
        if self.below(2):
            return self.pick(ODD)
        drawn = bytes(self.below(256) for _ in range(2 * self.below(4)))
        return drawn.decode("utf-16-le", "surrogatepass")


def taped(build: Callable[[Tape], T], length: int = 24) -> st.SearchStrategy[T]:
    return st.binary(min_size=length, max_size=length).map(lambda drawn: build(Tape(drawn)))


def accepted(function: Callable[..., T], *arguments: Any) -> T | None:
    """What it returns, or None where it refuses as it should."""
    with contextlib.suppress(KernelkitError):
        return function(*arguments)
    return None


# Magic lines

COMMANDS = [(magic, command) for magic in lines.ALL.values() for command in magic.commands]
SHARDED_FLAGS = {flag.name: flag for flag in lines.SHARDED_LINE.commands[0].flags}
GAPS = (" ", " ", "  ", "\t")
VALUES = ("8", "0.5", "0,2-3")
CODE = ("x*2", "--x", "-3", "'a  b'", "'it\\'s'", '"it\'s"', "f('a',  'b')")
WORDS = (*VALUES, *CODE, "tensor", "smollm2", "1_000", "inf", "''")


def flag_text(tape: Tape, flag: Flag) -> str:
    """The flag with a value, mostly one that it takes."""
    if flag.convert is None and tape.below(8):
        return f"--{flag.name}"
    return f"--{flag.name}{tape.pick((*GAPS, '='))}{tape.pick(flag.choices or VALUES)}"


def word(tape: Tape, magic: Magic, flags: Sequence[Flag]) -> str:
    kind = tape.below(8)
    if kind < 4:
        return tape.pick(WORDS)
    if kind < 6 and flags:
        return flag_text(tape, tape.pick(flags))
    return tape.pick(sorted(magic.later) or WORDS) if kind == 6 else tape.odd()


def magic_line(tape: Tape) -> tuple[Magic, str]:
    magic, command = tape.pick(COMMANDS)
    words = [tape.odd() if tape.below(16) == 15 else command.name]
    words += tape.some(5, lambda tape: word(tape, magic, command.flags))
    return magic, "".join(word + tape.pick((*GAPS, *GAPS, "")) for word in words)


def assert_declared(values: Mapping[str, Any], declared: Mapping[str, Flag]) -> None:
    """Each value is of the type that its flag converts to, and among its choices."""
    for name, value in values.items():
        convert: Any = declared[name].convert or bool
        assert type(value) is (convert if isinstance(convert, type) else get_type_hints(convert)["return"])
        assert not declared[name].choices or value in declared[name].choices


@CHECKED
@given(taped(magic_line))
def test_a_magic_line_means_what_its_grammar_says(magic_and_line: tuple[Magic, str]) -> None:
    magic, line = magic_and_line
    parsed = accepted(parse, magic, line)
    if parsed is not None:
        assert parsed.command in magic.commands
        assert parsed.command.argument or not parsed.argument
        assert_declared(parsed.flags, {flag.name: flag for flag in parsed.command.flags})


def sharded_line(tape: Tape) -> tuple[str, str, str]:
    """Flags as they should be, code of any kind, and a line of any words."""
    known = [*SHARDED_FLAGS.values()]
    flags = [
        f"--{flag.name}{' 8' if flag.convert else ''} " for flag in tape.some(3, lambda t: t.pick(known))
    ]
    code = tape.pick(CODE) + tape.pick(GAPS) + tape.odd()
    words = tape.some(4, lambda tape: word(tape, lines.SHARDED_LINE, known) + tape.pick(GAPS))
    return "".join(flags), code, "".join(words)


@CHECKED
@given(taped(sharded_line))
def test_the_code_of_a_sharded_line_is_neither_changed_nor_lost(line: tuple[str, str, str]) -> None:
    flags, code, any_line = line
    understood, same_code = _split_line(flags + code)
    assert same_code.strip() == code.strip()
    assert set(understood) == set(re.findall("--([a-z]+)", flags))
    split = accepted(_split_line, any_line)
    if split is not None:
        assert any_line.endswith(split[1])
        assert split[1].strip()
        assert_declared(split[0], SHARDED_FLAGS)


# Rank lists


def rank_list(tape: Tape) -> tuple[str, int]:
    size = 1 + tape.below(100)
    parts = []
    for _ in range(1 + tape.below(5)):
        first, last = sorted((tape.below(size), tape.below(size)))
        parts.append(tape.pick((f"{first}", f"{first}-{last}", f" {first} - {last}", f"0{last}", tape.odd())))
    return ",".join(parts), size


@CHECKED
@given(taped(rank_list))
def test_a_rank_list_names_ranks_that_are_there_and_reads_back(text_and_size: tuple[str, int]) -> None:
    text, size = text_and_size
    ranks = accepted(parse_ranks, text, size)
    if ranks is not None:
        assert ranks == sorted(set(ranks) & set(range(size)))
        assert ranks
        assert parse_ranks(rank_label(ranks), size) == ranks


# Hostfiles

NAMES = ("mac1", "10.0.0.1", "ann@mac2", "mac3.local", "::1", "rdma_en2", "ring", "K=V", "-o")
FIELDS = ("hosts", "ssh", "ips", "rdma", "backend", "envs")
PIECES = (*'[]{}:,"\\0-', '"ssh"', "null", "NaN", "[" * 1_000, HUGE)
FIELD = r"top level|hosts|backend|envs(\[\d+\])?|hosts\[\d+\](\.ssh|\.(ips|rdma)(\[\d+\]){0,2})?"


def json_tree(tape: Tape, depth: int = 3) -> Any:
    """JSON with the names of a hostfile in it: lists and objects, and below `depth` of them one value."""
    kind = 6 + tape.below(2) if depth == 3 else tape.below(8 if depth else 6)
    if kind == 6:
        return tape.some(4, lambda tape: json_tree(tape, depth - 1))
    if kind == 7:
        return dict(tape.some(5, lambda t: (t.pick((*FIELDS, "port")), json_tree(t, depth - 1))))
    return tape.odd() if kind == 5 else tape.pick((None, True, 0, -1.5, 10**400, float("inf"), *NAMES))


def valid_hostfile(tape: Tape) -> Any:
    """A hostfile with nothing left out."""
    size = 1 + tape.below(4)
    hosts = []
    for rank in range(size):
        rdma = [tape.pick((None, "rdma_en2", ["rdma_en3", "rdma_en4"], [])) for _ in range(size)]
        rdma[rank] = None
        ips = tape.some(2, lambda tape: tape.pick(NAMES[:5]))
        hosts.append({"ssh": tape.pick(NAMES[:4]), "ips": ips, "rdma": rdma if tape.below(3) else []})
    envs = tape.some(2, lambda tape: tape.pick(("K=V", "EMPTY=", "PATH=/é f\n=🦊")))
    return {"backend": tape.pick((*BACKENDS, "")), "envs": envs, "hosts": hosts} if tape.below(2) else hosts


def mutated(tape: Tape, node: Any) -> Any:
    """The same with one place replaced, taken away or doubled."""
    if not isinstance(node, list | dict) or not node or not tape.below(5):
        return json_tree(tape, 1)
    node = node.copy()
    key = tape.pick(list(node) if isinstance(node, dict) else range(len(node)))
    change = tape.below(6)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = mutated(tape, node[key])
    return node


def broken(tape: Tape) -> str:
    """The text of a hostfile with some characters of it replaced."""
    text = json.dumps(valid_hostfile(tape))
    at = tape.below(256) * len(text) // 256
    return text[:at] + "".join(tape.some(3, lambda tape: tape.pick(PIECES))) + text[at + tape.below(4) :]


def check_hostfile(text: str) -> None:
    """Refused by the name of a field; or taken, and then it comes back from what is written."""
    try:
        hostfile = parse_hostfile(text)
    except KernelkitError as error:
        refusal = error.what
    else:
        refusal = ""
        assert parse_hostfile(format_hostfile(hostfile)) == hostfile
        for backend in BACKENDS:
            accepted(hostfile.check, backend)
    assert re.fullmatch(rf"(hostfile: ({FIELD}) cannot be used|the hostfile is not JSON)?", refusal)


@CHECKED
@given(st.text(), taped(broken))
def test_any_text_is_a_hostfile_or_refused(text: str, near: str) -> None:
    check_hostfile(text)
    check_hostfile(near)


@CHECKED
@given(taped(lambda tape: json.dumps(json_tree(tape))))
def test_any_json_is_a_hostfile_or_refused_by_field(text: str) -> None:
    check_hostfile(text)


@CHECKED
@given(taped(lambda tape: (data := valid_hostfile(tape), mutated(tape, data))))
def test_a_hostfile_comes_back_and_one_nearly_right_is_refused_by_field(data: tuple[Any, Any]) -> None:
    valid, near = data
    assert json.loads(format_hostfile(parse_hostfile(json.dumps(valid)))) == valid
    check_hostfile(json.dumps(near))


# Messages

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
