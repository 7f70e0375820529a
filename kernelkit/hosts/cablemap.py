"""The map of hosts and cables that were found, before any rank runs there, and what each is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelkit.hosts.cables import Cable
from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode, Shape
from kernelkit.hosts.hostfile import Host, Hostfile
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.mapping import in_order, joined_hosts, nominal_edges, ring_of, shape_of
from kernelkit.hosts.thunderbolt import THUNDERBOLT_5_ABOVE_BITS_PER_S
from kernelkit.hosts.topology import Topology

_RDMA = ("jaccl", "jaccl-ring")


def map_of_topology(
    topology: Topology, hostfile: Hostfile | None = None, machines: Sequence[Machine] = ()
) -> ClusterMap:
    """Hosts and the cables between them, all of them nominal.

    Args:
        hostfile: what they are to be used for. Its hosts are ranks, and it says which cables are in use:
            by their RDMA devices; of a ring over TCP, those of neighbours if cables close a ring at all.
            Without one, the cables of the mesh or the ring that there is.
        machines: for their chips and memory.
    """
    facts = {machine.host: machine for machine in machines}
    if hostfile is None:
        return _bare(topology, facts)
    names = [host.ssh for host in hostfile.hosts]
    host_of = dict(enumerate(names))
    ranks = {name: [rank for rank, host in host_of.items() if host == name] for name in dict.fromkeys(names)}
    order = [*ranks, *(name for name in topology.hosts if name not in ranks)]
    joined = joined_hosts(host_of, hostfile.backend)
    first = {name: ranks[name][0] if name in ranks else place for place, name in enumerate(order)}
    edges = [
        _edge(cable, first, in_use=_is_used(cable, topology, hostfile, joined), backend=hostfile.backend)
        for cable in topology.cables
    ]
    wired = {frozenset(edge.hosts) for edge in edges if edge.in_use}
    edges += [
        edge
        for hosts, pair in joined.items()
        if hosts not in wired
        for edge in nominal_edges(pair, host_of, hostfile.backend, hostfile.hosts)
    ]
    return ClusterMap(
        tuple(_node(name, facts, ranks.get(name, ())) for name in order),
        in_order(edges),
        hostfile.backend,
        shape=shape_of(hostfile.backend, len(host_of)),
        ring=ring_of(hostfile.backend, host_of),
    )


def _bare(topology: Topology, facts: Mapping[str, Machine]) -> ClusterMap:
    """Without a hostfile there are no ranks: edges name the places of the hosts."""
    place = {name: i for i, name in enumerate(topology.hosts)}
    ring = None if topology.full_mesh() else topology.ring()
    around = zip(ring.hosts, (*ring.hosts[1:], ring.hosts[0]), strict=True) if ring else ()
    neighbours = {frozenset(pair) for pair in around}
    shape: Shape = "mesh" if topology.full_mesh() else "ring" if ring else ""
    edges = [
        _edge(cable, place, in_use=shape == "mesh" or frozenset((cable.a, cable.b)) in neighbours)
        for cable in topology.cables
    ]
    return ClusterMap(
        tuple(_node(name, facts) for name in topology.hosts),
        in_order(edges),
        shape=shape,
        ring=tuple(place[name] for name in ring.hosts) if ring else (),
    )


def _is_used(
    cable: Cable, topology: Topology, hostfile: Hostfile, joined: Mapping[frozenset[str], tuple[int, int]]
) -> bool:
    pair = frozenset((cable.a, cable.b))
    if pair not in joined:
        return False
    if hostfile.backend in _RDMA:
        return any(_names(hostfile.hosts, cable, at) for at in (cable.a, cable.b))
    return hostfile.backend == "ring" and topology.ring() is not None


def _names(hosts: Sequence[Host], cable: Cable, at: str) -> bool:
    """Whether a rank on that host names the cable's device there for a rank at its other end."""
    device = f"rdma_{cable.interface(at)}"
    far = [rank for rank, host in enumerate(hosts) if host.ssh == cable.other(at)]
    return any(device in host.devices(rank) for host in hosts if host.ssh == at for rank in far)


def _edge(cable: Cable, number: Mapping[str, int], *, in_use: bool, backend: str = "") -> Edge:
    a, b = sorted((cable.a, cable.b), key=lambda name: number[name])
    interfaces = dict.fromkeys(name for host in (a, b) if (name := cable.interface(host)))
    return Edge(
        (a, b),
        (number[a], number[b]),
        _title(cable) + (" RDMA" if in_use and backend in _RDMA else ""),
        ", ".join(interfaces),
        None if cable.link_bits_per_s is None else cable.link_bits_per_s / 8,
        in_use=in_use,
    )


def _title(cable: Cable) -> str:
    """By the speed that its link came up with."""
    speed = cable.link_bits_per_s
    if speed is None:
        return "Thunderbolt"
    return "Thunderbolt 5" if speed > THUNDERBOLT_5_ABOVE_BITS_PER_S else "Thunderbolt 4"


def _node(name: str, facts: Mapping[str, Machine], ranks: Sequence[int] = ()) -> HostNode:
    machine = facts.get(name, Machine(name))
    total, free = machine.memory_bytes, machine.free_memory_bytes
    used = None if total is None or free is None else total - free
    return HostNode(name, machine.chip, total, used, tuple(RankNode(rank) for rank in ranks))
