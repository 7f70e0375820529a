"""What a Mac says of its Thunderbolt ports and RDMA devices, in the forms that differ."""

from __future__ import annotations

import json
from typing import Any

from kernelkit.hosts.machine import ThunderboltPort
from kernelkit.hosts.thunderbolt import natural, parse_ibv_devinfo, parse_thunderbolt


def bus(**tag: str) -> dict[str, Any]:
    fields = {"receptacle_id_key": "1", "receptacle_status_key": "receptacle_connected", **tag}
    return {"domain_uuid_key": "A", "device_name_key": "Mac mini", "receptacle_1_tag": fields}


def read(bus: dict[str, Any], active: dict[str, bool] | None = None) -> ThunderboltPort:
    ports, _ = parse_thunderbolt(
        json.dumps({"SPThunderboltDataType": [bus]}), {"Thunderbolt 1": "en2"}, active or {}
    )
    assert ports is not None
    return ports[0]


def test_a_mac_behind_a_dock_is_a_peer_through_that_dock() -> None:
    behind = {"_name": "Mac mini", "domain_uuid_key": "B"}
    dock = {"_name": "dock", "_items": [{"_name": "display", "_items": [behind]}]}
    port = read({**bus(current_speed_key="40 Gb/s"), "_items": [dock]})
    assert (port.peer_uuid, port.peer_name, port.through) == ("B", "Mac mini", "dock")


def test_a_connected_device_without_a_name_is_still_there() -> None:
    port = read(bus(current_speed_key="20 Gb/s"))
    assert (port.free, port.peer_name, port.link_bits_per_s) == (False, "something", 20e9)


def test_a_port_without_interface_or_speed() -> None:
    port = read(bus(receptacle_id_key="7", current_speed_key="fast"))
    assert (port.interface, port.link_bits_per_s, port.rdma_device) == (None, None, None)


def test_a_device_of_rdma_belongs_to_the_port_of_its_interface() -> None:
    port = read(bus(), {"rdma_en2": True, "rdma_en3": False})
    assert (port.rdma_device, port.rdma_active) == ("rdma_en2", True)
    assert read(bus(), {"rdma_en3": True}).rdma_device is None


def test_interfaces_are_put_in_order_by_number() -> None:
    assert sorted(["en10", "en9", "en2", "lo0", "x"], key=natural) == ["en2", "en9", "en10", "lo0", "x"]


def test_states_of_rdma_ports() -> None:
    text = "hca_id:\trdma_en1\n\t\tport: 1\n\t\t\tstate:\t\tPORT_ACTIVE (4)\n\t\t\tphys_state: 3\n"
    text += "hca_id: rdma_en2\n\t\tstate: PORT_DOWN (1)\n"
    assert parse_ibv_devinfo(text) == {"rdma_en1": True, "rdma_en2": False}
    assert parse_ibv_devinfo("No IB devices found\n") == {}
    assert parse_ibv_devinfo("state: PORT_ACTIVE (4)\n") == {}
