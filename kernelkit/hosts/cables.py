"""Which port is cabled to which, and whether such a cable can do RDMA, from what each machine says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.hosts.machine import MACOS_WITH_RDMA, Machine, ThunderboltPort
from kernelkit.hosts.thunderbolt import THUNDERBOLT_5_ABOVE_BITS_PER_S
from kernelkit.units import format_rate

End = tuple[Machine, ThunderboltPort]


@dataclass(frozen=True)
class Cable:
    """A Thunderbolt cable between two of the hosts.

    Attributes:
        link_bits_per_s: the slower of what its two ends say.
        no_rdma: why it can do no RDMA; empty where it can.
        rdma_down: the ends whose RDMA port is not active, though nothing else is in the way.
    """

    a: str
    a_interface: str
    b: str
    b_interface: str
    link_bits_per_s: float | None = None
    no_rdma: str = ""
    rdma_down: tuple[str, ...] = ()

    @property
    def rdma(self) -> bool:
        return not self.no_rdma

    def interface(self, host: str) -> str:
        """What the cable is called on that one of its two hosts."""
        return self.a_interface if host == self.a else self.b_interface

    def other(self, host: str) -> str:
        return self.b if host == self.a else self.a

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Cable:
        return cls(**{**data, "rdma_down": tuple(data["rdma_down"])})


def find_cables(machines: Sequence[Machine]) -> tuple[Cable, ...]:
    """The cables between them, by host and interface; several between two hosts are several cables.

    Raises:
        ArgumentError: two of the names lead to one machine.
    """
    ends = _ends_by_uuid(machines)
    found: list[Cable] = []
    seen: set[str] = set()
    for machine in machines:
        for port in machine.ports or ():
            far = ends.get(port.peer_uuid or "")
            if far is None or far[0] is machine or not _answers(far[1], port) or port.domain_uuid in seen:
                continue
            seen |= {port.domain_uuid or "", far[1].domain_uuid or ""}
            found.append(_cable((machine, port), far))
    return tuple(found)


def strangers(machines: Sequence[Machine]) -> tuple[str, ...]:
    """A sentence for each port that leads to a computer which is not among them."""
    ends = _ends_by_uuid(machines)
    return tuple(
        f"{port.interface or port.receptacle} of {machine.host} leads to another {port.peer_name}, not listed"
        for machine in machines
        for port in machine.ports or ()
        if port.peer_uuid and port.peer_uuid not in ends
    )


def free_ports(machine: Machine) -> tuple[str, ...]:
    """The interfaces of ports that nothing is plugged into, without the one that can do no RDMA."""
    names = (port.interface for port in machine.ports or () if port.free)
    return tuple(name for name in names if name and not machine.no_rdma_here(name))


def format_link(bits_per_s: float | None) -> str:
    return "unknown" if bits_per_s is None else format_rate(bits_per_s / 1e9, "Gb")


def _ends_by_uuid(machines: Sequence[Machine]) -> dict[str, End]:
    ends: dict[str, End] = {}
    for machine in machines:
        for port in machine.ports or ():
            if not port.domain_uuid:
                continue
            known = ends.setdefault(port.domain_uuid, (machine, port))
            if known[0] is not machine:
                raise ArgumentError(
                    f"{known[0].host} and {machine.host} are the same machine",
                    expected="every machine under one name",
                    got=f"the same Thunderbolt port (domain {port.domain_uuid}) under both",
                    cure=f"leave {machine.host} out",
                )
    return ends


def _answers(far: ThunderboltPort, near: ThunderboltPort) -> bool:
    """Whether the far end does not contradict: it sees this port, or was asked before it could."""
    named = bool(near.interface) and bool(far.interface)
    return named and far.peer_uuid in (None, near.domain_uuid)


def _cable(a: End, b: End) -> Cable:
    speeds = [port.link_bits_per_s for _, port in (a, b) if port.link_bits_per_s is not None]
    reasons = dict.fromkeys(reason for end in (a, b) if (reason := _no_rdma(*end)))
    down = [f"{port.rdma_device} of {machine.host}" for machine, port in (a, b) if port.rdma_active is False]
    return Cable(
        a=a[0].host,
        a_interface=a[1].interface or "",
        b=b[0].host,
        b_interface=b[1].interface or "",
        link_bits_per_s=min(speeds) if speeds else None,
        no_rdma="; ".join(reasons),
        rdma_down=() if reasons else tuple(down),
    )


def _no_rdma(machine: Machine, port: ThunderboltPort) -> str:
    """Why this end can do no RDMA, the reason first that takes the most to change.

    That there is an rdma_en device says nothing: macOS makes one for each port, Thunderbolt 4 as well.
    """
    speed = port.link_bits_per_s
    if speed is not None and speed <= THUNDERBOLT_5_ABOVE_BITS_PER_S:
        return f"the link runs at {format_link(speed)}, and RDMA needs Thunderbolt 5"
    if machine.no_rdma_here(port.interface):
        return f"{port.interface} of {machine.host}, next to Ethernet, is the port without RDMA"
    if port.through:
        return f"{port.through} lies between"
    if machine.version_at_least(MACOS_WITH_RDMA) is False:
        return f"{machine.host} has macOS {machine.version}, and RDMA needs 26.2"
    if machine.rdma_enabled is False:
        return f"RDMA is not enabled on {machine.host}"
    unknown = speed is None or machine.rdma_enabled is None or not machine.version
    if unknown or port.rdma_device is None:
        what = "no RDMA device" if port.rdma_device is None else "an unknown state of RDMA"
        return f"{port.interface} of {machine.host} has {what}"
    return ""
