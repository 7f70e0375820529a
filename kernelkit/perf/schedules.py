"""Which messages a collective is made of, and when each rank is through, from when each came.

A schedule is a list of steps. In a step a rank sends what it has, and is through once its messages have left
and those for it have come; so each rank's next time is the largest of some earlier times plus constants.
Such steps compose: a whole schedule is one matrix `delay`, and `exit[j] = max over i of entry[i] +
delay[i, j]` (a product over the max-plus semiring, as in Baccelli et al., Synchronization and Linearity,
1992). It is exact as long as no two messages want one uplink at once; where they do,
`kernelkit.perf.exchange` goes through the messages one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernelkit.errors import ArgumentError
from kernelkit.perf.network import Network

Algorithm = Literal["ring", "two-way ring", "mesh", "hierarchical"]
ALGORITHMS: tuple[Algorithm, ...] = ("ring", "two-way ring", "mesh", "hierarchical")
Times = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """Messages that are sent together.

    Attributes:
        rounds: pairs of senders and receivers, as places among the members; in a round no receiver is twice.
        size_bytes: of each message.
        times: how often the step is done.
    """

    rounds: tuple[tuple[tuple[int, int], ...], ...]
    size_bytes: float
    times: int = 1

    @property
    def messages(self) -> list[tuple[int, int]]:
        """All of them."""
        return [pair for each in self.rounds for pair in each]


@dataclass(frozen=True)
class Schedule:
    """A collective of some ranks over a network.

    Attributes:
        name: MLX's.
        size_bytes: of the array that each rank gives.
        members: ranks.
    """

    name: str
    size_bytes: float
    members: tuple[int, ...]
    steps: tuple[Step, ...]
    network: Network

    @cached_property
    def delay(self) -> Times:
        """`[i, j]`: how long after `i` comes `j` is through at the earliest; shape `[members, members]`."""
        count = len(self.members)
        times = np.full((count, count), -np.inf)
        np.fill_diagonal(times, 0.0)
        for step in self.steps:
            moves = [self._moves(pairs, step.size_bytes) for pairs in step.rounds]
            for _ in range(step.times):
                after = times.copy()
                for sources, targets, leaves_s, takes_s in moves:
                    # A rank that sends is through when its message has left.
                    after[:, sources] = np.maximum(after[:, sources], times[:, sources] + leaves_s)
                    after[:, targets] = np.maximum(after[:, targets], times[:, sources] + takes_s)
                times = after
        return times + self.network.crossing_s

    def exits(self, entries_s: Times) -> Times:
        """When each member is through, if no message waits for an uplink."""
        through: Times = (entries_s[:, None] + self.delay).max(axis=0)
        return through

    @cached_property
    def contends(self) -> bool:
        """Whether within a step two messages want the same uplink the same way."""
        group = self.network.group_of
        for step in self.steps:
            seen: set[tuple[str, int]] = set()
            for source, target in step.messages:
                here, there = self.members[source], self.members[target]
                ways = {("out", group[here]), ("in", group[there])}
                if self.network.crosses(here, there) and ways & seen:
                    return True
                seen |= ways if self.network.crosses(here, there) else set()
        return False

    @cached_property
    def crosses(self) -> bool:
        """Whether any message takes a shared uplink."""
        return any(
            self.network.crosses(self.members[source], self.members[target])
            for step in self.steps
            for source, target in step.messages
        )

    def _moves(
        self, pairs: Sequence[tuple[int, int]], size_bytes: float
    ) -> tuple[list[int], list[int], Times, Times]:
        links = [self.network.link(self.members[source], self.members[target]) for source, target in pairs]
        return (
            [source for source, _ in pairs],
            [target for _, target in pairs],
            np.array([link.leave_s(size_bytes) for link in links]),
            np.array([link.time_s(size_bytes) for link in links]),
        )


def all_sum(algorithm: Algorithm, members: Sequence[int], network: Network, size_bytes: float) -> Schedule:
    """The sum of an array over all members, on all members.

    Args:
        algorithm: `ring`, MLX's over TCP: scatter and gather in `2 (n - 1)` steps of a part each. `two-way
            ring`, jaccl-ring's: half of each part goes the other way round at the same time. `mesh`, jaccl's:
            everyone sends all to everyone. `hierarchical`, not MLX's: within a group to its first member, a
            ring of the first ones, and back.

    Raises:
        ArgumentError: there is no such algorithm.
    """
    count = len(members)
    if algorithm not in ALGORITHMS:
        raise ArgumentError("there is no such algorithm", expected=", ".join(ALGORITHMS), got=str(algorithm))
    steps: tuple[Step, ...] = ()
    if count > 1 and algorithm == "mesh":
        steps = (_everyone(count, size_bytes),)
    elif count > 1 and algorithm == "hierarchical":
        steps = _hierarchical(members, network, size_bytes)
    elif count > 1:
        steps = (
            _round(list(range(count)), size_bytes / count, 2 * (count - 1), algorithm == "two-way ring"),
        )
    return Schedule("all_sum", size_bytes, tuple(members), steps, network)


def all_gather(algorithm: Algorithm, members: Sequence[int], network: Network, size_bytes: float) -> Schedule:
    """Everyone's array on all members: in a mesh at once, else round a ring in `n - 1` steps."""
    count = len(members)
    steps: tuple[Step, ...] = ()
    if count > 1 and algorithm == "mesh":
        steps = (_everyone(count, size_bytes),)
    elif count > 1:
        steps = (_round(list(range(count)), size_bytes, count - 1, False),)
    return Schedule("all_gather", size_bytes, tuple(members), steps, network)


def _everyone(count: int, size_bytes: float) -> Step:
    rounds = (tuple((i, (i + by) % count) for i in range(count)) for by in range(1, count))
    return Step(tuple(rounds), size_bytes)


def _round(places: Sequence[int], size_bytes: float, times: int, both_ways: bool) -> Step:
    onward = tuple(zip(places, [*places[1:], places[0]], strict=True))
    if not both_ways:
        return Step((onward,), size_bytes, times)
    return Step((onward, tuple((target, source) for source, target in onward)), size_bytes / 2, times)


def _hierarchical(members: Sequence[int], network: Network, size_bytes: float) -> tuple[Step, ...]:
    by_group = groupby(range(len(members)), key=lambda place: network.group_of[members[place]])
    groups = [list(places) for _, places in by_group]
    leaders = [places[0] for places in groups]
    most = max(len(places) for places in groups)
    up = tuple(tuple((p[i], p[0]) for p in groups if len(p) > i) for i in range(1, most))
    down = tuple(tuple((leader, place) for place, leader in each) for each in up)
    steps = [Step(up, size_bytes)] if up else []
    if len(leaders) > 1:
        many = len(leaders)
        steps.append(_round(leaders, size_bytes / many, 2 * (many - 1), False))
    return (*steps, *([Step(down, size_bytes)] if down else []))
