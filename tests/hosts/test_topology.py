"""Who is cabled to whom: cables from ports, meshes, rings, what is missing, and which cables do RDMA."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError
from kernelkit.hosts.cables import Cable, find_cables, free_ports, strangers
from kernelkit.hosts.machine import Machine, ThunderboltPort
from kernelkit.hosts.topology import MissingCable, Topology, topology_of


def mac(name: str, *ports: ThunderboltPort, **changes: Any) -> Machine:
    facts = {"system": "Darwin", "version": "26.2", "kind": "Mac mini", "rdma_enabled": True, **changes}
    return Machine(name, ports=ports, **facts)


def port(interface: str, uuid: str, peer: str | None = None, **changes: Any) -> ThunderboltPort:
    cabled = {"peer_name": "Mac mini", "link_bits_per_s": 80e9} if peer else {}
    fields = {"rdma_device": f"rdma_{interface}", "rdma_active": True, **cabled, **changes}
    return ThunderboltPort(interface[2:], interface, uuid, peer, **fields)


def pair(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **of_a: Any) -> list[Machine]:
    """Two Macs and a cable, with changes of each port and of the first Mac."""
    return [
        mac("a", port("en3", "A", "B", **(a or {})), **of_a),
        mac("b", port("en4", "B", "A", **(b or {}))),
    ]


def only_cable(machines: list[Machine]) -> Cable:
    (cable,) = find_cables(machines)
    return cable


def test_a_cable_has_its_two_ends_and_the_slower_speed() -> None:
    cable = only_cable(pair(a={"link_bits_per_s": 120e9}))
    assert cable == Cable("a", "en3", "b", "en4", 80e9)
    assert (cable.rdma, cable.interface("b"), cable.other("b")) == (True, "en4", "a")


def test_two_cables_between_a_pair_are_two() -> None:
    a = mac("a", port("en3", "A1", "B1"), port("en4", "A2", "B2"))
    b = mac("b", port("en3", "B2", "A2"), port("en4", "B1", "A1"))
    assert [(c.a_interface, c.b_interface) for c in find_cables([a, b])] == [("en3", "en4"), ("en4", "en3")]


def test_docks_strangers_and_cables_to_oneself_are_no_cables() -> None:
    dock = port("en3", "A1", None, peer_name="dock", link_bits_per_s=40e9)
    loop = (port("en4", "A2", "A3"), port("en5", "A3", "A2"))
    machines = [mac("a", dock, *loop, port("en6", "A4", "elsewhere", peer_name="MacBook Pro")), mac("b")]
    assert find_cables(machines) == ()
    assert strangers(machines) == ("en6 of a leads to another MacBook Pro, not listed",)
    assert free_ports(machines[0]) == ()


def test_one_end_that_was_asked_too_early_does_not_cost_the_cable() -> None:
    assert len(find_cables([mac("a", port("en3", "A", "B")), mac("b", port("en4", "B"))])) == 1
    assert len(find_cables([mac("a", port("en3", "A")), mac("b", port("en4", "B", "A"))])) == 1


def test_ends_that_contradict_each_other_are_no_cable() -> None:
    assert find_cables([mac("a", port("en3", "A", "B")), mac("b", port("en4", "B", "C"))]) == ()


def test_ports_that_could_not_be_read_cost_no_other_cable() -> None:
    blind = replace(mac("c"), ports=None)
    assert len(find_cables([*pair(), blind])) == 1
    assert topology_of([*pair(), blind]).hosts == ("a", "b", "c")


def test_one_machine_under_two_names_is_said() -> None:
    with pytest.raises(ArgumentError, match=r"a and a\.local are the same machine"):
        topology_of([*pair(), replace(pair()[0], host="a.local")])


@pytest.mark.parametrize(
    ("machines", "why"),
    [
        (pair(a={"link_bits_per_s": 40e9}), "the link runs at 40 Gb/s, and RDMA needs Thunderbolt 5"),
        (pair(b={"link_bits_per_s": 20e9}), "the link runs at 20 Gb/s, and RDMA needs Thunderbolt 5"),
        (pair(version="26.1"), "a has macOS 26.1, and RDMA needs 26.2"),
        (pair(version="15.7.2"), "a has macOS 15.7.2, and RDMA needs 26.2"),
        (pair(rdma_enabled=False), "RDMA is not enabled on a"),
        (pair(a={"through": "dock"}), "dock lies between"),
        (pair(a={"rdma_device": None, "rdma_active": None}), "en3 of a has no RDMA device"),
        (pair(rdma_enabled=None), "en3 of a has an unknown state of RDMA"),
        (pair(version=""), "en3 of a has an unknown state of RDMA"),
        (pair(a={"link_bits_per_s": None}), "en3 of a has an unknown state of RDMA"),
    ],
)
def test_why_a_cable_can_do_no_rdma(machines: list[Machine], why: str) -> None:
    cable = only_cable(machines)
    assert (cable.rdma, cable.no_rdma) == (False, why)


def test_a_device_of_rdma_alone_makes_no_rdma() -> None:
    """Upstream takes rdma_en3 in `ibv_devices` as enough; Thunderbolt 4 Macs list it as well."""
    slow = {"link_bits_per_s": 40e9, "rdma_device": "rdma_en3", "rdma_active": True}
    assert not only_cable(pair(a=slow, b=slow)).rdma


def test_the_port_of_a_mac_studio_next_to_ethernet() -> None:
    studio = [mac("a", port("en2", "A", "B"), kind="Mac Studio"), mac("b", port("en2", "B", "A"))]
    assert only_cable(studio).no_rdma == "en2 of a, next to Ethernet, is the port without RDMA"
    assert only_cable([replace(studio[0], kind="Mac mini"), studio[1]]).rdma
    idle = mac("a", port("en2", "A"), port("en3", "B"), kind="Mac Studio")
    assert free_ports(idle) == ("en3",)


def test_both_ends_say_what_is_in_the_way() -> None:
    machines = [pair(rdma_enabled=False)[0], replace(pair()[1], version="26.0")]
    assert only_cable(machines).no_rdma == "RDMA is not enabled on a; b has macOS 26.0, and RDMA needs 26.2"


def test_a_port_that_is_down_is_named_beside_what_else_allows_rdma() -> None:
    cable = only_cable(pair(b={"rdma_active": False}))
    assert (cable.rdma, cable.rdma_down) == (True, ("rdma_en4 of b",))


# Shapes.


def graph(size: int, *pairs: tuple[int, int], rdma: bool = True, free: int = 0) -> Topology:
    hosts = tuple(f"h{i}" for i in range(size))
    why = "" if rdma else "slow"
    cables = tuple(Cable(hosts[a], f"en{k}", hosts[b], f"en{k}", 80e9, why) for k, (a, b) in enumerate(pairs))
    return Topology(hosts, cables, tuple(tuple(f"en{10 + k}" for k in range(free)) for _ in hosts))


SQUARE = ((0, 1), (1, 2), (2, 3), (3, 0))


def test_a_square_is_a_ring_and_no_mesh() -> None:
    square = graph(4, *SQUARE)
    found = square.ring()
    assert found is not None
    assert (found.hosts, found.parallel) == (("h0", "h1", "h2", "h3"), 1)
    assert (square.full_mesh(), square.shape()) == (False, "ring")
    assert [str(missing) for missing in square.missing()] == [
        "h0 to h2 (h0 and h2 have no free port for it)",
        "h1 to h3 (h1 and h3 have no free port for it)",
    ]


def test_what_a_mesh_lacks_counts_the_ports_that_are_left() -> None:
    assert graph(4, *SQUARE, free=1).missing() == (MissingCable("h0", "h2"), MissingCable("h1", "h3"))
    line = Topology(("a", "b", "c"), (), (("en2",), ("en2", "en3"), ("en2",)))
    assert [str(m) for m in line.missing()] == ["a to b", "a to c (a has no free port for it)", "b to c"]


def test_a_ring_follows_the_cables_and_not_the_list() -> None:
    found = graph(4, (0, 2), (2, 1), (1, 3), (3, 0)).ring()
    assert found is not None
    assert found.hosts == ("h0", "h2", "h1", "h3")


def test_a_ring_takes_the_way_with_most_parallel_cables() -> None:
    crossed = [(0, 2), (2, 1), (1, 3), (3, 0)]
    found = graph(4, *SQUARE, *crossed, *crossed).ring()
    assert found is not None
    assert (found.hosts, found.parallel) == (("h0", "h2", "h1", "h3"), 2)


def test_two_hosts_are_a_ring_and_a_mesh() -> None:
    two = graph(2, (0, 1), (1, 0))
    found = two.ring()
    assert found is not None
    assert (found.parallel, two.full_mesh(), two.parallel()) == (2, True, 2)


@pytest.mark.parametrize("topology", [graph(1), graph(2), graph(3, (0, 1), (1, 2)), graph(4, (0, 1), (2, 3))])
def test_no_ring(topology: Topology) -> None:
    assert topology.ring() is None
    assert not topology.full_mesh()


def test_cables_without_rdma_do_not_count_for_a_ring_of_rdma() -> None:
    slow = graph(3, (0, 1), (1, 2), (2, 0), rdma=False)
    assert slow.full_mesh()
    assert not slow.full_mesh(rdma=True)
    assert slow.ring(rdma=True) is None
    assert len(slow.missing(rdma=True)) == 3


def test_it_shows_itself_and_survives_json() -> None:
    topology = topology_of(pair(a={"link_bits_per_s": 40e9}))
    assert repr(topology).splitlines() == [
        "2 hosts, 1 cable: full mesh",
        "  a en3 to b en4: 40 Gb/s, RDMA: the link runs at 40 Gb/s, and RDMA needs Thunderbolt 5",
    ]
    assert Topology.from_dict(json.loads(json.dumps(topology.to_dict()))) == topology
    assert graph(3).shape() == "no Thunderbolt cables"
    assert graph(3, (0, 1)).shape() == "no ring"


# Against brute force.

GRAPHS = st.integers(2, 6).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=14),
        st.lists(st.booleans(), min_size=14, max_size=14),
    )
)


def built(size: int, pairs: list[tuple[int, int]], fast: list[bool]) -> list[Machine]:
    """Machines with these cables, as they would describe themselves; a pair of one and the same is a dock."""
    ports: list[list[ThunderboltPort]] = [[] for _ in range(size)]
    for k, ((a, b), is_fast) in enumerate(zip(pairs, fast, strict=False)):
        speed = 80e9 if is_fast else 40e9
        if a == b:
            ports[a].append(port(f"en{k}", f"{k}a", None, peer_name="dock", link_bits_per_s=speed))
            continue
        ports[a].append(port(f"en{k}", f"{k}a", f"{k}b", link_bits_per_s=speed))
        ports[b].append(port(f"en{k}", f"{k}b", f"{k}a", link_bits_per_s=speed))
    return [mac(f"h{i}", *own) for i, own in enumerate(ports)]


def best_ring(counts: list[list[int]]) -> int:
    """The most parallel cables of any ring, by trying every order; 0 without one."""
    orders = ((0, *rest) for rest in permutations(range(1, len(counts))))
    return max(min(counts[a][b] for a, b in zip(order, (*order[1:], 0), strict=True)) for order in orders)


@given(GRAPHS, st.booleans())
def test_meshes_and_rings_are_what_brute_force_finds(
    drawn: tuple[int, list[tuple[int, int]], list[bool]], rdma: bool
) -> None:
    size, pairs, fast = drawn
    topology = topology_of(built(size, pairs, fast))
    counts = [[0] * size for _ in range(size)]
    for (a, b), is_fast in zip(pairs, fast, strict=False):
        if a != b and (is_fast or not rdma):
            counts[a][b] += 1
            counts[b][a] += 1
    mesh = all(counts[a][b] for a in range(size) for b in range(size) if a != b)
    assert topology.full_mesh(rdma=rdma) is mesh
    assert len(topology.missing(rdma=rdma)) == sum(not counts[a][b] for a in range(size) for b in range(a))
    found = topology.ring(rdma=rdma)
    assert (found.parallel if found else 0) == best_ring(counts)
    if found:
        order = [int(host[1:]) for host in found.hosts]
        assert sorted(order) == list(range(size))
        assert all(counts[a][b] >= found.parallel for a, b in zip(order, (*order[1:], order[0]), strict=True))


def test_every_ring_of_eight_is_found() -> None:
    """The last order of all: the search must not end before it."""
    ring = [0, 7, 6, 5, 4, 3, 2, 1]
    edges = tuple(zip(ring, (*ring[1:], 0), strict=True))
    assert graph(8, *edges).ring() is not None
    # Complete but for one host, which hangs on one cable: there is none, after every order was tried.
    dense = [(a, b) for a in range(7) for b in range(a)]
    assert graph(8, *dense, (0, 7)).ring() is None
    assert graph(8, *dense, (3, 7), (5, 7)).ring() is not None
