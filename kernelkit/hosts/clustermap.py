"""The cluster as one picture needs it: hosts, their ranks, and the links between them, as plain data.

A host is drawn once, with its ranks on it. An edge is a link between two hosts, as in `hosts.linkreport`:
two cables between the same two hosts are two edges, and all ranks on one host share one edge, from that host
to itself. Several ranks on a host use its links together, so an edge names the lowest rank on either side.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from kernelkit.hosts.maptable import as_text
from kernelkit.jsonfile import Stored

RankState = Literal["idle", "running", "waiting", "silent", "gone"]
EdgeState = Literal["measured", "nominal", "low", "failed"]
Shape = Literal["ring", "mesh", ""]
Pair = tuple[float | None, float | None]

# What breaks a line or cannot be printed at all.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class RankNode:
    """One rank.

    Attributes:
        doing: what it does, in words; empty where nobody asked.
        memory_bytes: resident memory of its process; `mlx_bytes`: what MLX's allocator holds of it.
    """

    rank: int
    doing: str = ""
    state: RankState = "idle"
    device: str = ""
    pid: int = 0
    blas: str = ""
    mlx: str = ""
    memory_bytes: int | None = None
    mlx_bytes: int | None = None


@dataclass(frozen=True)
class HostNode:
    """One machine.

    Attributes:
        memory_bytes: of the machine; `used_bytes`: what its programs hold of it; None where not known.
    """

    name: str
    chip: str = ""
    memory_bytes: int | None = None
    used_bytes: int | None = None
    ranks: tuple[RankNode, ...] = ()


@dataclass(frozen=True)
class Edge:
    """One link.

    Attributes:
        hosts: at its ends, that of the lower rank first; the same twice for a link inside one machine.
        ranks: the lowest that it joins. Without ranks, the places of the hosts in the map.
        title: what kind of link it is, for people: `Thunderbolt 5`.
        interface: the network devices at its ends: `en5, en4`, or once where both are called alike.
        nominal_bytes_per_s: each way, by the data sheet; None where there is none.
        bandwidth_bytes_per_s, latency_s: as measured, there (from the first end to the second) and back.
        state: `nominal` where nothing was measured; `low` where it is far under what it should be.
        words: why it is low or failed, one sentence.
        in_use: whether the ranks' messages take it.
        sent_bytes: there and back, since the cell that runs began.
    """

    hosts: tuple[str, str]
    ranks: tuple[int, int]
    title: str = ""
    interface: str = ""
    nominal_bytes_per_s: float | None = None
    bandwidth_bytes_per_s: Pair = (None, None)
    latency_s: Pair = (None, None)
    state: EdgeState = "nominal"
    words: str = ""
    in_use: bool = True
    sent_bytes: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ClusterMap(Stored):
    """All of it.

    Attributes:
        hosts: in the order of their lowest ranks.
        backend: MLX's name of the data plane.
        state: of the cluster, as in its status; empty where the map is of no running one.
        shape: of the links in use: `ring`, `mesh` (any two), or empty for one rank alone.
        ring: the ranks in the order of the ring in use.
    """

    _key = "kernelkit_map"
    _name = "map of a cluster"

    hosts: tuple[HostNode, ...]
    edges: tuple[Edge, ...] = ()
    backend: str = ""
    state: str = ""
    shape: Shape = ""
    ring: tuple[int, ...] = ()

    @property
    def ranks(self) -> dict[int, RankNode]:
        """All ranks, in order."""
        return dict(sorted((node.rank, node) for host in self.hosts for node in host.ranks))

    @property
    def host_of(self) -> dict[int, str]:
        """The host of each rank."""
        return {node.rank: host.name for host in self.hosts for node in host.ranks}

    def check(self) -> None:
        """Refuse edges that lead to hosts which are not there, hosts that are there twice, and no quantities.

        Raises:
            ValueError: it says which.
        """
        names = [host.name for host in self.hosts]
        if len(set(names)) < len(names):
            raise ValueError(f"a host is there twice: {', '.join(names)}")
        if lost := {name for edge in self.edges for name in edge.hosts} - set(names):
            raise ValueError(f"an edge leads to a host that is not there: {', '.join(sorted(lost))}")
        for edge in self.edges:
            amounts = (
                edge.nominal_bytes_per_s,
                *edge.bandwidth_bytes_per_s,
                *edge.latency_s,
                *edge.sent_bytes,
            )
            for amount in amounts:
                if amount is not None and not 0 <= amount < math.inf:
                    raise ValueError(f"{amount} on the edge {' - '.join(edge.hosts)}")
        for host in self.hosts:
            sizes = [host.memory_bytes, host.used_bytes]
            sizes += [size for rank in host.ranks for size in (rank.memory_bytes, rank.mlx_bytes)]
            if any(size is not None and size < 0 for size in sizes):
                raise ValueError(f"less than no memory on {host.name}")

    def printable(self) -> ClusterMap:
        """The same to be shown: a space for each line break and control character in its names and words."""
        shown: ClusterMap = _printable(self)
        return shown

    def __repr__(self) -> str:
        return as_text(self.printable())


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNPRINTABLE.sub(" ", value)
    if isinstance(value, tuple):
        return tuple(map(_printable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{field.name: _printable(getattr(value, field.name)) for field in fields(value)}
        )
    return value
