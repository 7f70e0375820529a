"""Carry the user's variables from ranks that are given up to the ones that follow them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import psutil

from kernelkit.cluster.bringup import Members
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes
from kernelkit.values import Buffer, shifted

_LIST_S = 1.0
_FREE_S = 0.8
_COMPUTE_S = 1.0
_FETCH_S = 4.0
_SLOWEST_BYTES_PER_S = 2e7
_BATCH_NAMES = 500
_BATCH_BYTES = 64_000_000
_COLUMNS = ("rank", "carried", "not carried")


@dataclass
class Kept:
    """What one rank's successor gets.

    Attributes:
        variables: name to its encoded tree and buffers.
        modules: name to module.
        left: name to why it is not carried; the empty name stands for all.
    """

    variables: dict[str, tuple[str, list[Buffer]]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recovery:
    """What `recover` did.

    Attributes:
        what: one sentence.
        carried: per rank, the names that are there again.
        left: per rank, name to why it is not.
        model: the model that was loaded again, or empty.
    """

    what: str
    carried: dict[int, list[str]] = field(default_factory=dict)
    left: dict[int, dict[str, str]] = field(default_factory=dict)
    model: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (
                str(rank),
                ", ".join(self.carried[rank]) or "nothing",
                _by_reason(self.left[rank]),
            )
            for rank in sorted(self.carried)
        ]

    def _captions(self) -> list[str]:
        return [self.what, f"model {self.model} is loaded again" if self.model else ""]

    def __repr__(self) -> str:
        table = [text_table(_COLUMNS, self._rows())] if self.carried else []
        return "\n".join(filter(None, [*self._captions(), *table]))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if not self.carried:
            return {"text/plain": repr(self)}
        table = html_table(_COLUMNS, self._rows(), *filter(None, self._captions()))
        return {"text/plain": repr(self), "text/html": table}


def _by_reason(left: Mapping[str, str]) -> str:
    """`f, g: defined in a cell, run it again; k: __main__.K`."""
    names: dict[str, list[str]] = {}
    for name, why in left.items():
        names.setdefault(why, []).append(name)
    return "; ".join(
        f"{', '.join(filter(None, sharing))}: {why}".removeprefix(": ") for why, sharing in names.items()
    )


class _Operate(Protocol):
    def __call__(
        self, requests: Mapping[int, tuple[str, Mapping[str, Any]]], *, buffers: list[Buffer] = ...
    ) -> dict[int, Any]: ...


def salvage(members: Members, suspects: Sequence[int] = ()) -> dict[int, Kept]:
    """Take the variables from all ranks that still answer. Nothing else may run on them.

    Args:
        suspects: ranks whose latest cell broke.
    """
    exits = members.agent.exits
    living = [rank for rank in members.facts if rank not in exits]
    answering = members.channel.ask(living, "where", {}, _LIST_S)
    living = [rank for rank in living if rank in answering]
    _compute(members, living)
    lists: dict[int, Any] = {}
    for rank in living:
        lists |= members.channel.ask([rank], "rescuable", {"suspect": rank in suspects}, _LIST_S)
    room = psutil.virtual_memory().available // 2
    kept = {}
    for rank in members.facts:
        if rank in lists:
            kept[rank] = _take(members, rank, lists[rank], room)
            room -= sum(len(b) for _, buffers in kept[rank].variables.values() for b in buffers)
        else:
            why = exits[rank].told if rank in exits else "it does not answer"
            kept[rank] = Kept(left={"": f"everything: {why}"})
    return kept


def _compute(members: Members, living: Sequence[int]) -> None:
    """Have lazy arrays computed by the main threads that are free or can be freed; the others' are left."""
    if busy := _busy(members, living):
        members.channel.interrupt(busy)
        deadline_s = time.monotonic() + _FREE_S
        while busy and time.monotonic() < deadline_s:
            busy = _busy(members, busy)
    free = [rank for rank in living if rank not in busy]
    left = {members.channel.call(rank, "compute", {}) for rank in free}
    deadline_s = time.monotonic() + _COMPUTE_S
    while left and time.monotonic() < deadline_s:
        for message in members.channel.poll(0.05):
            if message.kind == "execute_reply":
                left.discard(message.parent)


def _busy(members: Members, ranks: Sequence[int]) -> list[int]:
    """Those whose main thread does something, or that do not answer."""
    places = members.channel.ask(ranks, "where", {}, _LIST_S)
    return [rank for rank in ranks if rank not in places or places[rank]["doing"] != "idle"]


def _take(members: Members, rank: int, listed: Mapping[str, Any], room: int) -> Kept:
    kept = Kept(modules=dict(listed["modules"]), left=dict(listed["left"]))
    sizes: dict[str, int] = {}
    for name, size in listed["sizes"].items():
        if size > room:
            kept.left[name] = f"{format_bytes(size)} are more than this machine has room for"
        else:
            sizes[name] = size
            room -= size
    for names in _batches(sizes):
        timeout_s = _FETCH_S + sum(sizes[name] for name in names) / _SLOWEST_BYTES_PER_S
        # One that has died, or did not answer once, is not asked again and again.
        gone = rank in members.agent.exits
        found = None if gone else members.channel.fetch(rank, "rescue", {"names": names}, timeout_s)
        if found is None:
            missing = [name for name in sizes if name not in kept.variables and name not in kept.left]
            kept.left |= dict.fromkeys(missing, "the rank did not hand it over")
            break
        answer, buffers = found
        for name, (tree, count) in answer["trees"].items():
            kept.variables[name] = (tree, buffers[:count])
            buffers = buffers[count:]
        late = dict.fromkeys(set(names) - set(answer["trees"]), "it took too long")
        kept.left |= {**late, **answer["failed"]}
    return kept


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Names in groups that are fetched or sent at once: many small ones, or a large one alone."""
    batch: list[str] = []
    size = 0
    for name, own in sizes.items():
        if batch and (len(batch) >= _BATCH_NAMES or size + own > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += own
    if batch:
        yield batch


def put_back(kept: dict[int, Kept], operate: _Operate) -> tuple[dict[int, list[str]], dict[int, Any]]:
    """Bind everything on the new ranks; `kept` stays as it is, so that it can be done again.

    Returns:
        Per rank the names that are there again, and those that are not with the reason.
    """
    carried: dict[int, list[str]] = {}
    left: dict[int, Any] = {}
    for rank, mine in kept.items():
        sizes = {name: sum(map(len, buffers)) for name, (_, buffers) in mine.variables.items()}
        for names in _batches(sizes):
            _push(rank, {name: mine.variables[name] for name in names}, operate)
        missing = operate({rank: ("import_modules", {"modules": mine.modules})})[rank] if mine.modules else []
        carried[rank] = sorted({*mine.variables, *mine.modules} - set(missing))
        left[rank] = {**mine.left, **dict.fromkeys(missing, "a module that is not there any more")}
    return carried, left


def _push(rank: int, variables: Mapping[str, tuple[str, list[Buffer]]], operate: _Operate) -> None:
    """Bind several variables at once: their trees in one, the buffers one after the other."""
    pairs: list[Any] = []
    buffers: list[Buffer] = []
    for name, (tree, mine) in variables.items():
        pairs.append([name, shifted(json.loads(tree), len(buffers))])
        buffers += mine
    operate({rank: ("push", {"tree": json.dumps(["dict", pairs])})}, buffers=buffers)
