"""Machines that a cluster could be made of, as a command line spells them: `4xm3-ultra-512`, `m4-max-128`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.catalog.chips import GIB, Chip, chips, working_set_share
from kernelkit.errors import ArgumentError

_SPELLING = re.compile(
    r"(?:(?P<count>\d+)\s*[x×*]\s*)?(?P<chip>.+?)(?:-(?P<gib>\d+)(?:\s*gi?b)?)?", re.IGNORECASE
)
# More nodes than anyone has are a slip of the finger, and would only cost time.
_MOST_NODES = 4096
_EXAMPLES = "such as 4xm3-ultra-512 or m4-max-128,m3-ultra-256"


@dataclass(frozen=True)
class Node:
    """One machine.

    Attributes:
        chip: what it computes with.
        memory_bytes: all of it, in powers of 1,024, as memory is sold.
        name: such as `m4-max-128`; of several alike `m3-ultra-512 #1`.
    """

    chip: Chip
    memory_bytes: int
    name: str

    @property
    def working_set_bytes(self) -> int:
        """What a program should use at most: on a Mac what Metal recommends, else all of the memory."""
        share = working_set_share(self.memory_bytes) if self.chip.is_apple else 1.0
        return int(self.memory_bytes * share)


def parse_nodes(on: str | Sequence[str], nodes: int | None = None) -> tuple[Node, ...]:
    """The machines that `4xm3-ultra-512`, `m4-max-128,m3-ultra-256` or a list of such words names.

    A word is a chip's key and its memory in GB, which may be left out where the chip is sold with one size
    only. A family's key (`m4-max`) stands for the variant that is sold with that memory, and of several for
    the one with the most GPU cores; `m4-max-32c` says which.

    Args:
        nodes: repeat a single machine this often instead.

    Raises:
        ArgumentError: a word is not of that form, names no chip, or a memory that the chip is not sold with.
    """
    if not isinstance(on, Sequence):
        raise ArgumentError("this names no machine", expected=_EXAMPLES, got=repr(on))
    words: list[str] = []
    for part in [on] if isinstance(on, str) else list(on):
        if not isinstance(part, str):
            raise ArgumentError("this names no machine", expected=_EXAMPLES, got=repr(part))
        words += [word.strip() for word in part.split(",") if word.strip()]
    if not words:
        raise ArgumentError("no machine is named", expected=_EXAMPLES, got=repr(on))
    counted = [_word(word) for word in words]
    if nodes is not None:
        counted = _repeated(counted, nodes, on)
    total = sum(count for count, _ in counted)
    if not 1 <= total <= _MOST_NODES or any(count < 1 for count, _ in counted):
        raise ArgumentError("so many machines make no sense", expected=f"1 to {_MOST_NODES}", got=str(total))
    return _named([node for count, node in counted for _ in range(count)])


def _repeated(counted: list[tuple[int, Node]], nodes: int, on: object) -> list[tuple[int, Node]]:
    if type(nodes) is not int or not 1 <= nodes <= _MOST_NODES:
        expected = f"a whole number from 1 to {_MOST_NODES}"
        raise ArgumentError("nodes is no number of machines", expected=expected, got=repr(nodes))
    if len(counted) > 1 or counted[0][0] not in (1, nodes):
        what = "either the machines are listed, or one is repeated"
        raise ArgumentError(what, expected="one machine beside nodes", got=f"{on}, nodes={nodes}")
    return [(nodes, counted[0][1])]


def _word(word: str) -> tuple[int, Node]:
    """How many, and which."""
    match = _SPELLING.fullmatch(word)
    if match is None:
        raise ArgumentError("this names no machine", expected=_EXAMPLES, got=word)
    count, name, gib = int(match["count"] or 1), match["chip"], match["gib"]
    chip, size = _chip(name, None if gib is None else int(gib), word)
    return count, Node(chip, size * GIB, f"{chip.key}-{size}")


def _chip(name: str, gib: int | None, word: str) -> tuple[Chip, int]:
    variants = _variants(name)
    if gib is None:
        sizes = sorted({size for chip in variants for size in chip.memory_sizes_gib})
        if len(sizes) != 1:
            some = f"{name}-{sizes[-1]}" if sizes else f"{name}-64"
            what = f"{word} does not say how much memory it has"
            raise ArgumentError(what, expected=f"{_sizes(sizes)} GB", got=word, cure=f"such as {some}")
        gib = sizes[0]
    fitting = [chip for chip in variants if gib in chip.memory_sizes_gib or not chip.memory_sizes_gib]
    if not fitting:
        sold = "; ".join(f"{chip.title} {_sizes(chip.memory_sizes_gib)}" for chip in variants)
        cure = "if yours has it, describe it in a file of your own: kk.catalog.add"
        raise ArgumentError(f"{word} is not sold", expected=f"memory in GB: {sold}", got=str(gib), cure=cure)
    return max(fitting, key=lambda chip: chip.gpu_cores or 0), gib


def _variants(name: str) -> list[Chip]:
    """The chips that a name stands for: one variant, or a whole family."""
    known = chips()
    chip = known[name]
    asked_for_one = "-".join(name.lower().split()) == chip.variant or chip.key != (chip.family or chip.key)
    if asked_for_one:
        return [chip]
    return [other for other in known.values() if (other.family or other.key) == chip.key]


def _sizes(sizes: Sequence[int]) -> str:
    return (
        " or ".join(map(str, sizes))
        if len(sizes) < 3
        else f"{', '.join(map(str, sizes[:-1]))} or {sizes[-1]}"
    )


def _named(nodes: list[Node]) -> tuple[Node, ...]:
    """With names that differ."""
    names = [node.name for node in nodes]
    seen: dict[str, int] = {}
    out = []
    for node in nodes:
        seen[node.name] = seen.get(node.name, 0) + 1
        several = names.count(node.name) > 1
        out.append(
            Node(node.chip, node.memory_bytes, f"{node.name} #{seen[node.name]}" if several else node.name)
        )
    return tuple(out)
