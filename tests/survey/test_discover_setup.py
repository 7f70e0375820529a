"""What the owner of discovered hosts is to do: addresses, routes and the commands that set them."""

from __future__ import annotations

import pytest

from tests.survey.discovered import address, found, setup
from tests.survey.macs import join, macs, mesh, ring
from tests.survey.standin import Standin


def test_fresh_cables_get_networks_of_their_own(hosts: Standin) -> None:
    assert setup(found(hosts, mesh(2, bridge=True))) == {
        "mac1": [
            "sudo ifconfig bridge0 down",
            "sudo ifconfig en2 inet 192.168.0.1 netmask 255.255.255.252",
            "sudo route change 192.168.0.2 -interface en2",
        ],
        "mac2": [
            "sudo ifconfig bridge0 down",
            "sudo ifconfig en2 inet 192.168.0.2 netmask 255.255.255.252",
            "sudo route change 192.168.0.1 -interface en2",
        ],
    }


def test_nothing_is_to_do_where_addresses_and_routes_are_right(hosts: Standin) -> None:
    machines = mesh(2, rdma="disabled")
    address(machines, (0, "en2", 1, "en2"))
    discovery = found(hosts, machines)
    assert discovery.setup == ()
    assert [host.ips for host in discovery.hostfile.hosts] == [("192.168.9.1",), ("192.168.9.2",)]


def test_a_wrong_route_alone_is_put_right(hosts: Standin) -> None:
    machines = mesh(2)
    address(machines, (0, "en2", 1, "en2"))
    machines[0].routes["192.168.9.2"] = "en0"
    assert setup(found(hosts, machines)) == {"mac1": ["sudo route change 192.168.9.2 -interface en2"]}


@pytest.mark.parametrize(
    "addresses",
    [
        ("169.254.1.1/16", "169.254.1.2/16"),  # What macOS makes up itself.
        ("192.168.9.1/30", "192.168.9.5/30"),  # Two networks.
        ("192.168.9.1/30", "192.168.9.1/30"),  # The same address.
        ("10.0.0.77/24", "10.0.0.78/24"),  # The LAN's network.
        ("192.168.9.1/30", ""),
    ],
)
def test_addresses_that_do_not_fit_are_replaced(hosts: Standin, addresses: tuple[str, str]) -> None:
    machines = mesh(2)
    for mac, given in zip(machines, addresses, strict=True):
        mac.ports[0].address = given
    discovery = found(hosts, machines)
    assert "sudo ifconfig en2 inet 192.168.0.1 netmask 255.255.255.252" in setup(discovery)["mac1"]


def test_two_cables_on_one_network_are_told_apart_by_new_ones(hosts: Standin) -> None:
    machines = macs(2)
    for _ in range(2):
        join(machines[0], machines[1])
    for i, mac in enumerate(machines, 1):
        mac.ports[0].address, mac.ports[1].address = f"192.168.9.{i}/24", f"192.168.9.{i + 10}/24"
    lines = setup(found(hosts, machines))["mac1"]
    assert [line.split()[4] for line in lines if "inet" in line] == ["192.168.0.1", "192.168.0.5"]


def test_new_networks_keep_clear_of_those_that_hosts_have(hosts: Standin) -> None:
    """Upstream begins at 192.168.0.0 always, which is many a home's own network."""
    machines = mesh(2)
    for i, mac in enumerate(machines, 1):
        mac.lan = f"192.168.0.{i}/23"
    discovery = found(hosts, machines)
    assert "sudo ifconfig en2 inet 192.168.2.1 netmask 255.255.255.252" in setup(discovery)["mac1"]
    for i, mac in enumerate(machines, 1):
        mac.lan = f"192.168.0.{i}/16"
    assert (
        "sudo ifconfig en2 inet 172.31.0.1 netmask 255.255.255.252" in setup(found(hosts, machines))["mac1"]
    )


def test_cables_that_the_hostfile_does_not_use_need_no_address(hosts: Standin) -> None:
    machines = ring(4, rdma="disabled")
    join(machines[0], machines[2])
    assert all("en4" not in line for lines in setup(found(hosts, machines)).values() for line in lines)


def test_no_command_is_run(hosts: Standin) -> None:
    found(hosts, mesh(3, bridge=True))
    assert all("sudo" not in call for call in hosts.calls())


def test_the_addresses_of_an_earlier_cabling_are_used_again(hosts: Standin) -> None:
    """Else they would wander on with every discovery, and away from what MLX makes of the same cables."""
    machines = mesh(2)
    machines[0].ports[0].address = "192.168.0.1/30"
    machines[1].ports[0].address = "192.168.0.6/30"
    discovery = found(hosts, machines)
    assert "sudo ifconfig en2 inet 192.168.0.2 netmask 255.255.255.252" in setup(discovery)["mac2"]


def test_a_second_cable_at_one_place_of_a_ring_is_left_out(hosts: Standin) -> None:
    """MLX needs as many addresses of every host."""
    machines = ring(3, rdma="disabled")
    join(machines[0], machines[1])
    assert [len(host.ips) for host in found(hosts, machines).hostfile.hosts] == [1, 1, 1]
