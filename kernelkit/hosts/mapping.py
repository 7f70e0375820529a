"""Make the map of a cluster: of one that runs, of a link report alone, of hosts and cables that were found.

Which links are in use follows from the backend: `ring` and `jaccl-ring` join neighbours in the order of the
ranks, `jaccl`, `mpi` and `nccl` any two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from kernelkit.errors import ArgumentError
from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode, Shape
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import Link, LinkReport, Way
from kernelkit.hosts.linkwords import failure, interfaces, lowness
from kernelkit.hosts.status import ClusterStatus

RINGS = ("ring", "jaccl-ring")
MESHES = ("jaccl", "mpi", "nccl")

_RDMA = Way("", "Thunderbolt RDMA")
_TITLES = {"ring": "TCP", "mpi": "MPI", "nccl": "NCCL"}


def map_of_status(
    status: ClusterStatus, hosts: Sequence[Host] = (), report: LinkReport | None = None, rdma: Way = _RDMA
) -> ClusterMap:
    """A cluster that runs.

    Args:
        hosts: by rank, as in the hostfile, for the names of RDMA devices.
        report: what its links carry, as far as they were measured; the others are nominal.
        rdma: what an RDMA cable is, and its nominal rate.

    Raises:
        ArgumentError: the report is of a cluster with other ranks.
    """
    host_of = {rank.rank: rank.host for rank in status.ranks}
    measured = _measured(report, host_of, status.backend) if report else []
    known = {frozenset(edge.hosts) for edge in measured if edge.in_use}
    nominal = [
        edge
        for hosts_of_pair, pair in joined_hosts(host_of, status.backend).items()
        if hosts_of_pair not in known
        for edge in nominal_edges(pair, host_of, status.backend, hosts, rdma)
    ]
    return ClusterMap(
        _nodes(status),
        in_order([*measured, *nominal]),
        status.backend,
        status.state,
        shape_of(status.backend, len(host_of)),
        ring_of(status.backend, host_of),
    )


def map_of_links(report: LinkReport) -> ClusterMap:
    """Hosts and ranks at the ends of measured links, without a cluster."""
    ends = sorted({(end.rank, end.host) for link in report.links for end in link.ends})
    host_of = dict(ends)
    ranks: dict[str, list[RankNode]] = {}
    for rank, host in ends:
        ranks.setdefault(host, []).append(RankNode(rank))
    return ClusterMap(
        tuple(HostNode(host, ranks=tuple(nodes)) for host, nodes in ranks.items()),
        in_order(_measured(report, host_of, report.backend)),
        report.backend,
        shape=shape_of(report.backend, len(host_of)),
        ring=ring_of(report.backend, host_of),
    )


def shape_of(backend: str, ranks: int) -> Shape:
    """How a backend joins its ranks."""
    if ranks < 2:
        return ""
    return "ring" if backend in RINGS else "mesh" if backend in MESHES else ""


def pairs_in_use(backend: str, ranks: Collection[int]) -> set[tuple[int, int]]:
    """Those of these ranks that a backend joins, the lower one first."""
    if ring := ring_of(backend, ranks):
        return {(min(pair), max(pair)) for pair in zip(ring, (*ring[1:], ring[0]), strict=True)}
    return set(combinations(sorted(ranks), 2)) if backend in MESHES else set()


def ring_of(backend: str, ranks: Iterable[int]) -> tuple[int, ...]:
    """These ranks as the ring goes round: in their order; empty where the backend makes none."""
    around = tuple(sorted(ranks))
    return around if shape_of(backend, len(around)) == "ring" else ()


def joined_hosts(host_of: Mapping[int, str], backend: str) -> dict[frozenset[str], tuple[int, int]]:
    """Hosts whose ranks are joined, or one whose own are, and the lowest two ranks there."""
    ranks: dict[str, list[int]] = {}
    for rank, host in sorted(host_of.items()):
        ranks.setdefault(host, []).append(rank)
    found = {}
    for i, j in sorted(pairs_in_use(backend, host_of)):
        a, b = host_of[i], host_of[j]
        ends = (ranks[a][0], ranks[a][1] if a == b else ranks[b][0])
        found[frozenset((a, b))] = (min(ends), max(ends))
    return found


def _measured(report: LinkReport, host_of: Mapping[int, str], backend: str) -> list[Edge]:
    joined = joined_hosts(host_of, backend)
    edges = []
    for link in report.links:
        a, b = link.ranks
        if a not in host_of or b not in host_of:
            raise ArgumentError(
                "this link report is of another cluster",
                expected=f"ranks {min(host_of)} to {max(host_of)}",
                got=f"a link between rank {a} and rank {b}",
            )
        hosts = (host_of[a], host_of[b])
        # The report says which of a pair's links; whether the pair is joined at all, the backend.
        edges.append(_edge(link, hosts, in_use=link.in_use and frozenset(hosts) in joined))
    return edges


def _edge(link: Link, hosts: tuple[str, str], *, in_use: bool) -> Edge:
    a, b = link.ranks
    there, back = link.flow(a, b), link.flow(b, a)
    nominal = link.way.nominal_bits_per_s
    low = lowness(link)
    return Edge(
        hosts,
        (a, b),
        link.way.title,
        interfaces(link),
        nominal / 8 if nominal else None,
        (there.bandwidth_bytes_per_s if there else None, back.bandwidth_bytes_per_s if back else None),
        (there.latency_s if there else None, back.latency_s if back else None),
        "failed" if link.error else "low" if low else "measured" if link.mlx else "nominal",
        failure(link) or low,
        in_use,
    )


def nominal_edges(
    pair: tuple[int, int], host_of: Mapping[int, str], backend: str, hosts: Sequence[Host], rdma: Way = _RDMA
) -> Iterable[Edge]:
    """Links that nobody has measured: one for each RDMA cable of a pair, else one."""
    a, b = pair
    ends = (host_of[a], host_of[b])
    if backend not in ("jaccl", "jaccl-ring"):
        title = "loopback" if backend == "ring" and ends[0] == ends[1] else _TITLES.get(backend, "")
        return [Edge(ends, pair, title)]
    near = hosts[a].devices(b) if hosts else ()
    far = hosts[b].devices(a) if hosts else ()
    cables = list(zip(near, far, strict=False)) or [("", "")]
    nominal = rdma.nominal_bits_per_s / 8 if rdma.nominal_bits_per_s else None
    return [
        Edge(ends, pair, rdma.title, ", ".join(dict.fromkeys(map(_interface, cable))), nominal)
        for cable in cables
    ]


def _interface(device: str) -> str:
    return device.removeprefix("rdma_")


def _nodes(status: ClusterStatus) -> tuple[HostNode, ...]:
    facts = {host.name: host for host in status.hosts}
    ranks: dict[str, list[RankNode]] = {}
    for rank in status.ranks:
        node = RankNode(
            rank.rank,
            rank.doing,
            rank.state,
            rank.device,
            rank.pid,
            rank.blas,
            rank.mlx,
            rank.memory_bytes,
            rank.mlx_bytes,
        )
        ranks.setdefault(rank.host, []).append(node)
    nodes = []
    for name, mine in ranks.items():
        host = facts.get(name)
        known = (host.chip, host.memory_bytes, host.used_bytes) if host else ("", None, None)
        nodes.append(HostNode(name, *known, tuple(mine)))
    return tuple(nodes)


def in_order(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    return tuple(sorted(edges, key=lambda edge: edge.ranks))
