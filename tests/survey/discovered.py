"""What tests of discovery share: one that fits together, what it asks for, and cables with addresses."""

from __future__ import annotations

from kernelkit.survey import Discovery, discover
from tests.survey.macs import Mac
from tests.survey.standin import Standin


def found(hosts: Standin, machines: list[Mac]) -> Discovery:
    discovery = discover(hosts.add(*machines))
    discovery.hostfile.check(discovery.backend)
    assert discovery.hostfile.backend == discovery.backend
    return discovery


def setup(discovery: Discovery) -> dict[str, list[str]]:
    return {host: list(commands) for host, commands in discovery.setup}


def address(machines: list[Mac], *cables: tuple[int, str, int, str]) -> None:
    """Give the ends of cables addresses of networks of their own, and routes to them."""
    for k, (a, a_port, b, b_port) in enumerate(cables):
        ips = [f"192.168.9.{4 * k + 1}", f"192.168.9.{4 * k + 2}"]
        machines[a].port(a_port).address, machines[b].port(b_port).address = f"{ips[0]}/30", f"{ips[1]}/30"
        machines[a].routes[ips[1]], machines[b].routes[ips[0]] = a_port, b_port
