"""Network interfaces from what macOS and Linux print about them, and the IPv4 networks that hosts share."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from kernelkit.hosts.machine import Interface, Machine

# macOS names a link's speed after its medium: 1000baseT, 2500Base-T, 10Gbase-T.
_MEDIUM = re.compile(r"\b(\d{1,6})(G?)base", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)  # It becomes a word of commands that people run by sudo.
_VIRTUAL = ("docker", "br-", "veth", "virbr", "vmnet", "cni", "flannel", "tailscale", "tun", "utun", "tap",
            "ifb", "dummy")  # fmt: skip


def parse_hardware_ports(text: str) -> dict[str, str]:
    """`networksetup -listallhardwareports`: the interface of each hardware port, `Thunderbolt 2: en3`."""
    found: dict[str, str] = {}
    port = ""
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        if name == "Hardware Port":
            port = value.strip()
        elif name == "Device" and port and _NAME.fullmatch(value.strip()):
            found[port] = value.strip()
            port = ""
    return found


def parse_ifconfig(text: str, kinds: dict[str, str]) -> tuple[Interface, ...]:
    """`ifconfig -a`, of macOS or of Linux' net-tools; kinds name what a name alone does not tell."""
    found = []
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        head = re.match(r"([A-Za-z][\w.-]*): flags=\w+<([\w,]*)>", block, re.ASCII)
        if head is None:
            continue
        addresses = re.findall(r"^\s+inet (\S+)\s+(?:-->\s+\S+\s+)?netmask (\S+)", block, re.MULTILINE)
        medium = re.search(r"^\s+media: (.*)$", block, re.MULTILINE)
        members = re.findall(r"^\s+member: (\S+)", block, re.MULTILINE)
        found.append(
            Interface(
                name=head[1],
                kind=kinds.get(head[1]) or kind_by_name(head[1]),
                addresses=tuple(known for ip, mask in addresses if (known := _address(ip, mask))),
                up="UP" in head[2].split(","),
                link_bits_per_s=_medium_speed(medium[1]) if medium else None,
                members=tuple(members),
            )
        )
    return tuple(found)


def parse_ip(text: str, links: str) -> tuple[Interface, ...]:
    """`ip -o addr` of Linux, with `name kind state speed` lines from /sys/class/net."""
    addresses: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = re.match(r"\d+:\s+([^\s@:]+)\S*\s+inet\s+(\S+)", line, re.ASCII)
        if match and (address := _address(*match[2].partition("/")[::2])):
            addresses.setdefault(match[1], []).append(address)
    found = []
    for line in links.splitlines():
        match = re.fullmatch(r"(\S+) (\w+) (\w+) (-?\d{1,9})", line.strip(), re.ASCII)
        if match is None:
            continue
        name, kind, state, speed_mbits = match.groups()
        kind = kind_by_name(name) if kind == "ethernet" else kind
        # Loopbacks and tunnels do not know their state; what has no carrier says so.
        up = state not in ("down", "lowerlayerdown", "notpresent")
        speed = int(speed_mbits) * 1e6 if int(speed_mbits) > 0 else None
        found.append(Interface(name, kind, tuple(addresses.pop(name, ())), up, speed))
    unknown = (Interface(name, kind_by_name(name), tuple(known)) for name, known in addresses.items())
    return (*found, *unknown)


def kinds_of_ports(ports: dict[str, str]) -> dict[str, str]:
    """The kind of each interface that macOS lists as a hardware port."""
    return {interface: _kind_of_port(port) for port, interface in ports.items()}


def kind_by_name(name: str) -> str:
    """What an interface is that nothing else tells about."""
    if name.startswith(_VIRTUAL):
        return "bridge" if name.startswith(("docker", "br-", "virbr")) else "other"
    if re.fullmatch(r"lo\d*", name):
        return "loopback"
    if name.startswith("bridge"):
        return "bridge"
    if name.startswith("thunderbolt"):
        return "thunderbolt"
    if name.startswith(("wl", "wifi")):
        return "wifi"
    return "ethernet" if name.startswith(("e", "ib", "bond")) else "other"


def shared_addresses(machines: Sequence[Machine]) -> tuple[list[str], str] | None:
    """An address of each on one network that all are on, and its kind: Ethernet first, then what is faster.

    The addresses must differ, or it is a network inside of each, such as a container's.
    """
    best: tuple[tuple[bool, float], list[str], str] | None = None
    by_network = [_by_network(machine) for machine in machines]
    for network in by_network[0] if by_network else ():
        on_it = [known.get(network) for known in by_network]
        ends = [end for end in on_it if end is not None]
        addresses = [address for address, _ in ends]
        if len(ends) < len(machines) or len(set(addresses)) < len(machines):
            continue
        wired = all(interface.kind == "ethernet" for _, interface in ends)
        rank = (wired, min(interface.link_bits_per_s or 0.0 for _, interface in ends))
        if best is None or rank > best[0]:
            best = (rank, addresses, "Ethernet" if wired else "Wi-Fi")
    return best and (best[1], best[2])


def lan_addresses(machine: Machine) -> list[str]:
    """Its addresses on Ethernet, then on Wi-Fi, without prefix."""
    lan = [interface for interface in machine.interfaces if _usable(interface)]
    lan.sort(key=lambda interface: interface.kind != "ethernet")
    return [str(known.ip) for interface in lan for known in _parsed(interface.addresses)]


def networks(machine: Machine, leave_out: Iterable[str] = ()) -> list[ipaddress.IPv4Network]:
    """The networks of all its interfaces but these."""
    rest = [interface for interface in machine.interfaces if interface.name not in set(leave_out)]
    return [known.network for interface in rest for known in _parsed(interface.addresses)]


def _by_network(machine: Machine) -> dict[ipaddress.IPv4Network, tuple[str, Interface]]:
    found: dict[ipaddress.IPv4Network, tuple[str, Interface]] = {}
    for interface in filter(_usable, machine.interfaces):
        for known in _parsed(interface.addresses):
            found.setdefault(known.network, (str(known.ip), interface))
    return found


def _usable(interface: Interface) -> bool:
    return interface.kind in ("ethernet", "wifi") and interface.up is not False


def _parsed(addresses: Iterable[str]) -> list[ipaddress.IPv4Interface]:
    """Without those that a machine gives itself where nobody gave it one."""
    parsed = (ipaddress.IPv4Interface(address) for address in addresses)
    return [known for known in parsed if not known.is_link_local]


def _kind_of_port(port: str) -> str:
    if re.fullmatch(r"Thunderbolt \d+", port, re.ASCII):
        return "thunderbolt"
    if port in ("Wi-Fi", "AirPort"):
        return "wifi"
    if "Bridge" in port:
        return "bridge"
    # A dock's own Ethernet is called Thunderbolt Ethernet Slot 1.
    return "ethernet" if re.search(r"Ethernet|LAN|Gigabit|base-?T", port, re.IGNORECASE) else "other"


def _address(ip: str, mask: str) -> str:
    """`('10.0.0.1', '0xffffff00') -> '10.0.0.1/24'`; empty for what is no address."""
    try:
        if mask.startswith("0x"):
            mask = str(ipaddress.IPv4Address(int(mask, 16)))
        return ipaddress.IPv4Interface(f"{ip}/{mask or 32}").with_prefixlen
    except ValueError:
        return ""


def _medium_speed(medium: str) -> float | None:
    match = _MEDIUM.search(medium)
    return float(match[1]) * (1e9 if match[2] else 1e6) if match else None
