"""The grammar of the magic lines as data, and the one parser that reads it; pure."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.errors import ArgumentError


@dataclass(frozen=True)
class Flag:
    """`--name VALUE`, or `--name` alone where `convert` is None.

    Attributes:
        convert: text to value; raises ValueError for what it cannot read.
        kind: what the value is, for help and errors; with a comma a list, which may have blanks after commas.
        choices: the only values, offered by tab completion.
        many: it may be given several times; its value is all of them, a tuple.
        expected: the kind in more words, for errors.
    """

    name: str
    kind: str = ""
    convert: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    many: bool = False
    expected: str = ""

    @property
    def usage(self) -> str:
        return f"--{self.name} {self.kind}" if self.convert else f"--{self.name}"


@dataclass(frozen=True)
class Command:
    """One form of a magic.

    Attributes:
        name: the sub-command, or empty for a magic that has none.
        argument: name of the free text after it, or empty where it takes none.
        required: whether that text must be there.
        python: the public call that does the same.
    """

    name: str
    help: str
    python: str
    argument: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()

    def usage(self, magic: str) -> str:
        argument = self.argument if self.required else f"[{self.argument}]"
        parts = [magic, self.name, argument if self.argument else "", *(f"[{f.usage}]" for f in self.flags)]
        return " ".join(part for part in parts if part)

    def described(self, magic: str) -> str:
        """What it does, the call behind it and its flags, a line each."""
        lines = [self.usage(magic), f"    {self.help}", f"    Python: {self.python}"]
        return "\n".join([*lines, *(f"    {flag.usage}: {flag.help}" for flag in self.flags)])


@dataclass(frozen=True)
class Magic:
    """A magic and its commands."""

    name: str
    commands: tuple[Command, ...]

    def command(self, name: str) -> Command | None:
        return next((command for command in self.commands if command.name == name), None)

    @property
    def help(self) -> str:
        """Every form with what it does and the call behind it."""
        return "\n".join(command.described(self.name) for command in self.commands)

    def help_of(self, line: str) -> str:
        """Of the command that the line names; of all where it names none."""
        command = self.command("".join(line.split()[:1]))
        return command.described(self.name) if command else self.help


@dataclass(frozen=True)
class Parsed:
    """A line that was understood.

    Attributes:
        words: of the argument, those in quotes as one.
    """

    command: Command
    argument: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


def parse(magic: Magic, line: str) -> Parsed:
    """Read the line after a magic's name.

    Raises:
        ArgumentError: with the usage, and the nearest word where one was misspelt.
    """
    words = _split(magic, line)
    if magic.command("") is not None:
        return _parse_rest(magic, magic.commands[0], words)
    names = [command.name for command in magic.commands]
    if not words:
        raise ArgumentError(f"{magic.name} needs to know what to do", expected=", ".join(names))
    command = magic.command(words[0])
    if command is None:
        raise ArgumentError(
            f"{magic.name} has no {words[0]!r}", expected=", ".join(names), cure=_nearest(words[0], names)
        )
    return _parse_rest(magic, command, words[1:])


def _split(magic: Magic, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ArgumentError(
            f"{magic.name}: a quotation mark is left open ({error})",
            got=line,
            cure="put text with an apostrophe in double quotes; %%generate needs no quotes",
        ) from error


def _parse_rest(magic: Magic, command: Command, words: Sequence[str]) -> Parsed:
    known = {f"--{flag.name}": flag for flag in command.flags}
    values: dict[str, Any] = {}
    free: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, inline = word.partition("=")
        flag = known.get(name)
        if flag is not None:
            if equals and flag.convert is None:
                raise ArgumentError(
                    f"{name} takes no value", expected=command.usage(magic.name), got=repr(inline)
                )
            if equals:
                rest.insert(0, inline)
            value = _flag_value(magic, command, flag, rest)
            values[flag.name] = (*values.get(flag.name, ()), value) if flag.many else value
        elif word.startswith("--"):
            usage = command.usage(magic.name)
            raise ArgumentError(
                f"{magic.name} {command.name}".rstrip() + f" has no {name}",
                expected=usage,
                cure=_nearest(name, list(known)),
            )
        else:
            free.append(word)
    return Parsed(command, _free_text(magic, command, free), values, tuple(free))


def _flag_value(magic: Magic, command: Command, flag: Flag, rest: list[str]) -> Any:
    if flag.convert is None:
        return True
    got = rest.pop(0) if rest else None
    while got is not None and "," in flag.kind and rest and (got.endswith(",") or rest[0].startswith(",")):
        got += rest.pop(0)
    if got is not None and (not flag.choices or got in flag.choices):
        try:
            return flag.convert(got)
        except ValueError:
            pass
    raise ArgumentError(
        f"--{flag.name} needs " + ("a value" if got is None else "another value"),
        expected=" or ".join(flag.choices) or flag.expected or flag.kind,
        got="nothing" if got is None else repr(got),
        cure=command.usage(magic.name),
    )


def _free_text(magic: Magic, command: Command, free: Sequence[str]) -> str:
    usage = command.usage(magic.name)
    if free and not command.argument:
        raise ArgumentError(
            f"{magic.name} {command.name}".rstrip() + " takes no argument",
            expected=usage,
            got=repr(" ".join(free)),
        )
    if not any(free) and command.required:
        name = f"{magic.name} {command.name}".rstrip()
        raise ArgumentError(f"{name} needs {command.argument}", expected=usage)
    return " ".join(free)


def _nearest(word: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]}?" if near else ""
