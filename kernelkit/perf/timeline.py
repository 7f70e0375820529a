"""What every rank did and when: one type, for runs that were simulated and runs that were recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from kernelkit.jsonfile import Stored
from kernelkit.tables import text_table
from kernelkit.units import format_rate, format_seconds

What = Literal["compute", "collective", "send", "recv", "wait", "lost"]
WHATS: tuple[What, ...] = get_args(What)
COMMUNICATION: tuple[What, ...] = ("collective", "send", "recv")
# With more ranks than this a table has a line for several of them.
_MOST_LINES = 8
# Less waiting than this is not worth a word.
_ALIKE_SHARE = 1e-3


class Span(NamedTuple):
    """One thing that a rank did."""

    start_s: float
    end_s: float
    what: What
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Lane:
    """What one rank did, one thing at a time, as columns: entry `i` of each is one span.

    Columns and not spans, since a simulated run has a million of them.

    Attributes:
        start_s, end_s: since the start of the run, ascending.
        what: `compute`; `wait` for other ranks; `collective`, `send` or `recv`, while bytes move; `lost`,
            from a failure until the group is there again.
        name: such as `layer 3` or `all_sum`.
        size_bytes: of the array that is summed, sent or received; 0 of all else.
    """

    start_s: tuple[float, ...] = ()
    end_s: tuple[float, ...] = ()
    what: tuple[What, ...] = ()
    name: tuple[str, ...] = ()
    size_bytes: tuple[int, ...] = ()

    @classmethod
    def of(cls, spans: Sequence[Span]) -> Lane:
        """From spans in order; those that take no time are left out."""
        kept = [span for span in spans if span.end_s > span.start_s]
        return cls(*(tuple(column) for column in zip(*kept, strict=True))) if kept else cls()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The same, one by one."""
        columns = zip(self.start_s, self.end_s, self.what, self.name, self.size_bytes, strict=True)
        return tuple(Span(*fields) for fields in columns)

    @cached_property
    def seconds(self) -> dict[What, float]:
        """Of each kind, in sum."""
        total = dict.fromkeys(WHATS, 0.0)
        for start_s, end_s, what in zip(self.start_s, self.end_s, self.what, strict=True):
            total[what] += end_s - start_s
        return total


