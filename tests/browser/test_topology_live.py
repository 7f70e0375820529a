"""The topology while a cell runs: updates must leave the page's elements, its focus and its details alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page

from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.views.modules import STATIC
from kernelkit.views.topology import scene
from tests.views import samples

_DRAW = """async ([scene, width]) => {
    const { dress } = await import('./kit.js');
    const { draw } = await import('./topology.js');
    const place = document.createElement('div');
    place.style.width = `${width}px`;
    document.body.replaceChildren(place);
    dress(place);
    window.view = draw(place, scene, { alt: 'a cluster' });
    window.elements = () => [...document.querySelectorAll('svg *')];
    window.before = window.elements();
}"""
_SAME = """() => { const now = elements();
    return now.length === before.length && now.every((element, at) => element === before[at]); }"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def static() -> Iterator[str]:
    """The modules as a page finds them, with no notebook around."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(STATIC))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def _running(cluster_map: ClusterMap, tick: int) -> ClusterMap:
    """The same cluster a moment later: other lines, other memory, more bytes."""
    states = ("running", "waiting")
    hosts = tuple(
        replace(
            host,
            used_bytes=(tick + 1) * 10**9,
            ranks=tuple(
                replace(rank, state=states[tick % 2], doing=f"at line {tick}: y") for rank in host.ranks
            ),
        )
        for host in cluster_map.hosts
    )
    sent = (tick * 10**6, 10**6)
    return replace(
        cluster_map, hosts=hosts, edges=tuple(replace(edge, sent_bytes=sent) for edge in cluster_map.edges)
    )


@pytest.fixture
def drawn(static: str, page: Page) -> ClusterMap:
    cluster_map = samples.cluster_map(8, running=True)
    page.goto(static)
    page.evaluate(_DRAW, [scene(cluster_map), 700])
    return cluster_map


def test_updates_keep_every_element_and_the_focus(drawn: ClusterMap, page: Page) -> None:
    page.locator('.kk-node[data-host="studio-2.local"]').focus()
    page.keyboard.press("Enter")
    for tick in range(5):
        page.evaluate("scene => view.update(scene)", scene(_running(drawn, tick)))
    assert page.evaluate(_SAME)
    assert page.evaluate("() => document.activeElement.dataset.host") == "studio-2.local"
    rank = page.locator('.kk-rank[data-rank="2"]')
    assert rank.get_attribute("data-state") == "running"
    assert "at line 4: y" in (rank.text_content() or "")
    assert "at line 4: y" in (page.locator(".kk-detail").text_content() or "")
    assert "5 GB of 512 GB" in (page.locator(".kk-node").nth(2).text_content() or "")
    labels = page.locator(".kk-label").all_text_contents()
    assert all("↔ 5 MB" in label for label in labels)


def test_a_link_that_fails_is_drawn_anew_and_the_focus_stays(drawn: ClusterMap, page: Page) -> None:
    page.locator('.kk-edge[data-ranks="2-5"]').focus()
    failed = replace(drawn.edges[0], state="failed", words="the cable was pulled")
    page.evaluate("scene => view.update(scene)", scene(replace(drawn, edges=(failed, *drawn.edges[1:]))))
    assert not page.evaluate(_SAME)
    assert page.evaluate("() => document.activeElement.dataset.ranks") == "2-5"
    assert page.locator('.kk-edge[data-ranks="0-1"]').get_attribute("data-state") == "failed"
    assert "the cable was pulled." in (page.locator(".kk-notes").text_content() or "")


def test_all_is_reached_with_the_keyboard_and_escape_closes(drawn: ClusterMap, page: Page) -> None:
    stops = len(drawn.hosts) + len(drawn.edges)
    names = []
    for _ in range(stops):
        page.keyboard.press("Tab")
        names.append(page.evaluate("() => document.activeElement.getAttribute('aria-label')"))
    assert len(set(names)) == stops
    assert all(any(host.name in name for name in names) for host in drawn.hosts)
    page.keyboard.press(" ")
    assert page.locator(".kk-detail").text_content()
    assert page.locator('[aria-pressed="true"]').count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".kk-detail").text_content() == ""


def test_a_label_without_room_appears_with_the_focus(drawn: ClusterMap, page: Page) -> None:
    tucked = page.locator(".kk-label.kk-tucked")
    link = tucked.first.get_attribute("data-link")
    label = page.locator(f'.kk-label[data-link="{link}"]')
    assert not label.is_visible()
    page.keyboard.press("Tab")  # so that the focus counts as the keyboard's
    page.locator(f'.kk-edge[data-link="{link}"]').focus()
    assert label.is_visible()


def test_names_from_users_are_text_and_nothing_else(static: str, page: Page) -> None:
    plain = samples.cluster_map(2)
    name = "<img src=x onerror=document.title='hit'>"
    hosts = (replace(plain.hosts[0], name=name, chip=name), plain.hosts[1])
    edges = tuple(replace(edge, hosts=(name, edge.hosts[1]), title=name) for edge in plain.edges)
    page.goto(static)
    page.evaluate(_DRAW, [json.loads(json.dumps(scene(replace(plain, hosts=hosts, edges=edges)))), 700])
    for node in page.locator(".kk-node, .kk-edge").all():
        node.focus()
        page.keyboard.press("Enter")
    page.locator("summary").click()
    assert page.locator("img").count() == 0
    assert page.title() != "hit"


@pytest.mark.parametrize("width", [300, 700, 1600])
def test_the_width_is_followed(drawn: ClusterMap, page: Page, width: int) -> None:
    page.set_viewport_size({"width": 1800, "height": 900})
    page.evaluate("width => { document.querySelector('.kk-view').style.width = `${width}px`; }", width)
    page.wait_for_function(
        "([low, high]) => { const w = document.querySelector('svg').getBoundingClientRect().width;"
        " return w > low && w <= high; }",
        arg=[0.6 * width, width],
    )
    assert page.locator(".kk-node").count() == 8
    # Drawn as it was laid out: nothing was shrunk to fit, text least of all.
    assert page.evaluate("() => document.querySelector('svg').getScreenCTM().a") == 1
