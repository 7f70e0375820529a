"""Macs that are not there: what their commands would print, put together from a description of each."""

from __future__ import annotations

import ipaddress
import json
import sys
import zlib
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

GIB = 1024**3


@dataclass
class Port:
    """A Thunderbolt port and what is plugged into it: another port, a name of a dock, or nothing."""

    number: int
    interface: str
    uuid: str
    peer: Port | None = None
    peer_kind: str = "Mac mini"
    dock: str = ""
    gbits: int = 0
    address: str = ""


@dataclass
class Mac:
    """A Mac, Thunderbolt 5 and ready for everything unless told otherwise."""

    name: str
    lan: str = "10.0.0.1/24"
    lan_interface: str = "en0"
    kind: str = "Mac mini"
    model: str = "Mac16,11"
    chip: str = "Apple M4 Pro"
    macos: str = "26.2"
    top_gbits: int = 120
    ports: list[Port] = field(default_factory=list)
    port_count: int = 3
    first_port: int = 2
    rdma: str = "enabled"
    rdma_down: tuple[str, ...] = ()
    bridge: bool = False
    memory_gib: int = 64
    free_gib: int = 40
    free_disk_gib: int = 200
    wired_mib: int = 0
    firewall: int = 0
    fast_synch: str = ""
    clock_ahead_s: int = 0
    python: dict[str, Any] | None = None
    routes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for i in range(self.port_count):
            uuid = f"{hash_of(self.name):08X}-0000-4000-8000-{i:012X}"
            self.ports.append(Port(i + 1, f"en{self.first_port + i}", uuid))

    def port(self, interface: str) -> Port:
        return next(port for port in self.ports if port.interface == interface)

    def answers(self) -> dict[str, str]:
        """What each command line prints, by command line; a command alone stands for any arguments."""
        answers = {
            "uname": "Darwin\n",
            "sw_vers": f"ProductName:\t\tmacOS\nProductVersion:\t\t{self.macos}\nBuildVersion:\t\t25C56\n",
            "sysctl": self._sysctl(),
            "vm_stat": self._vm_stat(),
            "networksetup -listallhardwareports": self._hardware_ports(),
            "ifconfig": self._ifconfig(),
            "system_profiler SPThunderboltDataType -json": json.dumps(
                {"SPThunderboltDataType": [self._bus(port) for port in reversed(self.ports)]}, indent=2
            ),
            "rdma_ctl status": f"{self.rdma}\n",
            "ibv_devices": self._ibv_devices(),
            "ibv_devinfo": self._ibv_devinfo(),
            "socketfilterfw --getglobalstate": f"Firewall is {'en' if self.firewall else 'dis'}abled. "
            f"(State = {self.firewall})\n",
            "printenv": f"{self.fast_synch}\n" if self.fast_synch else "",
            "launchctl": "",
            "df": "Filesystem     1024-blocks      Used Available Capacity  Mounted on\n"
            f"/dev/disk3s5     971350180 400000000 {self.free_disk_gib * 1024**2}    71%    /\n",
            "ipconfig": "",
            f"ipconfig getifaddr {self.lan_interface}": f"{self.lan.split('/')[0]}\n",
            "date": f"#ahead {self.clock_ahead_s}\n",
        }
        python = self.python
        if python is None:
            python = {"executable": sys.executable, "python": "3.11.7", "packages": versions_here()}
        if python:
            answers["kkpython"] = json.dumps(python) + "\n"
        for peer, interface in self.routes.items():
            answers[f"route -n get {peer}"] = route(peer, interface)
        return answers

    def _bus(self, port: Port) -> dict[str, Any]:
        used = port.peer is not None or bool(port.dock)
        speed = f"{port.gbits} Gb/s" if used else f"Up to {self.top_gbits} Gb/s"
        bus: dict[str, Any] = {
            "_name": f"thunderboltusb4_bus_{port.number - 1}",
            "device_name_key": self.kind,
            "domain_uuid_key": port.uuid,
            "receptacle_1_tag": {
                "current_speed_key": speed,
                "link_status_key": "0x2" if used else "0x100",
                "receptacle_id_key": str(port.number),
                "receptacle_status_key": "receptacle_connected"
                if used
                else "receptacle_no_devices_connected",
            },
            "route_string_key": "0",
            "vendor_name_key": "Apple Inc.",
        }
        if port.peer is not None:
            item = {"_name": port.peer_kind, "device_name_key": "Mac16,11", "domain_uuid_key": port.peer.uuid}
            bus["_items"] = [item]
        if port.dock:
            dock: dict[str, Any] = {"_name": port.dock, "mode_key": "usb_four", "switch_uid_key": "0x1"}
            bus["_items"] = [{**dock, "_items": bus["_items"]} if port.peer is not None else dock]
        return bus

    def _sysctl(self) -> str:
        lines = {
            "hw.model": self.model,
            "machdep.cpu.brand_string": self.chip,
            "hw.memsize": self.memory_gib * GIB,
            "iogpu.wired_limit_mb": self.wired_mib,
        }
        return "".join(f"{name}: {value}\n" for name, value in lines.items())

    def _vm_stat(self) -> str:
        pages = self.free_gib * GIB // 16384
        counts = {
            "free": pages // 2,
            "active": 900000,
            "inactive": pages - pages // 2 - 100,
            "speculative": 100,
        }
        body = "".join(f"Pages {name + ':':<33}{count:>10}.\n" for name, count in counts.items())
        return "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n" + body

    def _hardware_ports(self) -> str:
        ports = [("Ethernet", self.lan_interface), ("Wi-Fi", "en1"), ("Thunderbolt Bridge", "bridge0")]
        ports += [(f"Thunderbolt {port.number}", port.interface) for port in self.ports]
        blocks = [
            f"\nHardware Port: {n}\nDevice: {d}\nEthernet Address: 02:00:00:00:00:01\n" for n, d in ports
        ]
        return "".join(blocks) + "\nVLAN Configurations\n===================\n"

    def _ifconfig(self) -> str:
        text = (
            "lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384\n\tinet 127.0.0.1 netmask 0xff000000\n"
        )
        text += _interface(self.lan_interface, self.lan, "autoselect (1000baseT <full-duplex,flow-control>)")
        text += _interface("en1", "", "autoselect")
        for port in self.ports:
            text += _interface(port.interface, port.address, "autoselect <full-duplex>", bool(port.peer))
        flags = (
            "8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST>" if self.bridge else "8822<BROADCAST,SMART>"
        )
        text += f"bridge0: flags={flags} mtu 1500\n\toptions=63<RXCSUM,TXCSUM,TSO4,TSO6>\n\tConfiguration:\n"
        for port in self.ports:
            text += f"\tmember: {port.interface} flags=3<LEARNING,DISCOVER>\n"
        return text + "utun0: flags=8051<UP,POINTOPOINT,RUNNING,MULTICAST> mtu 1500\n"

    def _ibv_devices(self) -> str:
        head = "    device          \t   node GUID\n    ------          \t----------------\n"
        if self.rdma != "enabled":
            return head
        return head + "".join(
            f"    rdma_{p.interface:<11} \te{i}c5797d9c8fac05\n" for i, p in enumerate(self.ports)
        )

    def _ibv_devinfo(self) -> str:
        if self.rdma != "enabled":
            return ""
        blocks = []
        for port in self.ports:
            active = port.peer is not None and port.interface not in self.rdma_down
            state = "PORT_ACTIVE (4)" if active else "PORT_DOWN (1)"
            blocks.append(
                f"hca_id:\trdma_{port.interface}\n\ttransport:\t\t\tThunderbolt (100)\n"
                f"\tphys_port_cnt:\t\t\t1\n\t\tport:\t1\n\t\t\tstate:\t\t\t{state}\n\t\t\tlink_layer:\t\tThunderbolt\n"
            )
        return "\n".join(blocks)


