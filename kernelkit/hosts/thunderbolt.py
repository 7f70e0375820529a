"""Thunderbolt ports from `system_profiler SPThunderboltDataType -json`, and their RDMA from `ibv_devinfo`.

A port is a bus of its own there. What is plugged in hangs below it: another computer has a
`domain_uuid_key`, which is the name of *its* port, while a dock, a display or a disk has none, and may have
more devices below.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kernelkit.hosts.machine import ThunderboltPort

THUNDERBOLT_5_ABOVE_BITS_PER_S = 40e9  # Thunderbolt 3 and 4 run at 40 Gb/s or less, 5 at 80.
_DEEPEST = 8  # A chain has six devices at most.


def parse_thunderbolt(
    profile: str, interfaces: dict[str, str], active: dict[str, bool]
) -> tuple[tuple[ThunderboltPort, ...] | None, str]:
    """The ports, in the order of their interfaces, and the family of Mac; None for an answer without sense.

    Args:
        profile: what system_profiler printed.
        interfaces: the interface of each hardware port, such as `Thunderbolt 2`.
        active: RDMA devices, and whether their port is active.
    """
    try:
        data = json.loads(profile)
    except (ValueError, RecursionError):
        return None, ""
    buses = data.get("SPThunderboltDataType") if isinstance(data, dict) else None
    if not isinstance(buses, list):
        return None, ""
    ports = [port for bus in buses if (port := _port(bus, interfaces, active)) is not None]
    kinds = (_text(bus, "device_name_key") for bus in buses)
    return tuple(sorted(ports, key=_order)), next((kind for kind in kinds if kind), "")


def parse_ibv_devinfo(text: str) -> dict[str, bool]:
    """`{'rdma_en2': True}`: whether the port of each device is active."""
    found: dict[str, bool] = {}
    device = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\s*hca_id:\s*(\S+)\s*", line):
            device = match[1]
        elif device and (match := re.match(r"\s*state:\s*(\w+)", line)):
            found[device] = match[1] in ("PORT_ACTIVE", "ACTIVE")
    return found


def natural(name: str) -> tuple[str, int]:
    """A key by which en10 comes after en9."""
    match = re.fullmatch(r"(.*?)(\d{0,9})", name, re.ASCII | re.DOTALL)
    return (match[1], int(match[2] or 0)) if match else (name, 0)


def _port(bus: Any, interfaces: dict[str, str], active: dict[str, bool]) -> ThunderboltPort | None:
    uuid = _text(bus, "domain_uuid_key")
    tag = _first_receptacle(bus)
    if not uuid or tag is None:
        return None
    number = _text(tag, "receptacle_id_key")
    interface = interfaces.get(f"Thunderbolt {number}")
    device = f"rdma_{interface}" if f"rdma_{interface}" in active else None
    peer_uuid, peer_name, through = _peer(bus)
    speed, only_up_to = _speed(_text(tag, "current_speed_key"))
    connected = bool(peer_name) or _text(tag, "receptacle_status_key") == "receptacle_connected"
    return ThunderboltPort(
        receptacle=number,
        interface=interface,
        domain_uuid=uuid,
        peer_uuid=peer_uuid,
        peer_name=peer_name or ("something" if connected else ""),
        through=through,
        link_bits_per_s=speed if connected else None,
        top_bits_per_s=speed if only_up_to else None,
        rdma_device=device,
        rdma_active=active[device] if device else None,
    )


def _first_receptacle(bus: Any) -> dict[str, Any] | None:
    fields = bus.items() if isinstance(bus, dict) else ()
    tags = (value for name, value in sorted(fields) if re.fullmatch(r"receptacle_\d+_tag", name))
    return next((tag for tag in tags if isinstance(tag, dict)), None)


def _peer(bus: Any) -> tuple[str | None, str, str]:
    """What is connected: the uuid of a computer's port, the name, and what lies between."""
    straight = ""
    level = _items(bus)
    for depth in range(_DEEPEST):
        for item in level:
            name = _text(item, "_name") or _text(item, "device_name_key") or "something"
            if uuid := _text(item, "domain_uuid_key"):
                return uuid, name, straight if depth else ""
            straight = straight or name
        level = [below for item in level for below in _items(item)]
    return None, straight, ""


def _items(node: Any) -> list[Any]:
    items = node.get("_items") if isinstance(node, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(node: Any, name: str) -> str:
    value = node.get(name) if isinstance(node, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _speed(text: str) -> tuple[float | None, bool]:
    """`('Up to 120 Gb/s') -> (120e9, True)`: free ports say what they could do, others what they do."""
    match = re.search(r"(Up to )?(\d{1,6}) ?Gb/s", text, re.ASCII)
    return (float(match[2]) * 1e9, bool(match[1])) if match else (None, False)


def _order(port: ThunderboltPort) -> tuple[str, int]:
    return natural(port.interface or f"~{port.receptacle}")
