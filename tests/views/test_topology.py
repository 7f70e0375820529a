"""The topology picture: what it says of hosts and links, and what it does not make up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode
from kernelkit.views.picture import Picture
from kernelkit.views.topology import scene, topology
from tests.views import samples


def make_edge(**fields: Any) -> Edge:
    measured = {"bandwidth_bytes_per_s": (6.2e9, 6.1e9), "latency_s": (41e-6, 40e-6), "state": "measured"}
    return Edge(("a", "b"), (0, 1), **{**measured, **fields})


def two(*edges: Edge, **fields: Any) -> ClusterMap:
    hosts = tuple(HostNode(name, ranks=(RankNode(rank),)) for rank, name in enumerate("ab"))
    return ClusterMap(hosts, edges, **fields)


def _link(edge: Edge) -> dict[str, Any]:
    link: dict[str, Any] = scene(two(edge))["links"][0]
    return link


def local(ranks: int) -> ClusterMap:
    """Ranks on one machine, which share its loopback."""
    nodes = tuple(RankNode(rank, device="cpu (x86_64)", mlx="0.32.4") for rank in range(ranks))
    link = make_edge(title="loopback")
    edges = (replace(link, hosts=("vm", "vm")),) if ranks > 1 else ()
    return ClusterMap((HostNode("vm", ranks=nodes),), edges, "ring", "idle", "ring", tuple(range(ranks)))


def test_two_ways_that_are_alike_are_said_once_as_the_slower() -> None:
    assert _link(make_edge())["label"] == ["6.1 GB/s · 41 µs"]


def test_two_ways_that_differ_are_said_both() -> None:
    link = _link(make_edge(bandwidth_bytes_per_s=(6.2e9, 3.1e9)))
    assert link["label"] == ["0 → 1: 6.2 GB/s · 41 µs", "1 → 0: 3.1 GB/s · 40 µs"]
    assert link["rate_bytes_per_s"] == 6.2e9


def test_one_way_alone_is_not_said_for_both() -> None:
    link = _link(make_edge(bandwidth_bytes_per_s=(6.2e9, None), latency_s=(None, None)))
    assert link["label"] == ["0 → 1: 6.2 GB/s", "1 → 0: not measured"]


@pytest.mark.parametrize(
    ("edge", "label"),
    [
        (Edge(("a", "b"), (0, 1), nominal_bytes_per_s=10e9), "nominal 10 GB/s"),
        (Edge(("a", "b"), (0, 1)), "not measured"),
        (Edge(("a", "b"), (0, 1), nominal_bytes_per_s=10e9, state="failed"), "failed"),
        (make_edge(bandwidth_bytes_per_s=(None, None)), "41 µs"),
    ],
)
def test_what_is_not_measured_is_not_made_up(edge: Edge, label: str) -> None:
    assert _link(edge)["label"] == [label]


def test_a_bad_link_has_its_sentence_and_no_other_has_one() -> None:
    low = make_edge(state="low", words="it runs over Wi-Fi (en0)")
    failed = Edge(("a", "b"), (0, 1), "Thunderbolt 5", "en5", state="failed")
    shown = scene(two(make_edge(words="ignored: nothing is wrong"), low, failed))
    assert shown["notes"] == [
        "it runs over Wi-Fi (en0).",
        "rank 0 – rank 1, Thunderbolt 5 (en5): failed.",
    ]
    assert all(note in topology(two(low, failed)).alt for note in shown["notes"][:1])


def test_details_give_each_way_in_full_with_its_share() -> None:
    edge = make_edge(
        title="Thunderbolt 5", interface="en5", nominal_bytes_per_s=10e9, sent_bytes=(12_400_000, 0)
    )
    assert dict(_link(edge)["facts"]) == {
        "hosts": "a – b",
        "link": "Thunderbolt 5",
        "interface": "en5",
        "nominal, each way": "10 GB/s",
        "0 → 1": "6.2 GB/s · 41 µs, 62 % of nominal",
        "1 → 0": "6.1 GB/s · 40 µs, 61 % of nominal",
        "sent in this cell": "0 → 1: 12.4 MB, 1 → 0: 0 B",
        "state": "measured, in use",
    }
    assert _link(edge)["sent"] == "↔ 12.4 MB"


def test_links_that_could_be_confused_say_what_they_are() -> None:
    tb, ethernet = make_edge(title="Thunderbolt 5"), make_edge(title="10 Gbit/s Ethernet", in_use=False)
    assert _link(tb)["kind"] == ""
    assert [link["kind"] for link in scene(two(tb, ethernet))["links"]] == [tb.title, ethernet.title]
    assert scene(local(4))["links"][0]["kind"] == "loopback"


def test_a_rank_that_only_has_its_state_says_what_it_runs_on() -> None:
    rank = RankNode(0, "idle", "idle", "gpu (Apple M3 Ultra)", mlx="0.32.4")
    hosts = (
        HostNode("a", ranks=(rank, replace(rank, rank=1, doing="at line 3: y = f(x)", state="running"))),
    )
    assert [rank["line"] for rank in scene(ClusterMap(hosts))["hosts"][0]["ranks"]] == [
        "gpu, mlx 0.32.4",
        "at line 3: y = f(x)",
    ]


def test_memory_says_only_what_is_known() -> None:
    known = [(512 * 10**9, 148 * 10**9), (512 * 10**9, None), (None, 148 * 10**9), (None, None)]
    hosts = tuple(HostNode(str(i), "", total, used) for i, (total, used) in enumerate(known))
    said = [host["memory"] for host in scene(ClusterMap(hosts))["hosts"]]
    assert said == ["148 GB of 512 GB", "512 GB", "148 GB used", ""]


def test_hosts_stand_in_the_order_of_the_ring() -> None:
    plain = samples.cluster_map(4)
    shown = scene(replace(plain, shape="ring", ring=(0, 1, 3, 2)))
    assert [host["ranks"][0]["rank"] for host in shown["hosts"]] == [0, 1, 3, 2]
    assert shown["title"] == "Ring of 4 ranks on 4 hosts"
    assert shown["subtitle"] == "backend jaccl, idle, 0 → 1 → 3 → 2 → 0"
    for link in shown["links"]:
        ends = [shown["hosts"][end]["ranks"][0]["rank"] for end in link["ends"]]
        assert ends == link["ranks"]


def test_without_ranks_hosts_are_called_by_their_names() -> None:
    bare = ClusterMap((HostNode("a"), HostNode("b")), (make_edge(title="Wi-Fi"),))
    link = scene(bare)["links"][0]
    assert (link["title"], link["cells"][0]) == ("a – b, Wi-Fi", "a - b")
    assert scene(bare)["title"] == "2 hosts"


def test_a_link_to_nowhere_is_refused() -> None:
    with pytest.raises(ArgumentError, match="one of a, b"):
        topology(two(replace(make_edge(), hosts=("a", "c"))))


def test_the_text_is_the_maps_table_and_stays_while_a_cell_runs() -> None:
    idle, running = samples.cluster_map(4), samples.cluster_map(4, running=True)
    assert topology(idle).text == repr(idle)
    assert topology(running).text == topology(idle).text


@pytest.mark.parametrize("shape", ["ring", "mesh"])
@pytest.mark.parametrize("hosts", [1, 2, 3, 8])
def test_the_scene_is_json_and_survives_a_file(hosts: int, shape: str, tmp_path: Path) -> None:
    picture = topology(samples.cluster_map(hosts, shape, running=True))
    assert json.loads(json.dumps(picture.scene)) == picture.scene
    picture.save(tmp_path / "map.json")
    assert Picture.load(tmp_path / "map.json") == picture


def test_a_cluster_is_no_map_of_one() -> None:
    with pytest.raises(ArgumentError) as caught:
        topology(object())  # type: ignore[arg-type]
    assert (caught.value.got, caught.value.cure) == ("object", "cluster.map()")


def test_names_with_line_breaks_are_shown_on_one_line() -> None:
    hosts = tuple(HostNode(name, ranks=(RankNode(rank),)) for rank, name in enumerate(("a\nb", "c\x1b[0m")))
    picture = topology(ClusterMap(hosts, (replace(make_edge(), hosts=("a\nb", "c\x1b[0m")),)))
    assert [host["name"] for host in picture.scene["hosts"]] == ["a b", "c [0m"]
    assert not set("\x1b\\") & set(json.dumps(picture.scene, ensure_ascii=False))
    picture.figure().draw_without_rendering()
