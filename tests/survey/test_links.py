"""Measuring links: two real processes on the loopback, and ends that are killed, silent, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kernelkit.catalog import link_kind
from kernelkit.errors import HostError
from kernelkit.hosts.linkfit import KIB, MIB
from kernelkit.hosts.linkreport import Link, LinkEnd
from kernelkit.launch.command import Join, ring_joins
from kernelkit.survey import links as under_test
from kernelkit.survey.linkplan import PlannedLink, jaccl_pair, nccl_pair
from kernelkit.survey.links import Task, measure_links
from tests.rank.probes import LocalTask

# No step is so large that one slow ping makes the next size look too long for the time left.
SIZES = (KIB, 32 * KIB, MIB)


def planned(second: str = "127.0.0.1", hosts: tuple[str, str] = ("a", "b"), **more: Any) -> PlannedLink:
    ends = (LinkEnd(0, hosts[0], "lo", "127.0.0.1"), LinkEnd(1, hosts[1], "lo", second))
    return PlannedLink(ends, link_kind("loopback").way("lo"), **more)


class Silent:
    """A host on which nothing ever starts, and says so never."""

    ended = False

    def tell(self, request: dict[str, Any]) -> None: ...

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        return None

    def end(self) -> None:
        self.ended = True


class House:
    """Starts tasks, and knows which are left."""

    def __init__(self, special: dict[str, Callable[[], Task]] | None = None) -> None:
        self.special = special or {}
        self.tasks: list[LocalTask] = []
        self.said: list[str] = []

    def start(self, host: str, module: str, boot: dict[str, Any]) -> Task:
        if host in self.special:
            return self.special[host]()
        self.tasks.append(LocalTask(host, module, boot))
        return self.tasks[-1]

    def measure(self, plan: Sequence[PlannedLink], **options: Any) -> list[Link]:
        options = {"sizes_bytes": SIZES, "limit_s": 40.0, **options}
        return list(measure_links(plan, self.start, self.said.append, **options).links)

    @property
    def left(self) -> list[LocalTask]:
        return [task for task in self.tasks if task.process.poll() is None]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose cores all spin, pings alone may take seconds; the tests are not about that."""
    monkeypatch.setattr(under_test, "_MLX_BUDGET_S", 20.0)
    monkeypatch.setattr(under_test, "_TCP_BUDGET_S", 10.0)


@pytest.fixture
def house() -> House:
    return House()


def test_a_link_is_measured_both_ways_by_both_means(house: House) -> None:
    report = measure_links([planned()], house.start, house.said.append, sizes_bytes=SIZES, limit_s=40.0)
    (link,) = report.links
    assert link.error == ""
    for flows, how in ((link.mlx, "send"), (link.tcp, "tcp")):
        assert [(flow.sender, flow.receiver) for flow in flows] == [(0, 1), (1, 0)]
        for flow in flows:
            assert [sample.size_bytes for sample in flow.samples] == [4, *SIZES]
            assert {sample.how for sample in flow.samples} == {how}
            assert flow.latency_s == flow.samples[0].seconds
            assert flow.bandwidth_bytes_per_s
            # On a loopback a mebibyte takes between 50 µs and, on a machine that is busy, 0.1 s.
            assert 1e7 < flow.bandwidth_bytes_per_s < 2e10
    assert house.left == []
    assert house.said[0] == "rank 0 - rank 1, lo: starting (1 of 1)"
    assert any("1 MiB, " in said and said.endswith("/s (1 of 1)") for said in house.said)
    assert any("/s by plain TCP (1 of 1)" in said for said in house.said)
    assert {host.host for host in report.software} == {"a", "b"}
    assert report.software[0].mlx.startswith("0.")
    assert report.time.endswith("+00:00")


def test_without_tcp_only_mlx_is_measured(house: House) -> None:
    (link,) = house.measure([planned(tcp=False)])
    assert link.error == ""
    assert link.tcp == ()
    assert len(link.mlx) == 2


