"""The static twin of the topology picture: it says what the page does, and nothing covers anything else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode
from kernelkit.views.topology import scene
from kernelkit.views.topology_ink import line_width, shorter_names
from kernelkit.views.topology_key import key_rows
from kernelkit.views.topology_labels import forms, place_labels
from kernelkit.views.topology_places import Box, HostBox, Line, head_height, place_hosts, route, segments
from kernelkit.views.topology_png import figure, text_width
from tests.views import samples
from tests.views.test_topology import local, make_edge, two


def _shared(hosts: int, ranks: int) -> ClusterMap:
    """Several ranks on each host, with a link inside it."""
    plain = samples.cluster_map(hosts)
    nodes = tuple(
        replace(host, ranks=tuple(RankNode(at * ranks + rank) for rank in range(ranks)))
        for at, host in enumerate(plain.hosts)
    )
    inside = tuple(
        Edge((host.name, host.name), (at * ranks, at * ranks + 1), "loopback", sent_bytes=(5, 5))
        for at, host in enumerate(plain.hosts)
    )
    return replace(plain, hosts=nodes, edges=plain.edges + inside)


_MAPS = {
    **{f"mesh of {n}": samples.cluster_map(n, running=True) for n in (2, 3, 4, 5, 6, 7, 8, 10)},
    **{f"ring of {n}": samples.cluster_map(n, "ring") for n in (3, 8, 12)},
    **{f"{n} local": local(n) for n in (1, 2, 3, 4, 8)},
    "4 hosts of 2": _shared(4, 2),
    "2 hosts of 8": _shared(2, 8),
    "no hosts": ClusterMap(()),
    "nominal": two(Edge(("a", "b"), (0, 1), "Thunderbolt 5", nominal_bytes_per_s=10e9)),
    "cables": two(*(make_edge(title=f"cable {i}", in_use=i < 2) for i in range(4))),
}


@pytest.fixture(params=list(_MAPS))
def drawn(request: pytest.FixtureRequest) -> dict[str, Any]:
    return scene(_MAPS[request.param])


def _plan(drawn: dict[str, Any]) -> tuple[list[HostBox], list[Line | None], list[Box]]:
    wanted = [forms(link, drawn["live"], text_width) for link in drawn["links"]]
    sizes = [(own[0].w, max(form.h for form in own)) for own in wanted]
    boxes = place_hosts(drawn, sizes, text_width)
    lines = route(drawn, boxes)
    labels = place_labels(drawn, lines, boxes, wanted, head_height(drawn))
    return boxes, lines, [label.box for label in labels if label]


def test_hosts_ranks_and_labels_stand_apart(drawn: dict[str, Any]) -> None:
    boxes, _, labels = _plan(drawn)
    frames, ranks = [box.frame for box in boxes], [rank for box in boxes for rank in box.ranks]
    assert not any(one.grown(5).meets(two) for one, two in combinations(frames, 2))
    assert not any(one.meets(two) for one, two in combinations(labels, 2))
    assert not any(one.grown(1).meets(two) for one, two in combinations(ranks, 2))
    for host, box in zip(drawn["hosts"], boxes, strict=True):
        assert len(box.ranks) == len(host["ranks"])
        assert all(box.frame.holds(rank) and rank.y >= box.frame.y + head_height(drawn) for rank in box.ranks)
    for label in labels:
        assert not any(label.meets(rank) for rank in ranks)
        # Either between hosts, or inside one.
        assert not any(label.meets(frame) and not frame.holds(label) for frame in frames)


def test_lines_run_beside_hosts_that_they_do_not_join(drawn: dict[str, Any]) -> None:
    boxes, lines, _ = _plan(drawn)
    for link, line in zip(drawn["links"], lines, strict=True):
        if line is None or line.inside is not None or len(boxes) > 8:
            continue
        others = [box.frame for at, box in enumerate(boxes) if at not in link["ends"]]
        assert not any(other.crossed(a, b) for other in others for a, b in segments(line))


def _texts(made: Figure) -> list[str]:
    return [text.get_text() for text in made.axes[0].texts]


def test_the_twin_says_all_that_the_page_does(drawn: dict[str, Any]) -> None:
    texts = _texts(figure(drawn))
    said = " ".join(texts).replace("\u00a0", " ")
    assert drawn["title"] in texts
    for host in drawn["hosts"]:
        assert all(word in said for word in (host["name"], host["chip"], host["memory"]))
        assert all(rank["state"] in texts for rank in host["ranks"])
    for link in drawn["links"]:
        figures = [part for line in link["label"] for part in line.split(" · ")]
        assert all(part in said for part in figures)
        assert link["sent"] in said
    assert all(note in said for note in drawn["notes"])


def test_nothing_is_written_beyond_the_paper_or_the_box(drawn: dict[str, Any]) -> None:
    made = figure(drawn)
    renderer = FigureCanvasAgg(made).get_renderer()
    paper = made.bbox
    for text in made.axes[0].texts:
        extent = text.get_window_extent(renderer)
        assert paper.x0 <= extent.x0
        assert extent.x1 <= paper.x1
        assert paper.y0 <= extent.y0
        assert extent.y1 <= paper.y1
    assert made.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_a_name_is_no_formula() -> None:
    shown = scene(ClusterMap((HostNode("$host$_1", ranks=(RankNode(0, r"x = '$\frac$'", "running"),)),)))
    made = figure(shown)
    FigureCanvasAgg(made).draw()
    assert "$host$_1" in _texts(made)


@settings(deadline=None, max_examples=30)
@given(
    name=st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=60),
    room=st.floats(5, 200),
)
def test_a_long_name_loses_its_middle_but_never_its_box(name: str, room: float) -> None:
    fitting = [short for short in shorter_names(name) if text_width(short, 10.5, True) <= room]
    widest = text_width("…", 10.5, True)
    assert fitting or room < widest
    if text_width(name, 10.5, True) <= room:
        assert fitting[0] == name


def test_names_that_differ_at_the_end_stay_different() -> None:
    shown = [next(n for n in shorter_names(f"ip-10-20-30-{i}.internal") if len(n) <= 9) for i in range(20)]
    assert len(set(shown)) == 20


@settings(deadline=None)
@given(rate=st.floats(1, 1e15), times=st.floats(1, 1e6))
def test_more_bandwidth_is_never_drawn_thinner(rate: float, times: float) -> None:
    assert 0 < line_width(rate) <= line_width(rate * times)


@pytest.mark.parametrize("width", [150.0, 380.0, 800.0])
def test_the_key_explains_each_kind_of_line_and_no_other(width: float) -> None:
    def words(*edges: Edge) -> list[str]:
        rows = key_rows(scene(two(*edges, shape="ring")), width, text_width)
        return [entry.words for row in rows for entry in row]

    scale = ["bandwidth, log scale:", "100 MB/s", "1 GB/s", "10 GB/s"]
    assert words(make_edge()) == scale
    assert words(Edge(("a", "b"), (0, 1))) == ["nominal, not measured"]
    assert words(make_edge(state="failed")) == ["far under nominal, or failed"]
    assert words(make_edge(), make_edge(in_use=False)) == [*scale, "ring in use", "not in use"]
