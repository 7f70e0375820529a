"""Links as they really are: shaped, delayed and cut between hosts, and the live group left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from kernelkit import Cluster
from kernelkit.errors import ClusterBusyError
from kernelkit.hosts.linkreport import Link, LinkReport
from kernelkit.survey import links
from tests.hosts.lab import Lab

pytestmark = pytest.mark.usefixtures("inside")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer of the large messages: what they show is the same."""
    monkeypatch.setattr(links, "_MLX_BUDGET_S", 1.5)
    monkeypatch.setattr(links, "_TCP_BUDGET_S", 0.8)


def over(report: LinkReport, interface: str) -> Link:
    (found,) = [link for link in report.links if link.ends[0].interface == interface]
    return found


def bandwidths(link: Link) -> list[float]:
    return [flow.bandwidth_bytes_per_s or 0.0 for flow in link.mlx]


def test_a_shaped_wire_and_a_free_cable_are_two_links_with_their_own_figures(
    breakable: Lab, start: Callable[..., Cluster]
) -> None:
    breakable.cable(0, 1)
    breakable.shape(0, "100mbit")
    cluster = start(0, 1)
    cluster.run("x = rank + 5")
    report = cluster.links()
    wire, cable = over(report, "eth0"), over(report, "en5")
    assert len(report.links) == 2
    assert [len(link.mlx) for link in report.links] == [2, 2]
    assert all(10e6 < value < 13e6 for value in bandwidths(wire))
    assert all(value > 3 * max(bandwidths(wire)) for value in bandwidths(cable))
    assert (wire.in_use, cable.in_use) == (True, False)
    assert any("en5" in said and "not in use" in said for said in report.sentences)
    assert {software.host for software in report.software} == {"kk0", "kk1"}
    assert cluster["x"] == {0: 5, 1: 6}
    assert repr(cluster.run("int(mx.distributed.all_sum(mx.array(1)).item())")) == "[0-1] 2"


def test_a_line_that_takes_five_milliseconds_shows_them(
    breakable: Lab, start: Callable[..., Cluster]
) -> None:
    addresses = breakable.delay(0, 1, 0.005)
    cluster = start(0, 1)
    report = cluster.links()
    (slow,) = [link for link in report.links if link.ends[0].address == addresses[0]]
    assert slow.error == ""
    for tcp in (False, True):
        flow = slow.flow(0, 1, tcp=tcp)
        assert flow is not None
        assert flow.latency_s is not None
        assert 0.005 <= flow.latency_s < 0.05
    breakable.restore()  # the relay ends here, not as a process left behind


def test_a_link_that_is_cut_is_told_and_the_others_are_measured(
    breakable: Lab, start: Callable[..., Cluster]
) -> None:
    breakable.cable(0, 1)
    cluster = start(0, 1)

    def cut(said: str) -> None:
        if "en5" in said:
            breakable.cut(0, 1)

    report = cluster.links(report=cut)
    assert over(report, "en5").error
    assert over(report, "eth0").error == ""
    assert any("could not be measured" in said for said in report.sentences)
    assert cluster.state == "idle"


def test_every_pair_of_three_hosts_is_measured(start: Callable[..., Cluster]) -> None:
    report = start(0, 1, 2).links()
    assert [link.ranks for link in report.links] == [(0, 1), (0, 2), (1, 2)]
    assert all(report.bandwidth_bytes_per_s(a, b) for a in range(3) for b in range(3) if a != b)


def test_while_a_cell_runs_links_are_refused(start: Callable[..., Cluster]) -> None:
    cluster = start(0, 1)
    began = threading.Event()
    cell = threading.Thread(
        target=lambda: cluster.run("import time; time.sleep(2)", on_turn=lambda *_: began.set())
    )
    cell.start()
    assert began.wait(20)
    with pytest.raises(ClusterBusyError):
        cluster.links()
    cell.join()


def test_hosts_without_addresses_know_which_link_they_use(start: Callable[..., Cluster]) -> None:
    (link,) = start(hosts="kk0,kk1").links().links
    assert link.in_use
    assert link.error == ""