def test_a_failed_link_says_why_and_the_others_go_on(house: House) -> None:
    nowhere, here = house.measure([planned(second="192.0.2.1"), planned()])  # TEST-NET-1, nobody's
    assert "no port of 192.0.2.1 can be had" in nowhere.error
    assert (nowhere.mlx, nowhere.tcp) == ((), ())
    assert here.error == ""
    assert len(here.mlx) == 2
    assert house.left == []


def test_one_that_never_comes_costs_its_time_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_START_S", 1.0)
    silent = Silent()
    house.special["c"] = lambda: silent
    first, second = house.measure([planned(hosts=("a", "c")), planned()])
    assert "c did not start in time" in first.error
    assert first.duration_s < 3
    assert silent.ended
    assert second.error == ""
    assert house.left == []


def test_a_host_that_starts_nothing_is_an_error_of_that_link(house: House) -> None:
    def refuse() -> Task:
        raise HostError("c cannot be reached by ssh", cure="is c awake?")

    house.special["c"] = refuse
    (link,) = house.measure([planned(hosts=("a", "c"))])
    assert link.error == "c cannot be reached by ssh; is c awake?"
    assert house.left == []


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("phase", ["by plain TCP", "forming a group", "1 KiB"])
def test_a_probe_that_is_killed_is_named_and_what_was_measured_stays(
    house: House, phase: str, victim: int
) -> None:
    def kill(said: str) -> None:
        house.said.append(said)
        if phase in said and (phase != "1 KiB" or "TCP" not in said):
            house.tasks[victim].process.kill()

    sizes = (KIB, *range(16 * MIB, 64 * MIB, 4 * MIB))
    report = measure_links([planned()], house.start, kill, sizes_bytes=sizes, limit_s=40.0)
    (link,) = report.links
    assert f"the probe on {'ab'[victim]}" in link.error
    assert len(link.tcp) == 2
    assert link.duration_s < 40
    assert house.left == []


def test_ctrl_c_leaves_no_process(house: House) -> None:
    def interrupt(said: str) -> None:
        if "forming a group" in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_links([planned()], house.start, interrupt, sizes_bytes=SIZES)
    assert len(house.tasks) == 2
    assert house.left == []


def test_a_link_ends_at_its_limit_with_what_it_has(house: House) -> None:
    def nowhere(meets: Sequence[Sequence[str]]) -> Sequence[Join]:
        """Both wait as rank 0, for a rank 1 that is not there."""
        return ring_joins([meets[0], ["127.0.0.1:9"]])[:1] * 2

    (link,) = house.measure([planned(joins=nowhere)], limit_s=4.0)
    assert "did not form a group in time" in link.error or "could not join" in link.error
    assert link.duration_s < 6
    assert len(link.tcp) == 2
    assert house.left == []


def test_rdma_joins_over_the_one_cable() -> None:
    first, second = jaccl_pair(("rdma_en5", "rdma_en4"))([["10.0.0.1:4000"], ["10.0.0.2:5000"]])
    assert json.loads(first.files["MLX_IBV_DEVICES"]) == [[None, "rdma_en5"], ["rdma_en4", None]]
    assert second.files == first.files
    assert first.env == {"MLX_RANK": "0", "MLX_JACCL_COORDINATOR": "10.0.0.1:4000"}
    assert second.env == {"MLX_RANK": "1", "MLX_JACCL_COORDINATOR": "10.0.0.1:4000"}


def test_nccl_joins_with_each_end_s_own_gpu() -> None:
    meets = [["10.0.0.1:4000"], ["10.0.0.2:5000"]]
    first, second = nccl_pair(("3", "0"), ("eth0", "eth1"))(meets)
    common = {"NCCL_HOST_IP": "10.0.0.1", "NCCL_PORT": "4000", "MLX_WORLD_SIZE": "2"}
    assert first.env == {
        **common, "MLX_RANK": "0", "CUDA_VISIBLE_DEVICES": "3", "NCCL_SOCKET_IFNAME": "=eth0",
    }  # fmt: skip
    assert second.env["NCCL_SOCKET_IFNAME"] == "=eth1"
    assert "NCCL_SOCKET_IFNAME" not in nccl_pair(("0", "1"))(meets)[0].env
