"""Maps of hosts and cables that were found: nominal links, and which of them the hostfile uses."""

from __future__ import annotations

from itertools import combinations

from kernelkit.hosts.cablemap import map_of_topology
from kernelkit.hosts.cables import Cable
from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.hosts.hostfile import Host, Hostfile
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.topology import Topology


def cable(a: int, b: int, bits_per_s: float | None = 80e9, port: int = 0) -> Cable:
    """Between mac1 and on; a port of a host is named after its peer."""
    return Cable(f"mac{a + 1}", f"en{b + 2 + port}", f"mac{b + 1}", f"en{a + 2 + port}", bits_per_s)


def topology(hosts: int, *cables: Cable) -> Topology:
    return Topology(tuple(f"mac{i + 1}" for i in range(hosts)), cables)


MESH = topology(4, *(cable(a, b) for a, b in combinations(range(4), 2)))


def hostfile(backend: str, joined: set[tuple[int, int]], order: tuple[int, ...] = (0, 1, 2, 3)) -> Hostfile:
    """With the RDMA devices of those pairs of Macs."""
    hosts = []
    for i in order:
        rdma = tuple(f"rdma_en{j + 2}" if {(i, j), (j, i)} & joined else None for j in order)
        hosts.append(Host(f"mac{i + 1}", (f"10.0.0.{i + 1}",), rdma if joined else ()))
    return Hostfile(tuple(hosts), backend)


def used(found: ClusterMap) -> list[tuple[int, int]]:
    return [edge.ranks for edge in found.edges if edge.in_use]


def test_a_mesh_of_cables_is_in_use_as_one() -> None:
    found = map_of_topology(MESH)
    assert (found.shape, found.ring, found.backend, found.state) == ("mesh", (), "", "")
    assert used(found) == list(combinations(range(4), 2))
    assert {(edge.title, edge.nominal_bytes_per_s, edge.state) for edge in found.edges} == {
        ("Thunderbolt 5", 10e9, "nominal")
    }
    assert found.edges[1].interface == "en4, en2"
    assert [(host.name, host.ranks) for host in found.hosts] == [(f"mac{i}", ()) for i in (1, 2, 3, 4)]


def test_a_ring_of_cables_goes_round_the_hosts_in_its_order() -> None:
    found = map_of_topology(topology(4, cable(0, 2), cable(1, 2), cable(1, 3), cable(0, 3)))
    assert (found.shape, found.ring) == ("ring", (0, 2, 1, 3))
    assert used(found) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_cables_that_close_no_ring_are_in_use_for_nothing() -> None:
    found = map_of_topology(topology(3, cable(0, 1, 40e9), cable(1, 2, None)))
    assert (found.shape, used(found)) == ("", [])
    assert [(edge.title, edge.nominal_bytes_per_s) for edge in found.edges] == [
        ("Thunderbolt 4", 5e9),
        ("Thunderbolt", None),
    ]


def test_a_hostfile_makes_ranks_of_hosts_and_says_which_cables_are_used() -> None:
    found = map_of_topology(MESH, hostfile("jaccl", set(combinations(range(4), 2))))
    assert used(found) == list(combinations(range(4), 2))
    assert {edge.title for edge in found.edges} == {"Thunderbolt 5 RDMA"}
    assert found.host_of == {0: "mac1", 1: "mac2", 2: "mac3", 3: "mac4"}
    assert (found.backend, found.shape) == ("jaccl", "mesh")


def test_the_ranks_of_a_ring_are_numbered_by_the_hostfile() -> None:
    around = {(0, 2), (1, 2), (1, 3), (0, 3)}
    found = map_of_topology(MESH, hostfile("jaccl-ring", around, (0, 2, 1, 3)))
    assert found.host_of == {0: "mac1", 1: "mac3", 2: "mac2", 3: "mac4"}
    assert (found.shape, found.ring) == ("ring", (0, 1, 2, 3))
    assert used(found) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    assert len(found.edges) == 6
    assert {edge.title for edge in found.edges if not edge.in_use} == {"Thunderbolt 5"}


def test_of_two_cables_of_a_pair_only_those_that_the_hostfile_names_are_used() -> None:
    hosts = (Host("mac1", ("a",), (None, "rdma_en3")), Host("mac2", ("b",), ("rdma_en2", None)))
    pair = topology(2, cable(0, 1), cable(0, 1, port=5))
    found = map_of_topology(pair, Hostfile(hosts, "jaccl"))
    assert [(edge.interface, edge.in_use) for edge in found.edges] == [
        ("en3, en2", True),
        ("en8, en7", False),
    ]


def test_a_ring_over_tcp_takes_cables_if_they_close_one_and_else_the_network() -> None:
    ring = topology(4, cable(0, 1), cable(1, 2), cable(2, 3), cable(0, 3))
    over_cables = map_of_topology(ring, hostfile("ring", set()))
    assert [(edge.title, edge.in_use) for edge in over_cables.edges] == [("Thunderbolt 5", True)] * 4
    line = topology(4, cable(0, 1), cable(1, 2))
    over_network = map_of_topology(line, hostfile("ring", set()))
    assert [(edge.ranks, edge.title) for edge in over_network.edges if edge.in_use] == [
        ((0, 1), "TCP"), ((0, 3), "TCP"), ((1, 2), "TCP"), ((2, 3), "TCP"),
    ]  # fmt: skip
    assert sum(edge.title == "Thunderbolt 5" for edge in over_network.edges) == 2


def test_hosts_have_chip_and_memory_where_they_were_asked() -> None:
    asked = Machine("mac1", chip="Apple M4 Max", memory_bytes=128, free_memory_bytes=28)
    first, second = map_of_topology(topology(2, cable(0, 1)), machines=[asked]).hosts
    assert (first.chip, first.memory_bytes, first.used_bytes) == ("Apple M4 Max", 128, 100)
    assert (second.chip, second.memory_bytes, second.used_bytes) == ("", None, None)
