"""Maps of clusters and of link reports: which links are in use, and what is said of each."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError
from kernelkit.hosts.clustermap import ClusterMap, Edge
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import LinkEnd, Way
from kernelkit.hosts.mapping import MESHES, RINGS, map_of_links, map_of_status, pairs_in_use
from tests.hosts.maps import GB, LOOPBACK, TB5, WIFI, link, report, status

MACS = ("mac1", "mac2", "mac3", "mac4")


def lines(found: ClusterMap) -> list[tuple[tuple[int, int], str, bool]]:
    return [(edge.ranks, edge.state, edge.in_use) for edge in found.edges]


# Without a report.


def test_two_ranks_on_one_host_have_one_link_inside_it() -> None:
    found = map_of_status(status(["vm", "vm"]))
    assert found.edges == (Edge(("vm", "vm"), (0, 1), "loopback"),)
    assert (found.backend, found.state, found.shape, found.ring) == ("ring", "idle", "ring", (0, 1))
    (host,) = found.hosts
    assert (host.name, host.chip, host.memory_bytes, host.used_bytes) == (
        "vm", "Apple M3 Ultra", 512 * GB, 100 * GB,
    )  # fmt: skip
    assert [(node.rank, node.pid, node.state, node.mlx) for node in host.ranks] == [
        (0, 100, "idle", "0.32.4"), (1, 101, "idle", "0.32.4"),
    ]  # fmt: skip


def test_one_rank_has_no_links() -> None:
    found = map_of_status(status(["vm"], "none"))
    assert (found.edges, found.shape, found.ring) == ((), "", ())


def test_a_ring_joins_neighbours_in_the_order_of_ranks() -> None:
    found = map_of_status(status(MACS))
    assert lines(found) == [((a, b), "nominal", True) for a, b in ((0, 1), (0, 3), (1, 2), (2, 3))]
    assert {edge.title for edge in found.edges} == {"TCP"}
    assert (found.shape, found.ring) == ("ring", (0, 1, 2, 3))


@pytest.mark.parametrize("backend", MESHES)
def test_a_mesh_joins_all_pairs(backend: str) -> None:
    found = map_of_status(status(MACS, backend))
    assert [edge.ranks for edge in found.edges] == list(combinations(range(4), 2))
    assert (found.shape, found.ring) == ("mesh", ())


def test_ranks_that_share_hosts_share_links() -> None:
    found = map_of_status(status(["a", "a", "b", "b"]))
    assert [(edge.hosts, edge.ranks, edge.title) for edge in found.edges] == [
        (("a", "a"), (0, 1), "loopback"),
        (("a", "b"), (0, 2), "TCP"),
        (("b", "b"), (2, 3), "loopback"),
    ]


def test_rdma_cables_come_from_the_hostfile_and_their_rate_from_who_knows_it() -> None:
    hosts = (
        Host("mac1", ("10.0.0.1",), (None, ("rdma_en5", "rdma_en3"))),
        Host("mac2", ("10.0.0.2",), (("rdma_en4", "rdma_en3"), None)),
    )
    rdma = Way("tb5-rdma", "Thunderbolt 5 RDMA", 80e9)
    found = map_of_status(status(MACS[:2], "jaccl"), hosts, rdma=rdma)
    assert [(edge.title, edge.interface, edge.nominal_bytes_per_s) for edge in found.edges] == [
        ("Thunderbolt 5 RDMA", "en5, en4", 10e9),
        ("Thunderbolt 5 RDMA", "en3", 10e9),
    ]
    bare = map_of_status(status(MACS[:2], "jaccl"))
    assert [(edge.title, edge.interface, edge.nominal_bytes_per_s) for edge in bare.edges] == [
        ("Thunderbolt RDMA", "", None)
    ]


# With one.


def test_measured_links_have_their_figures_and_the_others_stay_nominal() -> None:
    found = map_of_status(status(MACS[:3], "jaccl"), report=report(link(0, 1, 6e9, 5.8e9)))
    measured, *others = found.edges
    assert measured.bandwidth_bytes_per_s == pytest.approx((6e9, 5.8e9))
    assert measured.latency_s == (3e-5, 3e-5)
    assert (measured.title, measured.interface, measured.nominal_bytes_per_s) == (
        "Thunderbolt 5",
        "en5, en4",
        10e9,
    )
    assert lines(found) == [((0, 1), "measured", True), ((0, 2), "nominal", True), ((1, 2), "nominal", True)]
    assert all(edge.bandwidth_bytes_per_s == (None, None) for edge in others)


def test_low_and_failed_links_say_what_the_report_says() -> None:
    measured = report(
        link(0, 1, 1.3e9),
        link(0, 2, 4.6e7, way=WIFI, best=TB5),
        link(1, 2, None, error="no route to host"),
        link(1, 3, 6e9, error="it stopped half-way"),
    )
    found = map_of_status(status(MACS, "jaccl"), report=measured)
    over = "Thunderbolt 5 (en5, en4)"
    states = {edge.ranks: (edge.state, edge.words) for edge in found.edges if edge.state != "nominal"}
    assert states == {
        (0, 1): ("low", f"rank 0 - rank 1, {over}: 1.3 GB/s is 13 % of what Thunderbolt 5 has"),
        (0, 2): (
            "low",
            f"rank 0 - rank 2 reaches 0.5 % of {TB5.title} (en5): it runs over Wi-Fi 6E (en5, en4)",
        ),
        (1, 2): ("failed", f"rank 1 - rank 2, {over}: could not be measured: no route to host"),
        (1, 3): (
            "failed",
            f"rank 1 - rank 3, {over}: the rest of it could not be measured: it stopped half-way",
        ),
    }
    assert [words for _, words in states.values()] == measured.sentences


def test_a_pair_that_a_ring_does_not_join_is_measured_and_not_in_use() -> None:
    measured = report(*(link(a, b, 6e9) for a, b in combinations(range(4), 2)), backend="ring")
    found = map_of_status(status(MACS), report=measured)
    assert lines(found) == [((a, b), "measured", (b - a) in (1, 3)) for a, b in combinations(range(4), 2)]


def test_a_pair_whose_measured_links_are_not_in_use_has_another_one() -> None:
    found = map_of_status(status(MACS[:2]), report=report(link(0, 1, 6e9, in_use=False)))
    assert sorted(lines(found)) == [((0, 1), "measured", False), ((0, 1), "nominal", True)]


def test_the_hosts_of_the_cluster_have_the_names_that_it_gives_them() -> None:
    ends = (LinkEnd(0, "127.0.0.1", "lo", "127.0.0.1"), LinkEnd(1, "127.0.0.1", "lo", "127.0.0.1"))
    measured = report(link(0, 1, 3e9, ends=ends, way=LOOPBACK, best=None), backend="ring")
    (edge,) = map_of_status(status(["vm", "vm"]), report=measured).edges
    assert (edge.hosts, edge.interface, edge.state) == (("vm", "vm"), "lo", "measured")
    (alone,) = map_of_links(measured).hosts
    assert (alone.name, [node.rank for node in alone.ranks]) == ("127.0.0.1", [0, 1])


def test_a_report_of_another_cluster_is_refused() -> None:
    with pytest.raises(ArgumentError, match="of another cluster") as caught:
        map_of_status(status(MACS[:2], "jaccl"), report=report(link(0, 3, 6e9)))
    assert caught.value.got == "a link between rank 0 and rank 3"


# A report alone.


def test_a_report_alone_makes_a_map() -> None:
    found = map_of_links(report(*(link(a, b, 6e9) for a, b in combinations(range(3), 2))))
    assert [host.name for host in found.hosts] == ["mac1", "mac2", "mac3"]
    assert lines(found) == [(pair, "measured", True) for pair in combinations(range(3), 2)]
    assert (found.backend, found.state, found.shape) == ("jaccl", "", "mesh")


def test_a_report_that_names_some_of_the_ranks_joins_those() -> None:
    """Three ranks on each host: the report has a link inside each, and one between them."""
    pairs = {(0, 1): ("a", "a"), (3, 4): ("b", "b"), (0, 3): ("a", "b")}
    links = [
        link(i, j, 3e9, ends=(LinkEnd(i, a, "lo", "127.0.0.1"), LinkEnd(j, b, "lo", "127.0.0.1")))
        for (i, j), (a, b) in pairs.items()
    ]
    found = map_of_links(report(*links, backend="ring"))
    assert found.ring == (0, 1, 3, 4)
    assert all(edge.in_use for edge in found.edges)


# Invariants.


@given(st.sampled_from((*RINGS, *MESHES)), st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
def test_whatever_ranks_there_are_their_links_are_all_there(backend: str, hosts: list[str]) -> None:
    found = map_of_status(status(hosts, backend))
    assert ClusterMap.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert sorted(found.ranks) == list(range(len(hosts)))
    joined = {frozenset((hosts[a], hosts[b])) for a, b in pairs_in_use(backend, range(len(hosts)))}
    assert {frozenset(edge.hosts) for edge in found.edges} == joined
    assert len(found.edges) == len(joined)
    for edge in found.edges:
        assert edge.ranks[0] < edge.ranks[1]
        assert tuple(hosts[rank] for rank in edge.ranks) == edge.hosts