def connect(a: Port, b: Port, gbits: int = 80) -> None:
    """A cable between two ports."""
    a.peer, b.peer, a.gbits, b.gbits = b, a, gbits, gbits


def macs(count: int, **changes: Any) -> list[Mac]:
    return [Mac(f"mac{i}", lan=f"10.0.0.{i}/24", **changes) for i in range(1, count + 1)]


def mesh(count: int, gbits: int = 80, **changes: Any) -> list[Mac]:
    """Every two joined by a cable."""
    found = macs(count, **changes)
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            join(a, b, gbits)
    return found


def ring(count: int, gbits: int = 80, **changes: Any) -> list[Mac]:
    found = macs(count, **changes)
    for i, mac in enumerate(found):
        join(mac, found[(i + 1) % count], gbits)
    return found


def join(a: Mac, b: Mac, gbits: int = 80) -> None:
    """A cable between the first free ports of two Macs."""
    ends = [next(port for port in mac.ports if port.peer is None and not port.dock) for mac in (a, b)]
    connect(ends[0], ends[1], gbits)


def route(peer: str, interface: str) -> str:
    return (
        f"   route to: {peer}\ndestination: {peer}\n  interface: {interface}\n"
        "      flags: <UP,HOST,DONE,LLINFO,WASCLONED,IFSCOPE,IFREF>\n"
    )


def versions_here() -> dict[str, str]:
    return {name: version(name) for name in ("mlx", "mlx-lm", "kernelkit")}


def hash_of(name: str) -> int:
    """The same number for a name in every process."""
    return zlib.crc32(name.encode())


def _interface(name: str, address: str, media: str, active: bool = True) -> str:
    text = f"{name}: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n"
    text += "\tether 02:00:00:00:00:01\n\tinet6 fe80::1%en0 prefixlen 64 secured scopeid 0x4\n"
    if address:
        known = ipaddress.IPv4Interface(address)
        mask = f"0x{int(known.netmask):08x}"
        text += f"\tinet {known.ip} netmask {mask} broadcast {known.network.broadcast_address}\n"
    return text + f"\tmedia: {media}\n\tstatus: {'active' if active else 'inactive'}\n"
