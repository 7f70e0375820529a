"""The map of a cluster as plain data: there and back through a file, refusals, and its table."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from kernelkit import ClusterMap
from kernelkit.errors import ArgumentError
from kernelkit.hosts.clustermap import Edge, HostNode, RankNode

RANKS = (
    RankNode(0, "line 4: loss = step()", "running", "gpu", 41, "Accelerate", "0.32.4", 10**9, 10**8),
    RankNode(1, "waits in all_sum at line 4 for 2 s", "waiting"),
)
LOW = "rank 0 - rank 1, Thunderbolt 4 (en5, en4): 1.31 GB/s is 26 % of what Thunderbolt 4 has"
WHOLE = ClusterMap(
    (
        HostNode("mac1", "Apple M3 Ultra", 512 * 10**9, 300 * 10**9, RANKS[:1]),
        HostNode("mac2", ranks=RANKS[1:]),
    ),
    (
        Edge(
            ("mac1", "mac2"), (0, 1), "Thunderbolt 4", "en5, en4", 5e9,
            (1.31e9, 1.2e9), (3e-4, 3e-4), "low", LOW,
        ),
        Edge(("mac1", "mac2"), (0, 1), "Ethernet", "en0", 1.25e9, in_use=False),
        Edge(("mac1", "mac1"), (0, 0), "loopback", state="failed", sent_bytes=(5, 7)),
    ),
    "ring",
    "running",
    "ring",
    (0, 1),
)  # fmt: skip


def test_a_map_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "map.json")
    assert ClusterMap.load(tmp_path / "map.json") == WHOLE
    assert json.loads((tmp_path / "map.json").read_text())["kernelkit_map"] == 1
    with pytest.raises(FrozenInstanceError):
        WHOLE.state = "idle"  # type: ignore[misc]


def test_ranks_and_their_hosts_are_found() -> None:
    assert WHOLE.ranks == dict(enumerate(RANKS))
    assert WHOLE.host_of == {0: "mac1", 1: "mac2"}


def changed(*path: Any, to: Any) -> Any:
    data = json.loads(json.dumps(WHOLE.to_dict()))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "NoneType"),
        ([], "list"),
        ({}, "none"),
        ({"kernelkit_links": 1}, "none"),
        (changed("kernelkit_map", to=2), "2"),
        (changed("colour", to="red"), "ClusterMap has no colour"),
        (changed("hosts", to=None), "hosts is None"),
        (changed("hosts", 0, "name", to=5), "name is 5"),
        (changed("hosts", 0, "ranks", 0, "state", to="lazy"), "state is 'lazy'"),
        (changed("hosts", 1, "name", to="mac1"), "a host is there twice"),
        (changed("edges", 0, "hosts", to=["mac1"]), "hosts has 1 entries"),
        (changed("edges", 0, "hosts", 1, to="mac9"), "not there: mac9"),
        (changed("edges", 0, "latency_s", to=[1, "quick"]), "latency_s is 'quick'"),
        (changed("edges", 0, "bandwidth_bytes_per_s", 0, to=float("nan")), "nan on the edge mac1 - mac2"),
        (changed("edges", 0, "bandwidth_bytes_per_s", 1, to=-1.0), "-1.0 on the edge"),
        (changed("edges", 0, "nominal_bytes_per_s", to=float("inf")), "inf on the edge"),
        (changed("edges", 0, "latency_s", 0, to=-1e-6), "-1e-06 on the edge"),
        (changed("edges", 0, "sent_bytes", 0, to=-5), "-5 on the edge"),
        (changed("hosts", 0, "memory_bytes", to=-1), "less than no memory on mac1"),
        (changed("shape", to="star"), "shape is 'star'"),
        (changed("ring", to=["0"]), "ring is '0'"),
    ],
)
def test_what_is_no_map_is_refused_and_says_why(data: Any, said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ClusterMap.from_dict(data)
    assert said in caught.value.got


def test_line_breaks_and_control_characters_are_shown_as_spaces() -> None:
    broken = ClusterMap.from_dict(changed("hosts", 1, "name", to="mac2\nb\x1b") | {"edges": []})
    assert broken.hosts[1].name == "mac2\nb\x1b"
    assert broken.printable().hosts[1].name == "mac2 b "
    assert len(repr(broken).splitlines()) == len(repr(replace(WHOLE, edges=())).splitlines())
    assert WHOLE.printable() == WHOLE


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for name in ("none", "broken"):
        with pytest.raises(ArgumentError, match=name):
            ClusterMap.load(tmp_path / f"{name}.json")
    with pytest.raises(ArgumentError, match="cannot be written"):
        WHOLE.save(tmp_path / "no" / "folder.json")


def test_the_table_has_hosts_links_and_what_is_wrong() -> None:
    assert repr(WHOLE).splitlines() == [
        "2 hosts, 2 ranks, backend ring, ring",
        "host  chip            memory  ranks",
        "----  --------------  ------  -----",
        "mac1  Apple M3 Ultra  512 GB  0",
        "mac2                          1",
        "",
        "ranks  link           over      bandwidth                 latency  state",
        "-----  -------------  --------  ------------------------  -------  -------------------",
        "0 - 1  Thunderbolt 4  en5, en4  1.31 GB/s, 1.2 GB/s back  300 µs   low",
        "0 - 1  Ethernet       en0                                          nominal, not in use",
        "0 - 0  loopback                                                    failed",
        LOW,
    ]


def test_the_table_is_the_same_whatever_runs() -> None:
    """It stands in saved notebooks: memory that is used and what ranks do change by the moment."""
    host = replace(WHOLE.hosts[0], used_bytes=1, ranks=(RankNode(0, "idle", pid=9, memory_bytes=5),))
    edges = tuple(replace(edge, sent_bytes=(1, 1)) for edge in WHOLE.edges)
    later = replace(WHOLE, hosts=(host, WHOLE.hosts[1]), edges=edges, state="idle")
    assert repr(later) == repr(WHOLE)


def test_a_map_of_nothing_but_a_host_has_one_table() -> None:
    assert repr(ClusterMap((HostNode("a"),))).splitlines() == [
        "1 host",
        "host  chip  memory  ranks",
        "----  ----  ------  -----",
        "a",
    ]
