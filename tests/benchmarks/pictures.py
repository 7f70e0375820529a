"""What a picture costs: its first paint and its updates on a page, and its static twin.

The page is a real Chromium. A first paint is timed from before `mount` until the frame after it; an update of
a live picture likewise, without the wait for the frame. Eight hosts, and a model of 128 layers on eight
ranks. There is no peer: the targets are absolute.
"""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, sync_playwright

from kernelkit.views import Picture, generation, link_matrix, memory, shard_map, topology
from kernelkit.views.modules import STATIC
from tests.benchmarks.measure import Measure, Outcome, Summary, Target
from tests.browser import chromium
from tests.views import samples

_FIRST_PAINT_S = 0.2
_UPDATE_S = 0.1  # ten times a second
_PAINT = """async ({ view, later }) => {
    const { mount } = await import('/mount.js');
    document.body.replaceChildren();
    const place = document.createElement('div');
    document.body.append(place);
    const frame = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
    await frame();
    const start = performance.now();
    const shown = mount(place, view);
    place.getBoundingClientRect();
    await frame();
    const painted = performance.now();
    const updates = [];
    for (const scene of later) {
        const before = performance.now();
        shown.update(scene);
        place.getBoundingClientRect();
        updates.push((performance.now() - before) / 1000);
        await frame();
    }
    return { paint_s: (painted - start) / 1000, updates };
}"""


def run(quick: bool) -> Outcome:
    """Time every kind of picture at its full size."""
    rounds = 3 if quick else 9
    still, moving = samples.cluster_map(8), samples.cluster_map(8, running=True)
    pictures: dict[str, tuple[Picture, list[Picture]]] = {
        "topology, 8 hosts in a mesh": (topology(still), [topology(moving), topology(still)]),
        "shard map, 128 layers on 8 ranks": (shard_map(samples.shard_map(8, layers=128)), []),
        "link matrix, 8 ranks": (link_matrix(samples.link_report(8)), []),
        "memory, 8 ranks": (memory(samples.memory_map(8)), []),
        "generation, 512 tokens": (generation(samples.generation(512, 8)), []),
    }
    measures = []
    with _page() as page:
        for name, (picture, later) in pictures.items():
            timed = [_paint(page, picture, later) for _ in range(rounds + 1)][1:]
            paints = [each["paint_s"] for each in timed]
            measures.append(_measure(f"first paint: {name}", paints, Target("value", "<=", _FIRST_PAINT_S)))
            if updates := [update for each in timed for update in each["updates"]]:
                measures.append(_measure(f"update: {name}", updates, Target("value", "<=", _UPDATE_S)))
    twins = [_seconds(picture.png) for picture, _ in pictures.values() for _ in range(2)]
    measures.append(_measure("static twin as PNG, mean of all kinds", [sum(twins[1::2]) / len(pictures)]))
    sizes = {name: len(json.dumps(picture.scene)) for name, (picture, _) in pictures.items()}
    return Outcome(measures, 1, {"scene_bytes": sizes})


def _measure(name: str, values: list[float], *targets: Target) -> Measure:
    return Measure(name, "s", Summary.of(values), targets=targets)


def _seconds(action: Callable[[], Any]) -> float:
    start_s = time.perf_counter()
    action()
    return time.perf_counter() - start_s


def _paint(page: Page, picture: Picture, later: list[Picture]) -> dict[str, Any]:
    view = {"kind": picture.kind, "scene": picture.scene, "alt": picture.alt}
    timed: dict[str, Any] = page.evaluate(_PAINT, {"view": view, "later": [each.scene for each in later]})
    return timed


class _page:
    """A page of 1,100 px in Chromium, on a server of the static modules."""

    def __enter__(self) -> Page:
        handler = functools.partial(_Quiet, directory=str(STATIC))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium.PATH, args=chromium.FLAGS)
        page = self._browser.new_page(viewport={"width": 1100, "height": 1400})
        page.goto(f"http://127.0.0.1:{self._server.server_port}/")
        return page

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the benchmark prints its own lines."""
