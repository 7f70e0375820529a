"""Any magic line, and any list of ranks, means what the grammar says or is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin, get_type_hints

from hypothesis import given

from kernelkit.hosts.ranklist import parse_ranks
from kernelkit.magics import lines
from kernelkit.magics.commands import _split_line
from kernelkit.magics.grammar import Flag, Magic, parse
from kernelkit.outputs.text import rank_label
from tests.properties.tape import CHECKED, Tape, accepted, taped

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


def word(tape: Tape, flags: Sequence[Flag]) -> str:
    kind = tape.below(8)
    if kind < 4:
        return tape.pick(WORDS)
    return flag_text(tape, tape.pick(flags)) if kind < 7 and flags else tape.odd()


def magic_line(tape: Tape) -> tuple[Magic, str]:
    magic, command = tape.pick(COMMANDS)
    words = [tape.odd() if tape.below(16) == 15 else command.name]
    words += tape.some(5, lambda tape: word(tape, command.flags))
    return magic, "".join(word + tape.pick((*GAPS, *GAPS, "")) for word in words)


def assert_declared(values: Mapping[str, Any], declared: Mapping[str, Flag]) -> None:
    """Each value is of the type that its flag converts to, and among its choices."""
    for name, value in values.items():
        convert: Any = declared[name].convert or bool
        kind = convert if isinstance(convert, type) else get_type_hints(convert)["return"]
        for one in value if declared[name].many else (value,):
            assert type(one) is (get_origin(kind) or kind)
            assert not declared[name].choices or str(one) in declared[name].choices


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
    words = tape.some(4, lambda tape: word(tape, known) + tape.pick(GAPS))
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
