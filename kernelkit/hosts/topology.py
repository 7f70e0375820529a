"""The hosts and the cables between them as a graph: meshes, rings, and what is missing for a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelkit.hosts.cables import Cable, find_cables, format_link, free_ports, strangers
from kernelkit.hosts.machine import Machine

COLUMNS = ("host", "port", "host", "port", "link", "RDMA")
_MOST_STEPS = 200_000  # Enough for every ring of 8 hosts; beyond, a search may end without an answer.


@dataclass(frozen=True)
class Ring:
    """A way through all hosts and back, with this many parallel cables between any two neighbours."""

    hosts: tuple[str, ...]
    parallel: int


@dataclass(frozen=True)
class MissingCable:
    """Two hosts without a cable between them, and those of them that have no port left for one."""

    a: str
    b: str
    full: tuple[str, ...] = ()

    def __str__(self) -> str:
        full = " and ".join(self.full)
        verb = "have" if len(self.full) > 1 else "has"
        return f"{self.a} to {self.b}" + (f" ({full} {verb} no free port for it)" if full else "")


@dataclass(frozen=True)
class Topology:
    """What is cabled to what.

    Attributes:
        free: for each host, the interfaces of Thunderbolt ports that are free and could do RDMA.
        strangers: a sentence for each port that leads to a computer outside of the list.
    """

    hosts: tuple[str, ...]
    cables: tuple[Cable, ...] = ()
    free: tuple[tuple[str, ...], ...] = ()
    strangers: tuple[str, ...] = ()

    def between(self, a: str, b: str, *, rdma: bool = False) -> tuple[Cable, ...]:
        """The cables between two hosts; with `rdma`, those that can do it."""
        ends = {a, b}
        return tuple(c for c in self.cables if {c.a, c.b} == ends and (c.rdma or not rdma))

    def full_mesh(self, *, rdma: bool = False) -> bool:
        """Whether any two hosts, of at least two, have a cable between them."""
        pairs = self._pairs()
        return bool(pairs) and all(self.between(a, b, rdma=rdma) for a, b in pairs)

    def parallel(self, *, rdma: bool = False) -> int:
        """How many cables any two hosts have between them at least."""
        return min((len(self.between(a, b, rdma=rdma)) for a, b in self._pairs()), default=0)

    def ring(self, *, rdma: bool = False) -> Ring | None:
        """The ring through all hosts with the most parallel cables, from the first host on; None without one.

        Exact for 8 hosts. Beyond, it may overlook one.
        """
        size = len(self.hosts)
        if size < 2:
            return None
        counts = [[len(self.between(a, b, rdma=rdma)) for b in self.hosts] for a in self.hosts]
        for parallel in sorted({count for row in counts for count in row if count}, reverse=True):
            order = _hamiltonian([[count >= parallel for count in row] for row in counts])
            if order is not None:
                return Ring(tuple(self.hosts[i] for i in order), parallel)
        return None

    def missing(self, *, rdma: bool = False) -> tuple[MissingCable, ...]:
        """The cables that would make it a full mesh, and where no port is left for them."""
        left = {host: len(ports) for host, ports in zip(self.hosts, self.free, strict=False)}
        found = []
        for a, b in self._pairs():
            if self.between(a, b, rdma=rdma):
                continue
            full = tuple(host for host in (a, b) if left.get(host, 0) <= 0)
            if not full:
                left[a] -= 1
                left[b] -= 1
            found.append(MissingCable(a, b, full))
        return tuple(found)

    def _pairs(self) -> list[tuple[str, str]]:
        return [(a, b) for i, a in enumerate(self.hosts) for b in self.hosts[i + 1 :]]

    def shape(self) -> str:
        """What it is, in a few words."""
        if self.full_mesh():
            return "full mesh"
        return "ring" if self.ring() else "no ring" if self.cables else "no Thunderbolt cables"

    def rows(self) -> list[tuple[str, ...]]:
        """A row for each cable, under `COLUMNS`."""
        return [
            (c.a, c.a_interface, c.b, c.b_interface, format_link(c.link_bits_per_s), c.no_rdma or "yes")
            for c in self.cables
        ]

    def title(self) -> str:
        hosts, cables = len(self.hosts), len(self.cables)
        return f"{_count(hosts, 'host')}, {_count(cables, 'cable')}: {self.shape()}"

    def __repr__(self) -> str:
        lines = (f"  {a} {a_port} to {b} {b_port}: {link}, RDMA: {rdma}"
                 for a, a_port, b, b_port, link, rdma in self.rows())  # fmt: skip
        return "\n".join((self.title(), *lines))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Topology:
        cables = tuple(Cable.from_dict(cable) for cable in data["cables"])
        free = tuple(tuple(ports) for ports in data["free"])
        return cls(tuple(data["hosts"]), cables, free, tuple(data["strangers"]))


def topology_of(machines: Sequence[Machine]) -> Topology:
    """The topology of machines that were asked.

    Raises:
        ArgumentError: two of their names lead to one machine.
    """
    return Topology(
        tuple(machine.host for machine in machines),
        find_cables(machines),
        tuple(free_ports(machine) for machine in machines),
        strangers(machines),
    )


def _hamiltonian(joined: list[list[bool]]) -> list[int] | None:
    """A closed way from 0 through all others, the first in order of the hosts; None without one."""
    size = len(joined)
    order = [0]
    steps = 0

    def extend() -> bool:
        nonlocal steps
        if len(order) == size:
            return joined[order[-1]][0]
        for following in range(1, size):
            steps += 1
            if steps > _MOST_STEPS:
                return False
            if following not in order and joined[order[-1]][following]:
                order.append(following)
                if extend():
                    return True
                order.pop()
        return False

    return order if extend() else None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
