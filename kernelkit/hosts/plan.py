"""The fastest backend that machines and their cables allow, why it is that one, and its hostfile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.errors import HostError
from kernelkit.hosts.addressing import Wire, address_cables
from kernelkit.hosts.hostfile import Host, Hostfile
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.network import lan_addresses, shared_addresses
from kernelkit.hosts.topology import Ring, Topology

_LARGEST_MESH = 8  # JACCL connects no more peers.


@dataclass(frozen=True)
class Plan:
    """A backend with all that it needs.

    Attributes:
        over: what the bytes go over, such as `Thunderbolt RDMA`.
        why: one sentence on why it is this backend and no faster one.
        wires: the cables that the hostfile uses.
    """

    backend: str
    over: str
    why: str
    hostfile: Hostfile
    wires: tuple[Wire, ...] = ()
    warnings: tuple[str, ...] = ()


def make_plan(machines: Sequence[Machine], topology: Topology) -> Plan:
    """jaccl, else jaccl-ring, else a ring over Thunderbolt, else a ring over a network that all share.

    Raises:
        HostError: there is not even such a network.
    """
    known = {machine.host: machine for machine in machines}
    wires = address_cables(known, topology.cables)
    small = len(machines) <= _LARGEST_MESH
    if small and topology.full_mesh(rdma=True) and (meet := _meeting(machines, wires)):
        return _mesh(topology, wires, *meet)
    if (ring := topology.ring(rdma=True)) and (meet := _meeting([known[h] for h in ring.hosts], wires)):
        return _rdma_ring(topology, wires, ring, *meet)
    if ring := topology.ring():
        return _cable_ring(topology, wires, ring)
    return _lan_ring(machines, topology)


def _mesh(topology: Topology, wires: Sequence[Wire], meet: list[list[str]], warnings: list[str]) -> Plan:
    table = _rdma_table(topology.hosts, topology.hosts, wires, topology.parallel(rdma=True))
    used = tuple(wire for wire in wires if wire.cable.rdma)
    hosts = tuple(Host(h, tuple(ips), table[h]) for h, ips in zip(topology.hosts, meet, strict=True))
    why = f"{_all(topology)} have cables between them that can do RDMA"
    return _plan("jaccl", "Thunderbolt RDMA", why, hosts, used, [*warnings, *_down(used)])


def _rdma_ring(
    topology: Topology, wires: Sequence[Wire], ring: Ring, meet: list[list[str]], warnings: list[str]
) -> Plan:
    neighbours = _neighbours(ring)
    table = _rdma_table(ring.hosts, neighbours, wires, ring.parallel)
    used = tuple(w for w in wires if w.cable.rdma and w.cable.b in neighbours[w.cable.a])
    hosts = tuple(Host(h, tuple(ips), table[h]) for h, ips in zip(ring.hosts, meet, strict=True))
    why = "cables that can do RDMA close a ring" + _no_mesh(topology)
    return _plan("jaccl-ring", "Thunderbolt RDMA", why, hosts, used, [*warnings, *_down(used)])


def _cable_ring(topology: Topology, wires: Sequence[Wire], ring: Ring) -> Plan:
    """Each host is reached by the host before it, over the cables between those two."""
    hosts = []
    used: set[Wire] = set()
    for i, host in enumerate(ring.hosts):
        ends = {host, ring.hosts[i - 1]}
        between = [wire for wire in wires if {wire.cable.a, wire.cable.b} == ends][: ring.parallel]
        hosts.append(Host(host, tuple(wire.address(host) for wire in between)))
        used |= set(between)
    why = "cables close a ring, but not with RDMA: " + (
        _no_rdma(topology) or "the hosts have no LAN to meet on"
    )
    return _plan("ring", "Thunderbolt", why, tuple(hosts), tuple(w for w in wires if w in used), [])


def _lan_ring(machines: Sequence[Machine], topology: Topology) -> Plan:
    shared = shared_addresses(machines)
    if shared is None:
        seen = "".join(f"\n  {m.host}: {', '.join(lan_addresses(m)) or 'no address'}" for m in machines)
        raise HostError(
            "the hosts have no network in common",
            expected="an IPv4 network on which every host has an address, or Thunderbolt cables in a ring",
            got=seen,
            cure="put them on one network, or write a hostfile by hand",
        )
    addresses, over = shared
    why = f"{_no_ring(machines, topology)}, and all share a network"
    hosts = tuple(Host(m.host, (ip,)) for m, ip in zip(machines, addresses, strict=True))
    return _plan("ring", over, why, hosts, (), [])


def _plan(
    backend: str, over: str, why: str, hosts: tuple[Host, ...], used: tuple[Wire, ...], warnings: list[str]
) -> Plan:
    hostfile = Hostfile(hosts, backend)
    hostfile.check(backend)
    return Plan(backend, over, why, hostfile, used, tuple(warnings))


def _meeting(machines: Sequence[Machine], wires: Sequence[Wire]) -> tuple[list[list[str]], list[str]] | None:
    """For each host the addresses that a coordinator there would have, and a warning; None without any."""
    if shared := shared_addresses(machines):
        return [[address] for address in shared[0]], []
    if len(machines) == 2 and wires:
        return [[wires[0].address(machine.host)] for machine in machines], []
    own = [lan_addresses(machine)[:1] for machine in machines]
    first = machines[0].host
    warning = f"the hosts have no network in common; all must reach {first} at {', '.join(own[0])}"
    return (own, [warning]) if own[0] else None


def _rdma_table(
    hosts: Sequence[str], peers: Sequence[str] | dict[str, set[str]], wires: Sequence[Wire], parallel: int
) -> dict[str, tuple[str | tuple[str, ...] | None, ...]]:
    """For each host its RDMA devices to every other, as many to each peer."""
    table: dict[str, tuple[str | tuple[str, ...] | None, ...]] = {}
    for host in hosts:
        row: list[str | tuple[str, ...] | None] = []
        for other in hosts:
            wanted = other in (peers[host] if isinstance(peers, dict) else peers) and other != host
            cables = [wire.cable for wire in wires if {wire.cable.a, wire.cable.b} == {host, other}]
            devices = tuple(f"rdma_{cable.interface(host)}" for cable in cables if cable.rdma)[:parallel]
            row.append(None if not wanted else devices[0] if parallel == 1 else devices)
        table[host] = tuple(row)
    return table


def _neighbours(ring: Ring) -> dict[str, set[str]]:
    size = len(ring.hosts)
    return {host: {ring.hosts[i - 1], ring.hosts[(i + 1) % size]} for i, host in enumerate(ring.hosts)}


def _down(wires: Sequence[Wire]) -> list[str]:
    ends = dict.fromkeys(end for wire in wires for end in wire.cable.rdma_down)
    return [f"the RDMA port {end} is down: plug its cable in again" for end in ends]


def _all(topology: Topology) -> str:
    return "both hosts" if len(topology.hosts) == 2 else f"all {len(topology.hosts)} hosts"


def _no_mesh(topology: Topology) -> str:
    if len(topology.hosts) > _LARGEST_MESH:
        return f"; a mesh takes {_LARGEST_MESH} hosts at most"
    pairs = [f"{missing.a} and {missing.b}" for missing in topology.missing(rdma=True)]
    return f", but none is between {', nor between '.join(pairs)}" if pairs else ""


def _no_rdma(topology: Topology) -> str:
    return "; ".join(dict.fromkeys(cable.no_rdma for cable in topology.cables if cable.no_rdma))


def _no_ring(machines: Sequence[Machine], topology: Topology) -> str:
    others = [machine.host for machine in machines if not machine.is_mac]
    if others:
        return f"{', '.join(others)} {'is no Mac' if len(others) == 1 else 'are no Macs'}"
    cabled = "the Thunderbolt cables close no ring through all hosts"
    return cabled if topology.cables else "no Thunderbolt cable joins two of the hosts"
