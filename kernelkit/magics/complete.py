"""Tab completion: the magics' own words, and the ranks' names inside `%%sharded`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from kernelkit.errors import KernelkitError
from kernelkit.magics import lines, offers
from kernelkit.magics.asked import HELP
from kernelkit.magics.experiment_lines import RECORDS
from kernelkit.magics.grammar import Flag, Magic

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster


_FILES = ("FILE", "PATH")


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
        found = _result(match[2].split(" ")[-1], self._words(magic, match[2]))
        flag = _flag_before(magic, match[2])
        # Where a number or a name is to stand, the files of the folder are no help.
        found["suppress"] = found["suppress"] or (flag is not None and flag.kind not in _FILES)
        return found

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
        if (flag := _flag_before(magic, typed)) is not None:
            return self._values(flag, current)
        if current.startswith("-"):
            return [*(f"--{f.name}" for f in command.flags if f.many or f"--{f.name}" not in done), HELP]
        flags = [f"--{f.name}" for f in command.flags if not command.argument]
        more = {lines.HOSTS: offers.host_names, lines.PLANNED: offers.model_keys}.get(command.argument)
        if command.argument == RECORDS:
            return offers.json_files(current)
        return [*command.choices, *(more() if more else []), *flags]

    def _values(self, flag: Flag, typed: str) -> Iterable[str]:
        """What may stand after a flag."""
        if flag.name == "ranks":
            return self._ranks()
        if flag.kind == "FILE":
            return offers.json_files(typed)
        if flag.name == "hosts":
            before = typed[: typed.rfind(",") + 1]
            return [f"{before}{name}" for name in offers.host_names() if name not in before.split(",")]
        if flag.name == "on":
            return offers.machines(typed)
        if flag.name == "link":
            return offers.link_keys()
        if flag.name in ("to", "from"):
            before = typed[: typed.rfind(",") + 1] if flag.name == "to" else ""
            return [f"{before}{host}" for host in self._hosts() if host not in before.split(",")]
        return flag.choices

    def _hosts(self) -> list[str]:
        cluster = self._find()
        return cluster.site.hosts if cluster else []

    def _ranks(self) -> list[str]:
        cluster = self._find()
        return [str(rank) for rank in range(cluster.world_size)] if cluster else []


def _flag_before(magic: Magic, typed: str) -> Flag | None:
    """The flag whose value is to stand at the end of what is typed."""
    *done, _ = typed.split(" ")
    command = magic.command("") or (magic.command(done[0]) if done else None)
    if command is None or not done:
        return None
    return next((f for f in command.flags if f"--{f.name}" == done[-1] and f.convert), None)


def _nothing() -> dict[str, Any]:
    """No completions; a new dict each time, because IPython writes into what it gets."""
    return {"completions": []}


def _result(fragment: str, candidates: Iterable[str]) -> dict[str, Any]:
    fitting = [
        SimpleCompletion(text=text, type=_kind(text)) for text in candidates if text.startswith(fragment)
    ]
    # Suppress the other matchers: the notebook's own names are not the ranks'.
    return {"completions": fitting, "matched_fragment": fragment, "suppress": bool(fitting)}


def _kind(text: str) -> str:
    """What the completer's list says beside it: a flag, a name in Python, or another of a magic's words."""
    if text.startswith("-"):
        return "param"
    if text.endswith((".json", "/")):
        return "path"
    return "keyword"
