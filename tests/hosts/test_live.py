"""A map while a cell runs: states and words of the ranks, and every byte on some link, once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.hosts.live import sent_between, with_places
from kernelkit.hosts.mapping import MESHES, RINGS, map_of_status, pairs_in_use
from kernelkit.places import Call, Place
from tests.hosts.maps import link, report, status


def waiting(rank: int, still_s: float) -> Place:
    call = Call(4, "all_sum", (3,), "float32", 7, "x = all_sum(y)")
    stands = {"line": 7, "source": "x = all_sum(y)", "in_mlx": True}
    return Place(rank, "running", **stands, still_s=still_s, calls=5, recent=(call,))  # type: ignore[arg-type]


def on_two_hosts(backend: str = "ring") -> ClusterMap:
    return map_of_status(status(["a", "a", "b", "b"], backend, "running"))


def test_each_rank_says_where_it_stands() -> None:
    places = {
        0: waiting(0, 2.0),
        1: Place(1, "running", 3, "time.sleep(9)", calls=4),
        2: Place(2, "silent"),
        3: Place(3, "ended", calls=5),
    }
    ranks = with_places(on_two_hosts(), places).ranks
    assert [(node.state, node.doing) for node in ranks.values()] == [
        ("waiting", "waits in all_sum at line 7 for 2 s"),
        ("running", "at line 3: time.sleep(9)"),
        ("silent", "does not answer"),
        ("idle", "has ended its cell"),
    ]
    assert ranks[0].pid == 100


def test_a_rank_in_mlx_that_moves_does_not_wait() -> None:
    places = {0: waiting(0, 0.0), 1: Place(1, "running", calls=4)}
    assert with_places(on_two_hosts(), places).ranks[0].state == "running"


def test_when_all_have_ended_they_are_idle_and_what_they_sent_stays() -> None:
    ended = Place(0, "ended", doing="idle", peer_bytes={2: 50})
    found = with_places(on_two_hosts(), {0: ended, 1: Place(1, "absent", doing="idle")})
    assert [(node.state, node.doing) for node in found.ranks.values()][:2] == [("idle", "idle")] * 2
    assert [edge.sent_bytes for edge in found.edges] == [(0, 0), (50, 0), (0, 0)]


def test_a_rank_that_is_gone_or_not_spoken_of_stays_as_it_was() -> None:
    before = on_two_hosts()
    host = before.hosts[0]
    gone = replace(host.ranks[0], state="gone", doing="gone (killed by SIGKILL)")
    before = replace(before, hosts=(replace(host, ranks=(gone, *host.ranks[1:])), before.hosts[1]))
    after = with_places(before, {0: Place(0, "silent"), 1: Place(1, "silent")}).ranks
    assert after[0] == gone
    assert (after[1].state, after[2]) == ("silent", before.ranks[2])


def test_bytes_have_a_way_and_ranks_on_a_host_share_its_links() -> None:
    places = {
        0: Place(0, "running", peer_bytes={1: 1, 3: 10}),
        1: Place(1, "running", peer_bytes={2: 100, 0: 1000}),
        2: Place(2, "running", peer_bytes={1: 7, 3: 20}),
        3: Place(3, "running", peer_bytes={0: 5}),
    }
    inside_a, between, inside_b = with_places(on_two_hosts(), places).edges
    assert inside_a.sent_bytes == (1, 1000)
    assert between.sent_bytes == (110, 12)
    assert inside_b.sent_bytes == (20, 0)


def test_parallel_links_in_use_share_and_others_carry_nothing() -> None:
    cables = report(*(link(0, 1, 6e9, in_use=used) for used in (True, False, True)))
    before = map_of_status(status(["mac1", "mac2"], "jaccl"), report=cables)
    found = with_places(before, {0: Place(0, "running", peer_bytes={1: 7})})
    assert [edge.sent_bytes for edge in found.edges] == [(4, 0), (0, 0), (3, 0)]


SIZES = st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.integers(0, 2**60))


@given(st.sampled_from((*RINGS, *MESHES)), st.lists(st.sampled_from("abc"), min_size=1, max_size=8), SIZES)
def test_every_byte_between_joined_ranks_is_on_one_link(
    backend: str, hosts: list[str], sizes: dict[tuple[int, int], int]
) -> None:
    pairs = pairs_in_use(backend, range(len(hosts)))
    sizes = {pair: size for pair, size in sizes.items() if (min(pair), max(pair)) in pairs}
    places = {
        rank: Place(rank, "running", peer_bytes={to: size for (by, to), size in sizes.items() if by == rank})
        for rank in range(len(hosts))
    }
    assert sent_between(places) == sizes
    found = with_places(map_of_status(status(hosts, backend)), places)
    assert sum(sum(edge.sent_bytes) for edge in found.edges) == sum(sizes.values())
    for edge in found.edges:
        there = sum(size for (a, b), size in sizes.items() if (hosts[a], hosts[b]) == edge.hosts and a != b)
        assert (
            sum(edge.sent_bytes) == there if edge.hosts[0] == edge.hosts[1] else edge.sent_bytes[0] == there
        )
