"""Pick the addresses over which hosts reach each other, where a hostfile names none; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from kernelkit.errors import HostError


def choose_addresses(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """One IPv4 address per host, all in one network; the fastest such network where there are several.

    A cable between two hosts counts too: other than `network.shared_addresses`, which looks for the LAN on
    which ranks of jaccl meet, this looks for the way that a ring's messages take.

    Args:
        hosts: name to what its agent said: `addresses` (CIDR by interface), `speeds_bits_per_s`.

    Raises:
        HostError: they share no network.
    """
    networks: dict[ipaddress.IPv4Network, dict[str, tuple[str, float]]] = {}
    for name, hello in hosts.items():
        for interface, addresses in hello["addresses"].items():
            for text in addresses:
                address = ipaddress.IPv4Interface(text)
                if address.is_link_local:  # made up by the system, on every port alike
                    continue
                speed = float(hello["speeds_bits_per_s"].get(interface, 0))
                members = networks.setdefault(address.network, {})
                if name not in members or speed > members[name][1]:
                    members[name] = (str(address.ip), speed)
    shared = [members for members in networks.values() if _lead_everywhere(members, len(hosts))]
    # Of two hosts that have an address each in a network, the slower one sets the pace.
    best = max(shared, key=lambda members: min(speed for _, speed in members.values()), default=None)
    if best is None:
        raise HostError(
            "the hosts share no network",
            expected="an IPv4 network in which every host has an address",
            got="".join(f"\n    {name}: {_listed(hello)}" for name, hello in hosts.items()),
            cure="a hostfile with the address of each: %cluster discover HOST... writes one",
        )
    return {name: address for name, (address, _) in best.items()}


def _lead_everywhere(members: Mapping[str, tuple[str, float]], count: int) -> bool:
    """Networks of a machine's own (Docker's, a Mac's internet sharing) have the same address on each."""
    return len(members) == len({address for address, _ in members.values()}) == count


def _listed(hello: Mapping[str, Any]) -> str:
    pairs = [f"{text} ({name})" for name, addresses in hello["addresses"].items() for text in addresses]
    return ", ".join(pairs) or "no address"
