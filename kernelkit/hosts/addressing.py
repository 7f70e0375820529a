"""Addresses for the two ends of each cable: those that are right are kept, others get a network of their own.

Each cable is a network of four addresses, for otherwise a Mac with two cables cannot tell by which of them
to reach a neighbour.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelkit.errors import HostError
from kernelkit.hosts.cables import Cable
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.network import networks

_NETMASK = "255.255.255.252"
_POOLS = ("192.168.0.0/16", "172.31.0.0/16", "10.254.0.0/16")

Machines = Mapping[str, Machine]


@dataclass(frozen=True)
class Wire:
    """A cable with the addresses of its ends.

    Attributes:
        fresh: the ends do not have these addresses yet.
    """

    cable: Cable
    a_address: str
    b_address: str
    fresh: bool = False

    def address(self, host: str) -> str:
        return self.a_address if host == self.cable.a else self.b_address


def address_cables(machines: Machines, cables: Sequence[Cable]) -> tuple[Wire, ...]:
    """Every cable with addresses, in the same order."""
    kept = {cable: pair for cable in cables if (pair := _right_pair(machines, cable))}
    renewed = [cable for cable in cables if cable not in kept]
    replaced = {(host, cable.interface(host)) for cable in renewed for host in _ends(cable)}
    taken = [
        network
        for host, machine in machines.items()
        for network in networks(machine, leave_out=[name for owner, name in replaced if owner == host])
    ]
    fresh = _free_networks(taken)
    wires = []
    for cable in cables:
        if cable in kept:
            wires.append(Wire(cable, *kept[cable]))
        else:
            first, second = next(fresh).hosts()
            wires.append(Wire(cable, str(first), str(second), fresh=True))
    return tuple(wires)


def setup_commands(machine: Machine, wires: Sequence[Wire]) -> tuple[str, ...]:
    """What its owner must run for its ends of these wires; nothing where all is right already."""
    own = [wire for wire in wires if machine.host in _ends(wire.cable)]
    bridges = dict.fromkeys(machine.bridge_over(wire.cable.interface(machine.host)) for wire in own)
    commands = [f"sudo ifconfig {shlex.quote(bridge)} down" for bridge in bridges if bridge]
    for wire in own:
        interface = shlex.quote(wire.cable.interface(machine.host))
        peer = wire.address(wire.cable.other(machine.host))
        if wire.fresh:
            address = wire.address(machine.host)
            commands.append(f"sudo ifconfig {interface} inet {address} netmask {_NETMASK}")
        if wire.fresh or machine.route(peer) not in (None, wire.cable.interface(machine.host)):
            commands.append(f"sudo route change {peer} -interface {interface}")
    return tuple(commands)


def _right_pair(machines: Machines, cable: Cable) -> tuple[str, str] | None:
    """Addresses that the ends have already: on one network, which neither has on another interface.

    Those that macOS makes up itself (169.254) do not count: they change, and all ports share their network.
    """
    a, b = (_own_addresses(machines[host], cable.interface(host)) for host in _ends(cable))
    others = [net for host in _ends(cable) for net in networks(machines[host], [cable.interface(host)])]
    for near in a:
        for far in b:
            clear = not any(near.network.overlaps(other) for other in others)
            if near.network == far.network and near.ip != far.ip and clear:
                return str(near.ip), str(far.ip)
    return None


def _own_addresses(machine: Machine, interface: str) -> list[ipaddress.IPv4Interface]:
    known = machine.interface(interface)
    addresses = [ipaddress.IPv4Interface(address) for address in known.addresses] if known else []
    return [address for address in addresses if not address.is_link_local]


def _free_networks(taken: Sequence[ipaddress.IPv4Network]) -> Iterator[ipaddress.IPv4Network]:
    for pool in _POOLS:
        for network in ipaddress.IPv4Network(pool).subnets(new_prefix=30):
            if not any(network.overlaps(other) for other in taken):
                yield network
    raise HostError(
        "no private network of four addresses is left for a cable", expected=f"one of {', '.join(_POOLS)}"
    )


def _ends(cable: Cable) -> tuple[str, str]:
    return cable.a, cable.b
