"""From the answers of hosts to a backend, a hostfile, and what its owner must do."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import HostError
from kernelkit.hosts.hostfile import Host
from kernelkit.survey import discover
from tests.survey.discovered import found, setup
from tests.survey.macs import Mac, connect, join, macs, mesh, ring
from tests.survey.standin import Standin, gibberish

LINUX_LINKS = "Linux\n"


# Backends.


def test_a_full_mesh_of_thunderbolt_5_is_jaccl(hosts: Standin) -> None:
    discovery = found(hosts, mesh(3))
    assert (discovery.backend, discovery.over) == ("jaccl", "Thunderbolt RDMA")
    assert discovery.why == "all 3 hosts have cables between them that can do RDMA"
    assert discovery.hostfile.hosts == (
        Host("mac1", ("10.0.0.1",), (None, "rdma_en2", "rdma_en3")),
        Host("mac2", ("10.0.0.2",), ("rdma_en2", None, "rdma_en3")),
        Host("mac3", ("10.0.0.3",), ("rdma_en2", "rdma_en3", None)),
    )
    assert discovery.cables_to_add == ()


def test_a_discovery_has_a_map_of_its_cables_and_what_they_are_for(hosts: Standin) -> None:
    drawn = found(hosts, mesh(3)).map()
    assert drawn.host_of == {0: "mac1", 1: "mac2", 2: "mac3"}
    assert [(edge.ranks, edge.title, edge.state, edge.in_use) for edge in drawn.edges] == [
        (pair, "Thunderbolt 5 RDMA", "nominal", True) for pair in ((0, 1), (0, 2), (1, 2))
    ]
    assert (drawn.backend, drawn.shape) == ("jaccl", "mesh")


def test_a_mesh_of_four(hosts: Standin) -> None:
    discovery = found(hosts, mesh(4))
    assert discovery.backend == "jaccl"
    assert all(host.devices(j) for i, host in enumerate(discovery.hostfile.hosts) for j in range(4) if j != i)


def test_two_cables_between_a_pair_are_both_used(hosts: Standin) -> None:
    one, two = macs(2)
    join(one, two)
    join(one, two)
    discovery = found(hosts, [one, two])
    assert discovery.hostfile.hosts[0].rdma == (None, ("rdma_en2", "rdma_en3"))
    assert discovery.why == "both hosts have cables between them that can do RDMA"
    assert len(setup(discovery)["mac1"]) == 4


def test_a_ring_of_four_is_jaccl_ring(hosts: Standin) -> None:
    discovery = found(hosts, ring(4))
    assert discovery.backend == "jaccl-ring"
    assert discovery.why.endswith("but none is between mac1 and mac3, nor between mac2 and mac4")
    assert discovery.hostfile.hosts[0] == Host("mac1", ("10.0.0.1",), (None, "rdma_en2", None, "rdma_en3"))
    assert discovery.cables_to_add == ("mac1 to mac3", "mac2 to mac4")


def test_the_ring_puts_hosts_in_the_order_of_its_cables(hosts: Standin) -> None:
    a, b, c, d = machines = macs(4)
    for one, other in ((a, c), (c, b), (b, d), (d, a)):
        join(one, other)
    discovery = found(hosts, machines)
    assert [host.ssh for host in discovery.hostfile.hosts] == ["mac1", "mac3", "mac2", "mac4"]


def test_a_thunderbolt_4_cable_in_a_mesh_of_four_leaves_a_ring_of_rdma(hosts: Standin) -> None:
    machines = mesh(4)
    slow = machines[0].ports[1]  # To the third.
    assert slow.peer is not None
    slow.gbits = slow.peer.gbits = 40
    discovery = found(hosts, machines)
    assert discovery.backend == "jaccl-ring"
    assert discovery.why == "cables that can do RDMA close a ring, but none is between mac1 and mac3"
    order = [host.ssh for host in discovery.hostfile.hosts]
    assert abs(order.index("mac1") - order.index("mac3")) == 2
    assert discovery.cables_to_add == ()  # There is a cable, but no fast one.


def test_a_mesh_of_four_with_a_cable_missing(hosts: Standin) -> None:
    machines = mesh(4)
    cable = machines[1].ports[1]
    assert cable.peer is not None
    cable.peer.peer = None
    cable.peer = None
    discovery = found(hosts, machines)
    assert discovery.backend == "jaccl-ring"
    assert discovery.cables_to_add == ("mac2 to mac3",)


def test_thunderbolt_4_is_a_ring_over_its_cables(hosts: Standin) -> None:
    """RDMA is 'enabled' and lists devices: it is the speed of the links that says no."""
    discovery = found(hosts, mesh(3, gbits=40, top_gbits=40, chip="Apple M2 Max"))
    assert (discovery.backend, discovery.over) == ("ring", "Thunderbolt")
    assert discovery.why.endswith("the link runs at 40 Gb/s, and RDMA needs Thunderbolt 5")
    # Each is reached over the cable from the host before it.
    assert [host.ips for host in discovery.hostfile.hosts] == [
        ("192.168.0.5",),
        ("192.168.0.2",),
        ("192.168.0.10",),
    ]
    assert all(host.rdma == () for host in discovery.hostfile.hosts)


def test_two_cables_all_around_are_two_addresses_each(hosts: Standin) -> None:
    machines = macs(3, port_count=4, rdma="disabled")
    for a, b in ((0, 1), (1, 2), (2, 0)) * 2:
        join(machines[a], machines[b])
    discovery = found(hosts, machines)
    assert discovery.backend == "ring"
    assert [len(host.ips) for host in discovery.hostfile.hosts] == [2, 2, 2]
    assert len({ip for host in discovery.hostfile.hosts for ip in host.ips}) == 6


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rdma": "disabled"}, "RDMA is not enabled on mac1; RDMA is not enabled on mac2"),
        (
            {"macos": "26.1"},
            "mac1 has macOS 26.1, and RDMA needs 26.2; mac2 has macOS 26.1, and RDMA needs 26.2",
        ),
    ],
)
def test_why_there_is_no_rdma(hosts: Standin, changes: dict[str, Any], why: str) -> None:
    discovery = found(hosts, mesh(2, **changes))
    assert discovery.backend == "ring"
    assert discovery.why == f"cables close a ring, but not with RDMA: {why}"


def test_a_mac_studio_cabled_at_the_port_next_to_ethernet(hosts: Standin) -> None:
    machines = mesh(2, kind="Mac Studio", chip="Apple M3 Ultra", port_count=6)
    discovery = found(hosts, machines)
    assert discovery.backend == "ring"
    assert "en2 of mac1, next to Ethernet, is the port without RDMA" in discovery.why
    join(machines[0], machines[1])
    assert found(hosts, machines).hostfile.hosts[0].rdma == (None, "rdma_en3")


def test_cables_that_close_no_ring_leave_the_network_that_all_share(hosts: Standin) -> None:
    machines = macs(3)
    join(machines[0], machines[1])
    discovery = found(hosts, machines)
    assert (discovery.backend, discovery.over) == ("ring", "Ethernet")
    assert discovery.why.startswith("the Thunderbolt cables close no ring")
    assert [host.ips for host in discovery.hostfile.hosts] == [("10.0.0.1",), ("10.0.0.2",), ("10.0.0.3",)]
    assert discovery.setup == ()
    assert discovery.cables_to_add == ("mac1 to mac3", "mac2 to mac3")


def test_docks_and_strangers_are_no_neighbours(hosts: Standin) -> None:
    one, two, other = macs(3)
    join(one, two)
    join(one, other)
    one.ports[2].dock, one.ports[2].gbits = "A dock", 40
    discovery = found(hosts, [one, two])
    assert discovery.backend == "jaccl"
    assert discovery.warnings == ("en3 of mac1 leads to another Mac mini, not listed",)


def test_a_mac_behind_a_dock_is_reached_without_rdma(hosts: Standin) -> None:
    one, two = macs(2)
    connect(one.ports[0], two.ports[0])
    one.ports[0].dock = "A dock"
    discovery = found(hosts, [one, two])
    assert (discovery.backend, discovery.over) == ("ring", "Thunderbolt")
    assert "A dock lies between" in discovery.why


def test_an_rdma_port_that_is_down_is_a_warning(hosts: Standin) -> None:
    machines = mesh(2)
    machines[0].rdma_down = ("en2",)
    discovery = found(hosts, machines)
    assert discovery.backend == "jaccl"
    assert discovery.warnings == ("the RDMA port rdma_en2 of mac1 is down: plug its cable in again",)


def test_without_a_lan_two_macs_meet_on_their_cable(hosts: Standin) -> None:
    machines = mesh(2)
    for mac in machines:
        mac.lan = ""
    assert [host.ips for host in found(hosts, machines).hostfile.hosts] == [
        ("192.168.0.1",),
        ("192.168.0.2",),
    ]


def test_without_a_common_lan_rank_0_must_be_reachable(hosts: Standin) -> None:
    machines = mesh(3)
    machines[2].lan = "10.9.0.3/24"
    discovery = found(hosts, machines)
    assert discovery.warnings == ("the hosts have no network in common; all must reach mac1 at 10.0.0.1",)


def test_linux_hosts_share_a_network(hosts: Standin) -> None:
    for i in (1, 2):
        ip = f"1: lo    inet 127.0.0.1/8 scope host lo\n2: eth7    inet 10.5.0.{i}/24 scope global eth7\n"
        hosts.add_answers(f"linux{i}", {"uname": "Linux\n", "ip": ip})
    discovery = discover(["linux1", "linux2"])
    assert (discovery.backend, discovery.over) == ("ring", "Ethernet")
    assert discovery.why == "linux1, linux2 are no Macs, and all share a network"
    assert [host.ips for host in discovery.hostfile.hosts] == [("10.5.0.1",), ("10.5.0.2",)]
    assert (discovery.cables_to_add, discovery.setup) == ((), ())


def test_hosts_that_share_nothing_are_an_error_that_shows_their_addresses(hosts: Standin) -> None:
    names = hosts.add(Mac("mac1", lan="10.1.0.1/24"), Mac("mac2", lan="10.2.0.1/24"))
    with pytest.raises(HostError, match="no network in common") as caught:
        discover(names)
    assert "mac2: 10.2.0.1" in caught.value.got


@pytest.mark.parametrize("rubbish", gibberish())
def test_ports_that_cannot_be_read_are_a_warning(hosts: Standin, rubbish: str) -> None:
    one, two = mesh(2)
    hosts.add(two)
    hosts.add_answers("mac1", {**one.answers(), "system_profiler SPThunderboltDataType -json": rubbish})
    discovery = discover(["mac1", "mac2"])
    assert discovery.over == "Ethernet"
    assert "the Thunderbolt ports of mac1 could not be read" in discovery.warnings


def test_fast_synch_is_a_warning(hosts: Standin) -> None:
    machines = mesh(2)
    machines[1].fast_synch = "1"
    assert found(hosts, machines).warnings == (
        "mac2 sets MLX_METAL_FAST_SYNCH=1, which can wedge a Mac's GPU",
    )
