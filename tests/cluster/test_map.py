"""The map of real ranks: who they are, what joins them, and what they are doing just now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from kernelkit import Cluster, ClusterMap
from kernelkit.catalog import link_kind
from kernelkit.cluster.mapping import draw_map
from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import LinkEnd, LinkReport
from kernelkit.places import Place
from kernelkit.survey import links
from tests.hosts.maps import LOOPBACK, link, report, status


@pytest.fixture
def measured() -> LinkReport:
    ends = (LinkEnd(0, "127.0.0.1", "lo", "127.0.0.1"), LinkEnd(1, "127.0.0.1", "lo", "127.0.0.1"))
    return report(link(0, 1, 3e9, 2e9, ends=ends, way=LOOPBACK, best=None), backend="ring")


def test_two_idle_ranks(cluster: Cluster, tmp_path: Path) -> None:
    found = cluster.map()
    (host,) = found.hosts
    assert host.chip
    assert host.memory_bytes == psutil.virtual_memory().total
    assert host.used_bytes is not None
    assert 0 < host.used_bytes < host.memory_bytes
    assert [(node.rank, node.state, node.doing) for node in host.ranks] == [
        (0, "idle", "idle"),
        (1, "idle", "idle"),
    ]
    assert all(psutil.pid_exists(node.pid) for node in host.ranks)
    (edge,) = found.edges
    assert (edge.ranks, edge.title, edge.state, edge.in_use) == ((0, 1), "loopback", "nominal", True)
    assert (found.backend, found.state, found.shape, found.ring) == ("ring", "idle", "ring", (0, 1))
    found.save(tmp_path / "map.json")
    assert ClusterMap.load(tmp_path / "map.json") == found


def test_one_rank_alone(start: Callable[[int], Cluster]) -> None:
    found = start(1).map()
    assert (found.edges, found.shape, found.backend) == ((), "", "none")


def test_a_report_is_shown_and_that_of_another_cluster_refused(
    cluster: Cluster, measured: LinkReport
) -> None:
    (edge,) = cluster.map(measured).edges
    assert edge.bandwidth_bytes_per_s == pytest.approx((3e9, 2e9))
    assert cluster.measured is None, "it was shown once, not kept"
    with pytest.raises(ArgumentError, match="of another cluster"):
        cluster.map(replace(measured, links=(link(0, 5, 1e9),)))


def test_what_links_found_is_shown_later_also_by_new_ranks(
    start: Callable[[int], Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_MLX_BUDGET_S", 0.5)
    monkeypatch.setattr(links, "_TCP_BUDGET_S", 0.5)
    fresh = start(2)
    assert fresh.measured is None
    found = fresh.links()
    assert fresh.measured is found
    fresh.restart()
    (edge,) = fresh.map().edges
    assert edge.state == "measured"
    assert edge.bandwidth_bytes_per_s == (
        found.bandwidth_bytes_per_s(0, 1),
        found.bandwidth_bytes_per_s(1, 0),
    )


def test_while_a_cell_runs_it_says_who_waits_and_what_was_sent(
    start: Callable[[int], Cluster], eventually: Callable[..., bool]
) -> None:
    fresh = start(2)
    code = "x = mx.distributed.all_sum(mx.ones(1000)); mx.eval(x)\nif rank == 0:\n"
    code += "    mx.eval(mx.distributed.all_sum(x))\nimport time\ntime.sleep(600)"

    def run() -> None:
        try:
            fresh.run(code)
        except KernelkitError:
            return  # the test ends the cell by a kill

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert eventually(
            lambda: [node.state for node in fresh.map().ranks.values()] == ["waiting", "running"]
        )
        found = fresh.map()
        assert found.state == "running"
        assert found.ranks[0].doing.startswith("waits in all_sum at line 3")
        assert found.ranks[1].doing.startswith("at line 5: time.sleep(600)")
        assert [edge.sent_bytes for edge in found.edges] == [(8000, 4000)]
    finally:
        os.kill(fresh.status().ranks[1].pid, signal.SIGKILL)
        thread.join()
    assert eventually(lambda: fresh.map().ranks[1].state == "gone")
    assert fresh.map().state.startswith("failed: ")


def test_status_tells_states_chips_and_memory(cluster: Cluster) -> None:
    now = cluster.status()
    assert [rank.state for rank in now.ranks] == ["idle", "idle"]
    (host,) = now.hosts
    assert repr(now).splitlines()[-1] == str(host)
    assert str(host).startswith(f"{now.ranks[0].host}: {host.chip}, ")


def test_a_mesh_of_rdma_that_nobody_measured_has_the_data_sheets_rate() -> None:
    hosts = (
        Host("mac1", ("10.0.0.1",), (None, "rdma_en5")),
        Host("mac2", ("10.0.0.2",), ("rdma_en4", None)),
    )
    places = {0: Place(0, "running", 3, "step()", peer_bytes={1: 10}), 1: Place(1, "running", doing="idle")}
    drawn = draw_map(status(["mac1", "mac2"], "jaccl", "running"), hosts, None, places)
    (edge,) = drawn.edges
    assert edge.nominal_bytes_per_s == (link_kind("tb5-rdma").nominal_bits_per_s or 0) / 8
    assert (edge.interface, edge.sent_bytes) == ("en5, en4", (10, 0))
    assert drawn.ranks[0].doing == "at line 3: step()"
