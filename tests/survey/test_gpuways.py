"""Links between GPUs: each pair by collectives of two, and named by what NVIDIA's tool says of it."""

from __future__ import annotations

import pytest

from kernelkit.hosts.gpulinks import parse_gpu_links
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.topology import Topology
from kernelkit.survey.gpuways import gpu_way
from kernelkit.survey.linkplan import PlannedLink
from kernelkit.survey.linkways import plan_links
from tests.hosts.test_gpulinks import TWO, WITH_A_CARD

HERE = "127.0.0.1"
H100 = "NVIDIA H100 80GB HBM3, 81559 MiB"


def devices(link: PlannedLink) -> list[str]:
    return [join.env["CUDA_VISIBLE_DEVICES"] for join in link.joins([[f"{HERE}:4000"], [f"{HERE}:5000"]])]


def test_every_two_gpus_of_a_host_are_measured_without_plain_tcp() -> None:
    machine = Machine(HERE, gpus=(H100,) * 2, gpu_links=parse_gpu_links(TWO))
    hosts = [Host(HERE, (HERE,))] * 2
    (link,) = plan_links(hosts, "nccl", {HERE: machine}, Topology((HERE,)))
    assert (link.way.kind, link.tcp, devices(link)) == ("nvlink4", False, ["0", "1"])
    hosts, ids = [Host(HERE, (HERE,))] * 3, {HERE: ["4", "5", "7"]}
    links = plan_links(hosts, "nccl", {}, Topology((HERE,)), ids)
    assert [devices(link) for link in links] == [["4", "5"], ["4", "7"], ["5", "7"]]
    assert {link.way.title for link in links} == {"between GPUs"}


def test_a_link_between_hosts_is_tried_from_the_gpu_of_each_rank() -> None:
    hosts = [Host("a", ("10.0.0.1",)), Host("b", ("10.0.0.2",))]
    machines = {"a": Machine("a", "Linux"), "b": Machine("b", "Linux")}
    (link,) = plan_links(hosts, "nccl", machines, Topology(("a", "b")), {"a": ["2"], "b": ["1"]})
    assert devices(link) == ["2", "1"]


@pytest.mark.parametrize(
    ("matrix", "names", "gpus", "title"),
    [
        (TWO, (H100, H100), ("1", "0"), "NVLink 4"),
        (TWO, ("NVIDIA A100", "NVIDIA A100"), ("0", "1"), "NVLink, 18 links"),
        (WITH_A_CARD, (H100,) * 3, ("0", "2"), "PCIe (SYS)"),
        (WITH_A_CARD, (H100,) * 3, ("GPU-8f2c", "2"), "between GPUs"),
    ],
)
def test_its_kind_is_what_the_tool_says(
    matrix: str, names: tuple[str, ...], gpus: tuple[str, str], title: str
) -> None:
    assert gpu_way(parse_gpu_links(matrix), gpus, names).title == title