@dataclass(frozen=True, repr=False)
class Timeline(Stored):
    """A run of all ranks. Between its spans a rank is idle.

    Attributes:
        source: `simulated` or `recorded`.
        ranks: by rank, what it did.
        token_times_s: when each token was there, since the start of the run.
        batch: tokens that came at each of these times, one of each sequence.
        conditions: sentences on what was simulated, or how it was recorded.
        dropped_spans: so many more were there of a rank, and are not kept.
    """

    _key = "kernelkit_timeline"
    _name = "timeline"
    _indent = None

    source: Literal["simulated", "recorded"]
    ranks: tuple[Lane, ...]
    token_times_s: tuple[float, ...] = ()
    batch: int = 1
    conditions: tuple[str, ...] = ()
    dropped_spans: int = 0

    @property
    def world_size(self) -> int:
        """How many ranks."""
        return len(self.ranks)

    @cached_property
    def duration_s(self) -> float:
        """From the start to the end of the last span, or to the last token."""
        ends_s = [lane.end_s[-1] for lane in self.ranks if lane.end_s]
        return max([*ends_s, *(self.token_times_s[-1:] if not self.dropped_spans else ())], default=0.0)

    @property
    def tokens_per_s(self) -> float | None:
        """From the first token to the last, of all sequences; None of fewer than two."""
        times_s = self.token_times_s
        if len(times_s) < 2 or times_s[-1] <= times_s[0]:
            return None
        return self.batch * (len(times_s) - 1) / (times_s[-1] - times_s[0])

    def shares(self, *whats: What) -> tuple[float, ...]:
        """Of each rank's run, the part in spans of these kinds, 0 to 1."""
        whole_s = self.duration_s or 1.0
        return tuple(sum(lane.seconds[what] for what in whats) / whole_s for lane in self.ranks)

    @property
    def communication_share(self) -> float:
        """Of all ranks' time, the part in which bytes move; waiting for others is not in it."""
        return _mean(self.shares(*COMMUNICATION))

    @property
    def idle_share(self) -> tuple[float, ...]:
        """By rank, the part of the run in which it neither computes nor sends: waits, losses, gaps."""
        return tuple(max(0.0, 1.0 - busy) for busy in self.shares("compute", *COMMUNICATION))

    @property
    def critical_rank(self) -> int | None:
        """The one for which others wait: it waits less than half as long as any other; None without one.

        Nor is it one that has nothing to do for as long as others wait, as in a pipeline that runs empty.
        """
        waits = self.shares("wait")
        if len(waits) < 2:
            return None
        least, second = sorted(waits)[:2]
        rank = waits.index(least)
        unused = 1.0 - self.shares("compute", *COMMUNICATION, "lost")[rank]
        return rank if second > max(2 * least, unused, _ALIKE_SHARE) else None

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        if not self.ranks:
            raise ValueError("it has no ranks")
        for rank, lane in enumerate(self.ranks):
            columns = (lane.start_s, lane.end_s, lane.what, lane.name, lane.size_bytes)
            if len({len(column) for column in columns}) > 1:
                raise ValueError(f"the columns of rank {rank} differ in length")
            if not all(0 <= s <= e < math.inf for s, e in zip(lane.start_s, lane.end_s, strict=True)):
                raise ValueError(f"a span of rank {rank} ends before it starts")
            if any(end_s > start_s for end_s, start_s in zip(lane.end_s, lane.start_s[1:], strict=False)):
                raise ValueError(f"rank {rank} is in two spans at once")
        times_s = (0.0, *self.token_times_s, math.inf)
        if any(not before <= after for before, after in pairwise(times_s)) or self.token_times_s[-1:] == (
            math.inf,
        ):
            raise ValueError("the token times are not in order")
        if self.batch < 1 or self.dropped_spans < 0:
            raise ValueError("batch is to be 1 or more, dropped_spans 0 or more")

    def __repr__(self) -> str:
        said = [self.title, text_table(COLUMNS, self.rows()), *self.conditions]
        return "\n".join(said)

    @property
    def title(self) -> str:
        """How many ranks, tokens (if there are some) and seconds, how fast, and for whom the others wait."""
        count, ranks = len(self.token_times_s), f"{self.world_size} rank{'' if self.world_size == 1 else 's'}"
        several = f" of {self.batch} sequences" if self.batch > 1 else ""
        tokens = f"{count} token{'' if count == 1 else 's'}{several} in " if count else ""  # a cell has none
        rate = f", {format_rate(self.tokens_per_s, 'tokens')}" if self.tokens_per_s else ""
        critical = self.critical_rank
        waited_for = "" if critical is None else f", the others wait for rank {critical}"
        return f"{self.source}: {ranks}, {tokens}{format_seconds(self.duration_s)}{rate}{waited_for}"

    def rows(self, most: int = _MOST_LINES) -> list[list[str]]:
        """Cells of a table: of each rank, or of as many ranks together as lines allow, what it did."""
        by_kind = [self.shares(*whats) for whats in _KINDS]
        return [
            [
                str(first) if last == first else f"{first}-{last}",
                *(_percent(_mean(shares[first : last + 1])) for shares in by_kind),
                _percent(_mean(self.idle_share[first : last + 1])),
            ]
            for first, last in groups(self.world_size, most)
        ]


COLUMNS = ("rank", "computes", "collectives", "sends, receives", "waits", "lost", "idle in all")
_KINDS: tuple[tuple[What, ...], ...] = (("compute",), ("collective",), ("send", "recv"), ("wait",), ("lost",))


def groups(count: int, most: int) -> list[tuple[int, int]]:
    """First and last of at most `most` groups of neighbours, as even as can be."""
    many = min(count, most)
    edges = [count * i // many for i in range(many + 1)]
    return [(first, after - 1) for first, after in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _percent(share: float) -> str:
    return f"{share:.1%}"
