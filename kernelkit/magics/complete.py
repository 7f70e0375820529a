"""Tab completion: the magics' own words, and the ranks' names inside `%%sharded`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from kernelkit.errors import KernelkitError
from kernelkit.magics import lines
from kernelkit.magics.grammar import Magic

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster


class Completer:
    """Completes for the cluster that `find` returns at that moment."""

    def __init__(self, find: Callable[[], Cluster | None]) -> None:
        self._find = find

        # IPython reads the matcher's options from attributes, so it must be a function, not a method.
        @context_matcher(identifier="kernelkit", priority=110)  # type: ignore[untyped-decorator]
        def matcher(context: CompletionContext) -> dict[str, Any]:
            return self.match(context.full_text, context.cursor_line, context.cursor_position)

        self.matcher = matcher

    def match(self, text: str, line_number: int, column: int) -> dict[str, Any]:
        """Completions at a place in a cell, in the form that IPython's matchers return."""
        text_lines = text.split("\n")
        before = text_lines[line_number][:column]
        if line_number > 0:
            first, _, body = text.partition("\n")
            if not re.match(r"%%sharded\b", first):
                return _nothing()
            offset = sum(len(line) + 1 for line in text_lines[1:line_number]) + column
            return self._names(body, offset, first)
        match = re.match(r"\s*(?:\w+\s*=\s*)?(%%?\w+)\s+(.*)$", before, re.DOTALL)
        magic = lines.ALL.get(match[1]) if match else None
        if match is None or magic is None:
            return _nothing()
        if magic is lines.SHARDED_LINE and not match[2].startswith("--"):
            return self._names(match[2], len(match[2]), match[1])
        return _result(match[2].split(" ")[-1], self._words(magic, match[2]))

    def _names(self, code: str, position: int, first_line: str) -> dict[str, Any]:
        cluster = self._find()
        if cluster is None:
            return _nothing()
        chosen = re.search(r"--ranks[=\s]+(\d+)", first_line)
        rank = int(chosen[1]) if chosen else 0
        try:
            reply = cluster.complete(code, position, min(rank, cluster.world_size - 1))
        except KernelkitError:  # a stopped cluster has nothing to offer; the cell itself will say so
            return _nothing()
        if not reply or not reply.get("matches"):
            return _nothing()
        fragment, matches = code[reply["cursor_start"] : position], reply["matches"]
        if fragment.startswith(".") and all(match.startswith(".") for match in matches):
            fragment, matches = fragment[1:], [match[1:] for match in matches]
        return _result(fragment, matches)

    def _words(self, magic: Magic, typed: str) -> Iterable[str]:
        words = typed.split(" ")
        done, current = words[:-1], words[-1]
        command = magic.command("")
        if command is None:
            if not done:
                return [c.name for c in magic.commands]
            command = magic.command(done[0])
        if command is None:
            return []
        previous = done[-1] if done else ""
        flag = next((f for f in command.flags if f"--{f.name}" == previous and f.convert), None)
        if flag is not None:
            return self._ranks() if flag.name == "ranks" else flag.choices
        if current.startswith("-"):
            return [f"--{f.name}" for f in command.flags if f"--{f.name}" not in done]
        return [*command.choices, *(f"--{f.name}" for f in command.flags if not command.argument)]

    def _ranks(self) -> list[str]:
        cluster = self._find()
        return [str(rank) for rank in range(cluster.world_size)] if cluster else []


def _nothing() -> dict[str, Any]:
    """No completions; a new dict each time, because IPython writes into what it gets."""
    return {"completions": []}


def _result(fragment: str, candidates: Iterable[str]) -> dict[str, Any]:
    fitting = [SimpleCompletion(text=text) for text in candidates if text.startswith(fragment)]
    # Suppress the other matchers: the notebook's own names are not the ranks'.
    return {"completions": fitting, "matched_fragment": fragment, "suppress": bool(fitting)}
