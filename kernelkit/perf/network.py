"""Hosts in groups, the links inside a group and between groups, and uplinks that a group's hosts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kernelkit.amounts import check_amount, shown
from kernelkit.catalog import link_kind
from kernelkit.errors import ArgumentError
from kernelkit.perf.collectives import wire


@dataclass(frozen=True)
class Link:
    """From one host to another, one way.

    Attributes:
        latency_s: from the last byte's leaving to its arrival; of an empty message all that there is.
        bandwidth_bytes_per_s: a message of `size_bytes` leaves in `size_bytes / bandwidth_bytes_per_s`.
    """

    latency_s: float
    bandwidth_bytes_per_s: float

    def leave_s(self, size_bytes: float) -> float:
        """Seconds until the sender is done."""
        return size_bytes / self.bandwidth_bytes_per_s

    def time_s(self, size_bytes: float) -> float:
        """Seconds until the message is there."""
        return self.latency_s + self.leave_s(size_bytes)


@dataclass(frozen=True)
class Network:
    """Two levels of links; one rank on each host, numbered group by group.

    Inside a group every pair has a link of its own, both ways. Between groups a message takes its group's
    uplink and the other's, which carry one message at a time each way, in the order of sending.

    Attributes:
        groups: hosts of each.
        inside: of two hosts of a group.
        between: of two hosts of different groups; needed with more than one group.
        shared: whether a group has one uplink; else each host has its own for every other host, as in a mesh.
        crossing_s: what a collective takes beside its messages, as from a GPU to the processor that sends.
        names: of the two kinds of links, for titles.
    """

    groups: tuple[int, ...]
    inside: Link
    between: Link | None = None
    shared: bool = True
    crossing_s: float = 0.0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.groups or any(type(size) is not int or size < 1 for size in self.groups):
            raise ArgumentError("groups count hosts", expected="such as (8, 8)", got=repr(self.groups))
        if len(self.groups) > 1 and self.between is None:
            raise ArgumentError("several groups need a link between them", expected="between=Link(...)")
        for link in (self.inside, self.between or self.inside):
            if not isinstance(link, Link):
                raise ArgumentError("this is no link", expected="kk.Link(...)", got=shown(link))
            check_amount("latency_s", link.latency_s)
            # Of one without end a message takes its latency alone.
            if link.bandwidth_bytes_per_s != math.inf:
                check_amount("bandwidth_bytes_per_s", link.bandwidth_bytes_per_s)
            if not link.bandwidth_bytes_per_s:
                raise ArgumentError(
                    "this link carries nothing", expected="a bandwidth above 0", got=str(link)
                )
        check_amount("crossing_s", self.crossing_s)

    @classmethod
    def of_kinds(
        cls,
        groups: int | Sequence[int],
        inside: str = "tb5-rdma",
        between: str | None = None,
        *,
        shared: bool = True,
        metal: bool = True,
    ) -> Network:
        """Of the catalog's kinds of links: latency and bandwidth by the middle of their published ranges.

        Args:
            groups: hosts of each group; a number for one group.
            inside, between: keys of links.
            metal: whether the hosts are Macs, whose GPU hands each collective to the CPU and back.

        Raises:
            ArgumentError: there is no such kind, or it lacks a figure.
        """
        sizes = tuple(groups) if isinstance(groups, Sequence) else (groups,)
        near, crossing_s = _link(inside, metal)
        far = _link(between, metal)[0] if between else None
        names = (inside, between) if between else (inside,)
        return cls(sizes, near, far, shared, crossing_s, names)

    @property
    def world_size(self) -> int:
        """Hosts, and so ranks."""
        return sum(self.groups)

    @cached_property
    def group_of(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(group for group, size in enumerate(self.groups) for _ in range(size))

    def link(self, source: int, target: int) -> Link:
        """From rank to rank."""
        near = self.between is None or self.group_of[source] == self.group_of[target]
        return self.inside if near or self.between is None else self.between

    def crosses(self, source: int, target: int) -> bool:
        """Whether a message takes uplinks that others may need at the same time."""
        return self.shared and self.group_of[source] != self.group_of[target]

    def __str__(self) -> str:
        many = len(self.groups)
        near, far, *_ = (*self.names, "", "")
        if many == 1:
            return f"{self.world_size} hosts, {near or 'links of one kind'}"
        sizes = str(self.groups[0]) if len(set(self.groups)) == 1 else "+".join(map(str, self.groups))
        kind = "one uplink each" if self.shared else "a link for every pair"
        levels = f"{near or 'one kind of link'} inside, {far or 'another'} between"
        return f"{many} groups of {sizes} hosts, {levels}, {kind}"


def _link(key: str, metal: bool) -> tuple[Link, float]:
    kind = link_kind(key)
    if kind.backend == "nccl":
        raise ArgumentError(
            f"how NCCL sums over {kind.title} is not simulated",
            expected="a link of Macs or hosts",
            got=key,
            cure="kk.plan foretells it",
        )
    found = wire(kind, kind.backend, metal, fast_synch=False)
    if found is None:
        what = f"{kind.title} has no published latency or bandwidth"
        raise ArgumentError(what, expected="one that has, or Link(latency_s, bandwidth_bytes_per_s)", got=key)
    return Link(found.latency_s.mid, found.bytes_per_s.mid), found.crossing_s.mid
