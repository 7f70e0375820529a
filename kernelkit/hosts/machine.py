"""What one machine is, as plain data: system, memory, interfaces, Thunderbolt ports, Python.

None everywhere stands for what is not known: the command was not there, or its answer made no sense.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

MACOS_WITH_RDMA = (26, 2)


@dataclass(frozen=True)
class Interface:
    """A network interface.

    Attributes:
        kind: thunderbolt, ethernet, wifi, bridge, loopback or other.
        addresses: IPv4 with prefix, such as `10.0.0.1/24`.
        members: the interfaces that a bridge joins.
    """

    name: str
    kind: str = "other"
    addresses: tuple[str, ...] = ()
    up: bool | None = None
    link_bits_per_s: float | None = None
    members: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Interface:
        return cls(**{**data, "addresses": tuple(data["addresses"]), "members": tuple(data["members"])})


@dataclass(frozen=True)
class ThunderboltPort:
    """A Thunderbolt port of a Mac.

    Attributes:
        receptacle: its number, as `Thunderbolt 2` has it.
        domain_uuid: its own name towards the machine at the other end.
        peer_uuid: the `domain_uuid` of that machine's port; None where no computer is connected.
        peer_name: what is connected, a computer or not, in macOS' words; empty where nothing is.
        through: the dock or display that lies between, where the peer is not straight at the cable.
        link_bits_per_s: what the link runs at; None where nothing is connected.
        top_bits_per_s: what the free port says it could do.
        rdma_active: whether `ibv_devinfo` calls the device's port active.
    """

    receptacle: str
    interface: str | None = None
    domain_uuid: str | None = None
    peer_uuid: str | None = None
    peer_name: str = ""
    through: str = ""
    link_bits_per_s: float | None = None
    top_bits_per_s: float | None = None
    rdma_device: str | None = None
    rdma_active: bool | None = None

    @property
    def free(self) -> bool:
        return self.peer_uuid is None and not self.peer_name


@dataclass(frozen=True)
class PythonFacts:
    """A Python, and the versions of packages that it finds."""

    executable: str
    version: str
    packages: tuple[tuple[str, str], ...] = ()

    def package(self, name: str) -> str:
        """Its version of that package; empty where it is not installed."""
        return dict(self.packages).get(name, "")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PythonFacts:
        return cls(data["executable"], data["version"], _pairs(data["packages"]))


@dataclass(frozen=True)
class Machine:
    """What a survey found out about one host.

    Attributes:
        host: what ssh calls it.
        system: `Darwin`, `Linux`, or what else `uname -s` says; empty where it says nothing.
        version: of macOS, or the name of the Linux distribution.
        kind: the family of Mac, such as `Mac Studio`.
        ports: its Thunderbolt ports; None where they could not be read.
        rdma_enabled: what `rdma_ctl status` says.
        wired_limit_bytes: how much a GPU may wire; 0 is the system's own choice.
        fast_synch: `MLX_METAL_FAST_SYNCH` as ranks there would see it; empty where it is not set.
        clock_offset_s: how far its clock is ahead of the asking machine's, give or take `clock_error_s`.
        routes: for addresses of other machines, the interface that leads there.
        gpus: of NVIDIA's, name and memory of each; `gpu_links`: `(a, b, how)` of every two.
        silent: commands that are not there, or gave nothing that could be read.
    """

    host: str
    system: str = ""
    version: str = ""
    model: str = ""
    kind: str = ""
    chip: str = ""
    memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    free_disk_bytes: int | None = None
    interfaces: tuple[Interface, ...] = ()
    ports: tuple[ThunderboltPort, ...] | None = None
    rdma_enabled: bool | None = None
    wired_limit_bytes: int | None = None
    firewall: bool | None = None
    fast_synch: str | None = None
    gpus: tuple[str, ...] = ()
    gpu_links: tuple[tuple[int, int, str], ...] = ()
    python: PythonFacts | None = None
    clock_offset_s: float | None = None
    clock_error_s: float | None = None
    routes: tuple[tuple[str, str], ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def is_mac(self) -> bool:
        return self.system == "Darwin"

    def interface(self, name: str | None) -> Interface | None:
        return next((interface for interface in self.interfaces if interface.name == name), None)

    def route(self, address: str) -> str | None:
        """The interface by which it reaches that address; None where nobody asked."""
        return dict(self.routes).get(address)

    def version_at_least(self, wanted: tuple[int, ...]) -> bool | None:
        numbers = [int(part) for part in self.version.split(".") if part.isascii() and part.isdigit()]
        return tuple(numbers) >= wanted if numbers else None

    def no_rdma_here(self, interface: str | None) -> bool:
        """Whether this is the one Thunderbolt 5 port that can do no RDMA: a Mac Studio's, next to Ethernet.

        It is en2: https://github.com/exo-explore/exo/pull/1543.
        """
        return self.kind == "Mac Studio" and interface == "en2"

    def bridge_over(self, interface: str | None) -> str | None:
        """The bridge that is up and has taken this interface, which then has no address of its own."""
        up = (bridge for bridge in self.interfaces if bridge.kind == "bridge" and bridge.up)
        return next((bridge.name for bridge in up if interface in bridge.members), None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Machine:
        ports, python = data["ports"], data["python"]
        return cls(
            **{
                **data,
                "interfaces": tuple(Interface.from_dict(interface) for interface in data["interfaces"]),
                "ports": None if ports is None else tuple(ThunderboltPort(**port) for port in ports),
                "gpus": tuple(data["gpus"]),
                "gpu_links": tuple((a, b, how) for a, b, how in data.get("gpu_links", ())),
                "python": python and PythonFacts.from_dict(python),
                "routes": _pairs(data["routes"]),
                "silent": tuple(data["silent"]),
            }
        )


def _pairs(pairs: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in pairs)
