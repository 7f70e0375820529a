"""The addresses that hosts get where a hostfile names none: all in the fastest network that they share."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import HostError
from kernelkit.hosts.addresses import choose_addresses

GIGABIT = 1_000_000_000


def host(speeds: dict[str, int] | None = None, **addresses: str) -> dict[str, Any]:
    """Interfaces with their addresses, several apart by spaces; speeds in Gbit/s."""
    return {
        "addresses": {name: text.split() for name, text in addresses.items()},
        "speeds_bits_per_s": {name: speed * GIGABIT for name, speed in (speeds or {}).items()},
    }


def test_hosts_get_their_addresses_in_the_network_that_they_share() -> None:
    hosts = {
        "a": host(en0="192.168.1.5/24", en1="10.0.0.1/30"),
        "b": host(en0="192.168.2.5/24", en7="10.0.0.2/30"),
    }
    assert choose_addresses(hosts) == {"a": "10.0.0.1", "b": "10.0.0.2"}


def test_of_several_shared_networks_the_fastest_is_taken() -> None:
    speeds = {"en0": 1, "en1": 40}
    hosts = {
        "a": host(speeds, en0="192.168.1.5/24", en1="10.0.0.1/24"),
        "b": host(speeds, en0="192.168.1.6/24", en1="10.0.0.2/24"),
    }
    assert choose_addresses(hosts) == {"a": "10.0.0.1", "b": "10.0.0.2"}


def test_the_slowest_host_of_a_network_sets_its_pace() -> None:
    hosts = {
        "a": host({"en0": 10, "en1": 100}, en0="192.168.1.5/24", en1="10.0.0.1/24"),
        "b": host({"en0": 10, "en1": 1}, en0="192.168.1.6/24", en1="10.0.0.2/24"),
    }
    assert choose_addresses(hosts) == {"a": "192.168.1.5", "b": "192.168.1.6"}


def test_a_speed_that_is_not_known_is_the_slowest() -> None:
    hosts = {
        "a": host({"en1": 1}, en0="192.168.1.5/24", en1="10.0.0.1/24"),
        "b": host({"en1": 1}, en0="192.168.1.6/24", en1="10.0.0.2/24"),
    }
    assert choose_addresses(hosts) == {"a": "10.0.0.1", "b": "10.0.0.2"}


def test_a_network_that_one_host_lacks_is_not_shared() -> None:
    hosts = {
        "a": host({"en1": 40}, en0="192.168.1.5/24", en1="10.0.0.1/24"),
        "b": host({"en1": 40}, en0="192.168.1.6/24", en1="10.0.0.2/24"),
        "c": host(en0="192.168.1.7/24"),
    }
    assert choose_addresses(hosts) == {"a": "192.168.1.5", "b": "192.168.1.6", "c": "192.168.1.7"}


def test_each_address_of_an_interface_is_looked_at() -> None:
    hosts = {"a": host(en0="172.16.0.1/16 10.0.0.1/24"), "b": host(en0="192.168.0.1/16 10.0.0.2/24")}
    assert choose_addresses(hosts) == {"a": "10.0.0.1", "b": "10.0.0.2"}


def test_one_address_of_two_networks_sizes_is_no_shared_network() -> None:
    """With another netmask one of the two would send its answers elsewhere."""
    with pytest.raises(HostError):
        choose_addresses({"a": host(en0="10.0.0.1/24"), "b": host(en0="10.0.0.2/25")})


def test_of_two_interfaces_in_one_network_the_faster_one_is_taken() -> None:
    """A Mac on the same router by Wi-Fi and by cable."""
    hosts = {
        "a": host({"en1": 10}, en0="192.168.1.5/24", en1="192.168.1.6/24"),
        "b": host({"en0": 10}, en0="192.168.1.7/24"),
    }
    assert choose_addresses(hosts) == {"a": "192.168.1.6", "b": "192.168.1.7"}


def test_a_network_in_which_two_hosts_have_the_same_address_is_two_networks() -> None:
    """Docker's bridge and a Mac's internet sharing are alike on every machine, and lead to no other."""
    speeds = {"docker0": 10, "eth0": 1}
    hosts = {
        "a": host(speeds, docker0="172.17.0.1/16", eth0="192.168.1.1/24"),
        "b": host(speeds, docker0="172.17.0.1/16", eth0="192.168.1.2/24"),
    }
    assert choose_addresses(hosts) == {"a": "192.168.1.1", "b": "192.168.1.2"}


def test_without_a_shared_network_each_hosts_addresses_are_told() -> None:
    with pytest.raises(HostError) as caught:
        choose_addresses({"a": host(en0="10.0.0.1/24", en1="10.0.1.1/24"), "b": host()})
    assert "share no network" in caught.value.what
    assert "a: 10.0.0.1/24 (en0), 10.0.1.1/24 (en1)" in caught.value.got
    assert "b: no address" in caught.value.got
    assert "%cluster discover" in caught.value.cure


def test_one_host_takes_its_fastest_address() -> None:
    hosts = {"a": host({"en1": 10}, en0="192.168.1.5/24", en1="10.0.0.1/24")}
    assert choose_addresses(hosts) == {"a": "10.0.0.1"}


_ADDRESS = st.builds("10.0.{}.{}/24".format, st.integers(0, 2), st.integers(1, 4))
_HOST = st.builds(
    lambda addresses, speeds: host(speeds, **{name: " ".join(texts) for name, texts in addresses.items()}),
    st.dictionaries(st.sampled_from(["en0", "en1", "en2"]), st.lists(_ADDRESS, max_size=2)),
    st.dictionaries(st.sampled_from(["en0", "en1"]), st.integers(1, 100)),
)


@given(st.lists(_HOST, min_size=1, max_size=4))
def test_whatever_is_chosen_is_each_hosts_own_and_apart_and_in_one_network(
    found: list[dict[str, Any]],
) -> None:
    hosts = {f"mac{number}": one for number, one in enumerate(found)}
    try:
        chosen = choose_addresses(hosts)
    except HostError:
        return
    assert list(chosen) == list(hosts)
    assert len(set(chosen.values())) == len(chosen)
    assert len({ipaddress.ip_interface(f"{address}/24").network for address in chosen.values()}) == 1
    for name, address in chosen.items():
        assert any(f"{address}/24" in texts for texts in hosts[name]["addresses"].values())
