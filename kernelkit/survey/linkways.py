"""Which links there are between the hosts of a cluster, and which of them its backend uses; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface
from itertools import combinations

from kernelkit.catalog import link_kind
from kernelkit.hosts.cables import Cable
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import LinkEnd, Way
from kernelkit.hosts.machine import Interface, Machine
from kernelkit.hosts.thunderbolt import THUNDERBOLT_5_ABOVE_BITS_PER_S
from kernelkit.hosts.topology import Topology
from kernelkit.launch.command import gpus_by_rank, ring_joins
from kernelkit.survey.gpuways import gpu_way
from kernelkit.survey.linkplan import PlannedLink, jaccl_pair, nccl_pair

LOOPBACK = "127.0.0.1"
_RDMA = ("jaccl", "jaccl-ring")


def plan_links(
    hosts: Sequence[Host],
    backend: str,
    machines: Mapping[str, Machine],
    topology: Topology,
    gpu_ids: Mapping[str, Sequence[str]] | None = None,
) -> list[PlannedLink]:
    """Every link between any two hosts, and one within each that has several ranks; over NCCL between any two
    of its GPUs.

    Args:
        hosts: by rank.
        machines: by the name of each host; not needed where all ranks are on one.
        gpu_ids: as in `gpus_by_rank`.
    """
    gpus = gpus_by_rank(hosts, gpu_ids)
    ranks: dict[str, list[int]] = {}
    for rank, host in enumerate(hosts):
        ranks.setdefault(host.ssh, []).append(rank)
    plan = []
    for name, mine in ranks.items():
        if backend == "nccl":
            machine = machines.get(name, Machine(name))
            plan += [
                _between_gpus(machine, pair, (gpus[pair[0]], gpus[pair[1]])) for pair in combinations(mine, 2)
            ]
        elif len(mine) > 1:
            plan.append(_within(name, mine[0], mine[1]))
    for (a, mine), (b, theirs) in combinations(ranks.items(), 2):
        pair = (mine[0], theirs[0])
        ways = [*_cables(pair, hosts, machines, topology.between(a, b), backend)]
        cabled = {(cable.a, cable.a_interface) for cable in topology.cables}
        cabled |= {(cable.b, cable.b_interface) for cable in topology.cables}
        ends = (gpus[pair[0]], gpus[pair[1]]) if backend == "nccl" else None
        ways += _networks(pair, hosts, machines[a], machines[b], cabled, backend, ends)
        plan += _with_best(ways or [_unknown(pair, hosts, ends)])
    return sorted(plan, key=lambda link: tuple(end.rank for end in link.ends))


def _within(host: str, first: int, second: int) -> PlannedLink:
    ends = (LinkEnd(first, host, "lo", LOOPBACK), LinkEnd(second, host, "lo", LOOPBACK))
    return PlannedLink(ends, link_kind("loopback").way("lo"))


def _between_gpus(machine: Machine, pair: tuple[int, int], gpus: tuple[str, str]) -> PlannedLink:
    """They meet on the loopback, over which nothing else goes: plain TCP would measure another link."""
    first, second = (LinkEnd(rank, machine.host, "", LOOPBACK) for rank in pair)
    way = gpu_way(machine.gpu_links, gpus, machine.gpus)
    return PlannedLink((first, second), way, joins=nccl_pair(gpus), tcp=False)


def _cables(
    pair: tuple[int, int],
    hosts: Sequence[Host],
    machines: Mapping[str, Machine],
    cables: Sequence[Cable],
    backend: str,
) -> Iterator[PlannedLink]:
    a, b = (hosts[rank] for rank in pair)
    for cable in cables:
        near, far = (
            machines[a.ssh].interface(cable.interface(a.ssh)),
            machines[b.ssh].interface(cable.interface(b.ssh)),
        )
        if near is None or far is None:
            continue
        rdma = backend in _RDMA and cable.rdma
        shared = _shared(near, far)
        meet = shared or (a.ips[0], b.ips[0]) if rdma else shared
        if not meet:
            yield _unaddressed(pair, (a, b), cable)
            continue
        devices = (f"rdma_{near.name}", f"rdma_{far.name}") if rdma else ("", "")
        used = devices[0] in a.devices(pair[1]) if rdma else _is_used(meet, a, b, backend)
        way = _thunderbolt(cable.link_bits_per_s, near.name, rdma=rdma)
        ends = (
            LinkEnd(pair[0], a.ssh, near.name, meet[0], devices[0]),
            LinkEnd(pair[1], b.ssh, far.name, meet[1], devices[1]),
        )
        joins = jaccl_pair(devices) if rdma else ring_joins
        yield PlannedLink(ends, way, in_use=used, joins=joins, tcp=bool(shared))


def _networks(
    pair: tuple[int, int],
    hosts: Sequence[Host],
    near: Machine,
    far: Machine,
    cabled: set[tuple[str, str]],
    backend: str,
    gpus: tuple[str, str] | None,
) -> Iterator[PlannedLink]:
    """Networks that both are on: Ethernet, Wi-Fi, and whatever else has an address."""
    a, b = (hosts[rank] for rank in pair)
    for mine in near.interfaces:
        for theirs in far.interfaces:
            meet = None if {mine.kind, theirs.kind} & {"loopback"} else _shared(mine, theirs)
            if meet is None or {(a.ssh, mine.name), (b.ssh, theirs.name)} & cabled:
                continue
            ends = (
                LinkEnd(pair[0], a.ssh, mine.name, meet[0]),
                LinkEnd(pair[1], b.ssh, theirs.name, meet[1]),
            )
            slower = min((mine, theirs), key=lambda interface: interface.link_bits_per_s or 0)
            devices = (mine.name, theirs.name)
            joins = nccl_pair(gpus, devices) if gpus else ring_joins
            yield PlannedLink(
                ends, _network_way(slower, mine.name), in_use=_is_used(meet, a, b, backend), joins=joins
            )


def _unaddressed(pair: tuple[int, int], hosts: tuple[Host, Host], cable: Cable) -> PlannedLink:
    """A cable that is there, and that nothing can be sent over yet."""
    a, b = hosts
    ends = (
        LinkEnd(pair[0], a.ssh, cable.interface(a.ssh), ""),
        LinkEnd(pair[1], b.ssh, cable.interface(b.ssh), ""),
    )
    way = _thunderbolt(cable.link_bits_per_s, cable.interface(a.ssh), rdma=False)
    why = f"its ends have no addresses of their own: %cluster discover {a.ssh} {b.ssh} lists the commands"
    return PlannedLink(ends, way, in_use=False, hindrance=why)


def _unknown(pair: tuple[int, int], hosts: Sequence[Host], gpus: tuple[str, str] | None) -> PlannedLink:
    """Two hosts that say of no network that they share it: try the addresses of the hostfile."""
    ends = tuple(LinkEnd(rank, hosts[rank].ssh, "", hosts[rank].ips[0]) for rank in pair)
    joins = nccl_pair(gpus) if gpus else ring_joins
    return PlannedLink((ends[0], ends[1]), Way("", "unknown"), joins=joins)


def _with_best(ways: Sequence[PlannedLink]) -> list[PlannedLink]:
    best = max((link.way for link in ways), key=lambda way: way.nominal_bits_per_s or 0)
    return [replace(link, best=best if best.nominal_bits_per_s else None) for link in ways]


def _is_used(meet: tuple[str, str], a: Host, b: Host, backend: str) -> bool:
    return backend not in _RDMA and (meet[0] in a.ips or meet[1] in b.ips)


def _thunderbolt(link_bits_per_s: float | None, interface: str, *, rdma: bool) -> Way:
    """By the speed that its link came up with, not by what the ports could do."""
    if link_bits_per_s is None:
        return Way("", "Thunderbolt", interface=interface)
    if link_bits_per_s > THUNDERBOLT_5_ABOVE_BITS_PER_S:
        return link_kind("tb5-rdma" if rdma else "tb5").way(interface)
    return replace(link_kind("tb4").way(interface), nominal_bits_per_s=link_bits_per_s)


def _network_way(slower: Interface, interface: str) -> Way:
    speed = slower.link_bits_per_s
    if slower.kind == "wifi":
        return Way("wifi", "Wi-Fi", speed, interface)
    if speed is None:
        return Way("", slower.kind, interface=interface)
    title = (
        f"{speed / 1e9:g} Gbit/s Ethernet"
        if slower.kind == "ethernet"
        else f"{slower.kind}, {speed / 1e9:g} Gbit/s"
    )
    return Way("ethernet" if slower.kind == "ethernet" else "", title, speed, interface)


def _shared(near: Interface, far: Interface) -> tuple[str, str] | None:
    """An address of each in one network."""
    for mine in map(IPv4Interface, near.addresses):
        for theirs in map(IPv4Interface, far.addresses):
            # Addresses that macOS makes up itself are in one network on all ports, whatever is joined.
            if mine.network == theirs.network and mine.ip != theirs.ip and not mine.is_link_local:
                return str(mine.ip), str(theirs.ip)
    return None
