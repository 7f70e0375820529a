"""Where each rank of a running cell stands, and what follows from it: pure, from plain data.

A rank waits when its program called a collective that another rank's program did not call. Whether
that other rank may still come, or never will, decides between patience and an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kernelkit.units import format_seconds

# Shorter stays at one place are not worth a word.
_STILL_S = 1.0


@dataclass(frozen=True)
class Call:
    """One collective that a rank's program called.

    Attributes:
        index: how many came before it in this cell.
        line: where the program called it; 0 where that is not known.
        file: empty for the cell itself, which every file of a library was called from.
    """

    index: int
    op: str
    shape: tuple[int, ...]
    dtype: str
    line: int = 0
    source: str = ""
    file: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Call:
        return cls(**{**data, "shape": tuple(data["shape"])})

    def fits(self, other: Call) -> bool:
        """Whether MLX can run the two as one collective."""
        return (self.index, self.op, self.shape, self.dtype) == (
            other.index,
            other.op,
            other.shape,
            other.dtype,
        )

    @property
    def where(self) -> str:
        return f"at {self.file}:{self.line}" if self.file else f"at line {self.line}"

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"{self.op} of {self.dtype}[{shape}] {self.where} (`{self.source}`)"


State = Literal["running", "ended", "absent", "silent"]


@dataclass(frozen=True)
class Place:
    """Where one rank stands.

    Attributes:
        state: `ended`: its part of the cell is over; `absent`: it takes no part in the cell; `silent`: it
            does not answer.
        line: of the cell that it executes; 0 where it is in none.
        doing: what it does where that is no line of the cell.
        in_mlx: whether it stands in a call of MLX, computing or waiting.
        still_s: for how long it has not moved, as far as was looked.
        calls: collectives that its program called since the cell began.
        recent: the newest of them.
        sent, received: `send` and `recv` by peer.
        op_bytes: of the arrays that it gave to MLX since the cell began, by operation.
        peer_bytes: of what that sends to each other rank, as `hosts.traffic` reckons it. Calls inside
            `mx.compile` are in neither.
    """

    rank: int
    state: State
    line: int = 0
    source: str = ""
    doing: str = ""
    in_mlx: bool = False
    still_s: float = 0.0
    calls: int = 0
    recent: tuple[Call, ...] = ()
    sent: Mapping[int, int] = field(default_factory=dict)
    received: Mapping[int, int] = field(default_factory=dict)
    op_bytes: Mapping[str, int] = field(default_factory=dict)
    peer_bytes: Mapping[int, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def over(self) -> bool:
        """Whether it will call nothing more in this cell."""
        return self.state in ("ended", "absent")

    @property
    def stands(self) -> str:
        """`line 5: time.sleep(9)`."""
        if self.state == "ended":
            return "has ended its cell"
        if self.state == "absent":
            return "takes no part in this cell"
        if self.state == "silent":
            return "does not answer"
        return f"line {self.line}: {self.source}" if self.line else self.doing

    @property
    def full(self) -> str:
        """Line, source and count: one line of an error."""
        count = f"{self.calls} collective{'' if self.calls == 1 else 's'}"
        last = f", the last {self.recent[-1]}" if self.recent else ""
        return f"rank {self.rank}: {self.stands}; {count}{last}"


Places = Mapping[int, Place]
NOWHERE: Places = {}


def behind(place: Place, places: Places) -> list[int]:
    """Ranks that have not entered something that `place` has."""
    return [
        rank
        for rank, other in places.items()
        if rank != place.rank and (other.calls < place.calls or _unanswered(place, other))
    ]


def awaited(place: Place, places: Places) -> str:
    """What a rank waits in, in words; empty where nobody is behind it."""
    late = behind(place, places)
    if not late:
        return ""
    fewest = min(places[rank].calls for rank in late)
    if fewest < place.calls:
        # The oldest that is still known, where it lies too far back.
        call = next((call for call in place.recent if call.index >= fewest), None)
        return f"{call.op} {call.where}" if call is not None else "a collective"
    peer = late[0]
    is_send = place.sent.get(peer, 0) > places[peer].received.get(place.rank, 0)
    return f"send to rank {peer}" if is_send else f"recv from rank {peer}"


def is_blocked(place: Place, places: Places) -> bool:
    """Whether a rank stands in MLX, still, and another is behind it."""
    return place.state == "running" and place.in_mlx and place.still_s > 0 and bool(behind(place, places))


def waits_in(place: Place, places: Places) -> str:
    """What a rank has stood in for a while because another is behind it, in words; empty where it has not."""
    waits = place.state == "running" and place.in_mlx and place.still_s >= _STILL_S
    return awaited(place, places) if waits else ""


def sentence(place: Place, places: Places) -> str:
    """`waits in all_sum at line 3 for 12 s`: a rank's part of the live view."""
    if place.state != "running":
        return place.stands
    still = f" for {format_seconds(int(place.still_s))}" if place.still_s >= _STILL_S else ""
    if what := waits_in(place, places):
        return f"waits in {what}{still}"
    if place.in_mlx and still:
        return f"in MLX at {place.stands}{still}"
    return f"at {place.stands}{still}" if place.line else place.doing


def deadlock(places: Places, after_s: float) -> str:
    """Why the group can never go on, or empty as long as it may.

    A rank that is over calls nothing more. One that has stood in MLX for `after_s`, waiting for what such a
    rank did not enter, stands there for ever. So do ranks that entered different collectives.
    """
    for rank, place in sorted(places.items()):
        if place.state != "running" or not place.in_mlx or place.still_s < after_s:
            continue
        if _differ({r: p.recent for r, p in places.items()}):
            return f"rank {rank} stands still after ranks entered different collectives"
        over = [r for r in behind(place, places) if places[r].over]
        if over:
            who = _ranks(over)
            never = f"{who} never entered it"
            return f"rank {rank} waits for ever in {awaited(place, places)}: {never}"
    return ""


def first_difference(ledgers: Mapping[int, Sequence[Call]]) -> dict[int, Call | None]:
    """The first collective at which ranks differ, as each of them called it; empty where they agree.

    Args:
        ledgers: of each rank, oldest first; where one has lost its oldest calls, comparing starts later.

    Returns:
        None for a rank that called fewer.
    """
    if len(ledgers) < 2:
        return {}
    by_index = {rank: {call.index: call for call in calls} for rank, calls in ledgers.items()}
    start = max((min(calls) for calls in by_index.values() if calls), default=0)
    end = max((max(calls) + 1 for calls in by_index.values() if calls), default=0)
    for index in range(start, end):
        row = {rank: calls.get(index) for rank, calls in by_index.items()}
        present = [call for call in row.values() if call is not None]
        if len(present) < len(row) or not all(call.fits(present[0]) for call in present):
            return row
    return {}


def _differ(recent: Mapping[int, Sequence[Call]]) -> bool:
    """Whether ranks called different collectives, as far as the newest ones tell."""
    seen: dict[int, Call] = {}
    return any(
        not _may_pass(seen.setdefault(call.index, call), call) for calls in recent.values() for call in calls
    )


def _may_pass(one: Call, other: Call) -> bool:
    """Whether MLX gets through both, if with wrong numbers: as many bytes, moved in the same way."""
    return (one.op, math.prod(one.shape), one.dtype) == (other.op, math.prod(other.shape), other.dtype)


def _unanswered(place: Place, other: Place) -> bool:
    return place.sent.get(other.rank, 0) > other.received.get(place.rank, 0) or (
        place.received.get(other.rank, 0) > other.sent.get(place.rank, 0)
    )


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
