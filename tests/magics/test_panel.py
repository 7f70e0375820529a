"""The panel without a page: what it shows while cells run, and what its buttons do while one hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import kernelkit as kk
from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.magics.panel import TARGET, Panel

STUCK = """import time
if rank == 0:
    mx.eval(mx.distributed.all_sum(mx.ones(3)))
time.sleep(600)"""


class Comms:
    """The kernel's, as far as the panel needs it."""

    def __init__(self) -> None:
        self.targets: dict[str, Callable[..., None]] = {}

    def register_target(self, name: str, opened: Callable[..., None]) -> None:
        self.targets[name] = opened

    def unregister_target(self, name: str, _: Callable[..., None]) -> None:
        del self.targets[name]


class Line:
    """The page's end of a comm."""

    def __init__(self, comms: Comms) -> None:
        self.said: list[str] = []
        comms.targets[TARGET](self, {})

    def on_msg(self, taken: Callable[[dict[str, Any]], None]) -> None:
        self._taken = taken

    def send(self, data: dict[str, Any]) -> None:
        self.said.append(data["text"])

    def press(self, action: str) -> str:
        self._taken({"content": {"data": {"action": action}}})
        return self.said[-1]


class Scenes:
    """What the panel's widget showed, one after the other."""

    def __init__(self, panel: Panel) -> None:
        self.widget: Any = panel._widget
        self.seen: list[tuple[str, str]] = []
        self.widget.observe(lambda change: self.seen.append((self.widget.state, str(change["new"]))), "scene")

    def wait_for(self, words: str, timeout_s: float = 30) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not any(words in scene for _, scene in self.seen):
            assert time.monotonic() < deadline_s, f"{words!r} was never shown, but: {self.seen[-1:]}"
            time.sleep(0.02)


@pytest.fixture
def cluster() -> Iterator[kk.Cluster]:
    with kk.connect(2) as cluster:
        yield cluster


@pytest.fixture
def comms() -> Comms:
    return Comms()


@pytest.fixture
def panel(cluster: kk.Cluster, comms: Comms) -> Iterator[Panel]:
    shell: Any = InteractiveShell()
    shell.kernel = type("Kernel", (), {"comm_manager": comms})()
    panel = Panel(shell, lambda: cluster)
    panel.open(cluster)
    yield panel
    panel.close()


def _in_thread(cluster: kk.Cluster, code: str) -> tuple[threading.Thread, list[KernelkitError]]:
    errors: list[KernelkitError] = []

    def run() -> None:
        try:
            cluster.run(code)
        except KernelkitError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_it_shows_lines_and_bytes_while_a_cell_runs(panel: Panel, cluster: kk.Cluster) -> None:
    scenes = Scenes(panel)
    cluster.run("import time\nx = mx.distributed.all_sum(mx.ones(250_000))\nmx.eval(x)\ntime.sleep(1.8)")
    scenes.wait_for("line 4: time.sleep(1.8)", 1)
    assert any("MB" in scene for _, scene in scenes.seen)
    assert {state for state, _ in scenes.seen} >= {"running", "idle"}
    assert scenes.widget.state == "idle"


def test_it_knows_measured_links_and_stopped_ranks(panel: Panel, cluster: kk.Cluster) -> None:
    scenes = Scenes(panel)
    assert "not measured" in str(scenes.widget.scene)
    cluster.links()
    assert "not measured" not in str(scenes.widget.scene)
    cluster.stop()
    assert scenes.widget.state == "stopped"
    assert [rank["state"] for host in scenes.widget.scene["hosts"] for rank in host["ranks"]] == ["gone"] * 2


def test_stop_ends_a_cell_that_hangs_and_recover_brings_the_ranks_back(
    panel: Panel, cluster: kk.Cluster, comms: Comms
) -> None:
    cluster.run("kept = rank + 1")
    line, scenes = Line(comms), Scenes(panel)
    thread, errors = _in_thread(cluster, STUCK)
    scenes.wait_for("waits in all_sum")
    assert line.press("stop") == "the ranks were asked to stop"
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert cluster.state.startswith("failed")
    assert "2 new ranks" in line.press("recover")
    assert cluster.state == "idle"
    assert cluster["kept"] == {0: 1, 1: 2}
    assert scenes.widget.state == "idle"
    scenes.seen.clear()
    cluster.run("import time; time.sleep(1.5)")  # it follows the new ranks as well
    scenes.wait_for("time.sleep(1.5)", 1)


def test_recover_gives_up_a_cell_that_blocks_the_notebook(
    panel: Panel, cluster: kk.Cluster, comms: Comms
) -> None:
    line, scenes = Line(comms), Scenes(panel)
    thread, errors = _in_thread(cluster, STUCK)
    scenes.wait_for("waits in all_sum")
    assert "2 new ranks" in line.press("recover")
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert cluster.run("rank")[1].value_repr == "1"


def test_buttons_that_have_nothing_to_do_say_so(panel: Panel, cluster: kk.Cluster, comms: Comms) -> None:
    line = Line(comms)
    assert line.press("stop") == "nothing runs on the ranks (idle)"
    assert "nothing to recover" in line.press("recover")
    cluster.stop()
    assert "stopped" in line.press("stop")


def test_a_panel_that_its_user_closed_is_not_fed_any_more(
    panel: Panel, cluster: kk.Cluster, comms: Comms
) -> None:
    scenes = Scenes(panel)
    scenes.widget.is_open = False
    assert not panel.is_open
    assert cluster.observers == []
    assert comms.targets == {}
    cluster.run("1")
    assert scenes.seen == []
    panel.open(cluster)
    assert panel.is_open


def test_opened_twice_it_is_one_panel(panel: Panel, cluster: kk.Cluster) -> None:
    widget = panel._widget
    panel.open(cluster)
    assert panel._widget is widget
    assert len(cluster.observers) == 1


def test_a_terminal_has_no_place_for_it(cluster: kk.Cluster) -> None:
    with pytest.raises(ArgumentError, match="no page"):
        Panel(InteractiveShell(), lambda: cluster).open(cluster)
