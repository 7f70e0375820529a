"""Which of their networks machines have in common, and which of these MLX should take."""

from __future__ import annotations

import pytest

from kernelkit.hosts.machine import Interface, Machine
from kernelkit.hosts.network import shared_addresses


def on(host: str, *interfaces: Interface) -> Machine:
    return Machine(host, interfaces=interfaces)


def ethernet(address: str, speed: float | None = 1e9, kind: str = "ethernet", name: str = "en0") -> Interface:
    return Interface(name, kind, (address,), True, speed)


def test_ethernet_comes_before_wifi_and_fast_before_slow() -> None:
    pair = [
        on(
            host,
            ethernet(f"10.0.{0}.{i}/24"),
            ethernet(f"10.1.0.{i}/24", 10e9),
            ethernet(f"10.2.0.{i}/24", 9e9, "wifi"),
        )
        for i, host in enumerate("ab", 1)
    ]
    assert shared_addresses(pair) == (["10.1.0.1", "10.1.0.2"], "Ethernet")
    assert shared_addresses([on("a", pair[0].interfaces[2]), on("b", pair[1].interfaces[2])]) == (
        ["10.2.0.1", "10.2.0.2"],
        "Wi-Fi",
    )


def test_a_network_inside_of_each_host_is_not_shared() -> None:
    inside = ethernet("172.17.0.1/16")
    assert shared_addresses([on("a", inside), on("b", inside)]) is None


@pytest.mark.parametrize(
    "interface",
    [
        Interface("en0", "ethernet", ("10.0.0.2/24",), False),
        Interface("br0", "bridge", ("10.0.0.2/24",), True),
        Interface("en2", "thunderbolt", ("10.0.0.2/24",), True),
        Interface("en0", "ethernet", ("10.0.1.2/24",), True),
        Interface("en0", "ethernet", (), True),
    ],
)
def test_what_does_not_make_a_common_network(interface: Interface) -> None:
    assert shared_addresses([on("a", ethernet("10.0.0.1/24")), on("b", interface)]) is None


def test_addresses_that_machines_give_themselves_are_no_common_network() -> None:
    assert (
        shared_addresses([on("a", ethernet("169.254.1.1/16")), on("b", ethernet("169.254.1.2/16"))]) is None
    )
