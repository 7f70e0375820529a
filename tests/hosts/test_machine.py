"""What commands print, read into plain data: real forms, forms that differ, and what makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.hosts.answers import Section, parse_machine, parse_routes, parse_sections
from kernelkit.hosts.machine import Interface, Machine, PythonFacts
from kernelkit.hosts.network import parse_hardware_ports, parse_ifconfig, parse_ip
from kernelkit.hosts.thunderbolt import parse_thunderbolt

STUDIO = Path(__file__).parent.parent / "survey" / "recorded" / "studio"
LINES = {
    "system": "uname__s",
    "version": "sw_vers",
    "sysctl": "sysctl_hw.model_machdep.cpu.brand_string_hw.memsize_iogpu.wired_limit_mb",
    "vm_stat": "vm_stat",
    "hardware_ports": "networksetup__listallhardwareports",
    "ifconfig": "ifconfig__a",
    "thunderbolt": "system_profiler_SPThunderboltDataType__json",
    "rdma_ctl": "rdma_ctl_status",
    "ibv_devices": "ibv_devices",
    "ibv_devinfo": "ibv_devinfo",
    "firewall": "socketfilterfw___getglobalstate",
    "fast_synch": "printenv",
    "fast_synch_launchd": "launchctl_getenv_MLX_METAL_FAST_SYNCH",
    "disk": "df",
}
LINUX = {
    "system": "Linux\n",
    "version": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "cpu": "model name\t: AMD EPYC 7763 64-Core Processor\n",
    "meminfo": "MemTotal:       24684084 kB\nMemFree:  1 kB\nMemAvailable:   24168720 kB\n",
    "gpus": "NVIDIA H100 80GB HBM3, 81559 MiB\nNVIDIA H100 80GB HBM3, 81559 MiB\n",
    "links": "eth0 ethernet up 10000\nwlp3s0 wifi down -1\nlo loopback unknown -1\ndocker0 bridge up -1\n",
    "ip": "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n"
    "2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever\n"
    "2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever\n"
    "3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0\\  valid_lft forever\n"
    "4: eth1@if7    inet 10.1.0.5/24 scope global eth1\\  valid_lft forever\n",
    "disk": "Filesystem     1024-blocks Used Available Capacity Mounted on\n/dev/vda 26421 1 78815 26% /\n",
}


def sections(texts: dict[str, str]) -> dict[str, Section]:
    return {name: Section(text, 0) for name, text in texts.items()}


def machine(texts: dict[str, str]) -> Machine:
    return parse_machine("host", sections(texts), 100.0, 101.0)


@pytest.fixture(scope="module")
def studio() -> dict[str, str]:
    return {name: (STUDIO / file).read_text() for name, file in LINES.items()}


def test_a_mac_studio_is_read_in_full(studio: dict[str, str]) -> None:
    found = machine(studio)
    assert (found.system, found.version, found.model, found.kind) == (
        "Darwin",
        "26.3.1",
        "Mac15,14",
        "Mac Studio",
    )
    assert (found.chip, found.memory_bytes) == ("Apple M3 Ultra", 512 * 1024**3)
    assert found.free_memory_bytes == 16384 * (22301558 + 701234 + 45210)
    assert found.free_disk_bytes == 6589234512 * 1024
    assert (found.rdma_enabled, found.firewall, found.fast_synch) == (True, True, "1")
    assert found.wired_limit_bytes == 491520 * 1024**2
    assert found.silent == ("fast_synch",)


def test_the_ports_of_a_mac_studio(studio: dict[str, str]) -> None:
    ports = machine(studio).ports
    assert ports is not None
    assert [port.interface for port in ports] == ["en2", "en3", "en4", "en5", "en6", "en7"]
    beside, cabled, dock, free = ports[:4]
    assert (beside.peer_uuid, beside.link_bits_per_s) == ("57D20001-0000-4000-8000-000000000001", 80e9)
    assert (cabled.rdma_device, cabled.rdma_active, beside.rdma_active) == ("rdma_en3", True, False)
    assert (dock.peer_uuid, dock.peer_name, dock.link_bits_per_s) == (None, "A Thunderbolt dock", 40e9)
    assert (free.free, dock.free, cabled.free) == (True, False, False)
    assert (free.top_bits_per_s, free.link_bits_per_s) == (120e9, None)


def test_the_interfaces_of_a_mac_studio(studio: dict[str, str]) -> None:
    found = machine(studio)
    assert found.interface("en0") == Interface("en0", "ethernet", ("10.20.0.11/22",), True, 10e9)
    assert found.interface("en3") == Interface("en3", "thunderbolt", ("192.168.0.1/30",), True)
    assert found.interface("bridge0") == Interface("bridge0", "bridge", (), False, None, ("en4", "en5"))
    kinds = {interface.name: interface.kind for interface in found.interfaces}
    assert (kinds["lo0"], kinds["en1"], kinds["utun0"]) == ("loopback", "wifi", "other")
    tunnel = found.interface("utun0")
    assert tunnel is not None
    assert tunnel.addresses == ("100.64.0.7/32",)
    assert found.bridge_over("en4") is None  # It is down.


def test_a_linux_machine_is_read_in_full() -> None:
    found = machine(LINUX)
    assert (found.system, found.version, found.is_mac) == ("Linux", "Debian GNU/Linux 12 (bookworm)", False)
    assert found.chip == "AMD EPYC 7763 64-Core Processor"
    assert (found.memory_bytes, found.free_memory_bytes) == (24684084 * 1024, 24168720 * 1024)
    assert len(found.gpus) == 2
    assert found.interface("eth0") == Interface("eth0", "ethernet", ("10.0.0.5/24",), True, 10e9)
    assert found.interface("wlp3s0") == Interface("wlp3s0", "wifi", (), False)
    assert found.interface("eth1") == Interface("eth1", "ethernet", ("10.1.0.5/24",))
    bridge = found.interface("docker0")
    assert bridge is not None
    assert bridge.kind == "bridge"
    assert (found.ports, found.rdma_enabled, found.fast_synch) == (None, None, None)


def test_linux_without_ip_falls_back_on_net_tools() -> None:
    text = (
        "eth0: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n"
        "        inet 10.0.0.5  netmask 255.255.255.0  broadcast 10.0.0.255\n\n"
        "lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 65536\n        inet 127.0.0.1  netmask 255.0.0.0\n"
    )
    asked = {**sections({**LINUX, "ifconfig": text}), "ip": Section("", 127)}
    found = parse_machine("host", asked, 0, 1)
    assert found.interfaces == (
        Interface("eth0", "ethernet", ("10.0.0.5/24",), True),
        Interface("lo", "loopback", ("127.0.0.1/8",), True),
    )


@pytest.mark.parametrize("texts", [LINUX, None], ids=["linux", "mac"])
@pytest.mark.parametrize(
    "rubbish", ["", "\x00\x07", "{", "[]", "null", "[[[" * 2000, "²³: ∞\n", "error\n" * 3]
)
def test_rubbish_in_one_section_costs_that_section_alone(
    texts: dict[str, str] | None, rubbish: str, studio: dict[str, str]
) -> None:
    whole = texts or studio
    taken_as_it_is = {"system", "fast_synch", "fast_synch_launchd", "gpus", "ip"}
    for name in set(whole) - taken_as_it_is:
        found = machine({**whole, name: rubbish})
        without = machine({key: text for key, text in whole.items() if key != name})
        assert replace(found, silent=()) == replace(without, silent=()), name


@given(
    st.dictionaries(st.sampled_from([*LINES, *LINUX, "clock", "clock_again", "python"]), st.text(max_size=80))
)
def test_no_answer_breaks_the_reading(texts: dict[str, str]) -> None:
    found = machine({**texts, "system": "Darwin"})
    assert Machine.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert machine({**texts, "system": "Linux"}).system == "Linux"


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["_items", "_name", "domain_uuid_key", "receptacle_1_tag", "current_speed_key"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.lists(NESTED, max_size=4))
def test_no_form_of_json_breaks_the_reading_of_ports(buses: list[Any]) -> None:
    ports, kind = parse_thunderbolt(json.dumps({"SPThunderboltDataType": buses}), {}, {})
    assert ports is not None
    assert all(port.domain_uuid for port in ports)
    assert isinstance(kind, str)


def test_a_mac_as_json_and_back(studio: dict[str, str]) -> None:
    python = json.dumps({"executable": "/p", "python": "3.12.1", "packages": {"mlx": "0.32.4"}})
    clocks = {"clock": "100", "clock_again": "100"}
    found = machine({**studio, **clocks, "python": f"a warning\n{python}\n"})
    assert found.python == PythonFacts("/p", "3.12.1", (("mlx", "0.32.4"),))
    assert found.python.package("mlx-lm") == ""
    assert Machine.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_name_that_a_shell_could_take_for_more_is_no_interface() -> None:
    assert parse_hardware_ports("Hardware Port: Thunderbolt 1\nDevice: en2;reboot\n") == {}
    assert parse_ifconfig("en2;x: flags=1<UP> mtu 1\n\tinet 10.0.0.1 netmask 0xffffff00\n", {}) == ()


@pytest.mark.parametrize(
    ("medium", "speed"),
    [
        ("autoselect (1000baseT <full-duplex>)", 1e9),
        ("autoselect (2500Base-T <full-duplex>)", 2.5e9),
        ("autoselect (10Gbase-T <full-duplex,flow-control>)", 10e9),
        ("autoselect (100baseTX <half-duplex>)", 1e8),
        ("autoselect (none)", None),
        ("autoselect <full-duplex>", None),
    ],
)
def test_speed_of_a_medium(medium: str, speed: float | None) -> None:
    assert (
        parse_ifconfig(f"en0: flags=8863<UP> mtu 1500\n\tmedia: {medium}\n", {})[0].link_bits_per_s == speed
    )


def test_addresses_that_are_none_are_left_out() -> None:
    text = (
        "en0: flags=1<UP> mtu 1\n\tinet 10.0.0.999 netmask 0xffffff00\n\tinet 10.0.0.1 netmask 0xff00ff00\n"
    )
    assert parse_ifconfig(text, {})[0].addresses == ()
    assert parse_ip("2: eth0 inet 999.0.0.1/24 x\n2: eth0 inet 10.0.0.1/99 x\n", "") == ()


# Sections.


def test_sections_with_a_greeting_before_and_a_connection_lost_within() -> None:
    text = (
        "Welcome!\n@@m begin a\none\n\n@@m end a 0\nnoise\n@@m begin b\n@@other end b 0\n\n@@m end b 127\n"
        "@@m begin empty\n\n@@m end empty 1\n@@m begin lost\nhalf an ans"
    )
    found = parse_sections(text, "m")
    assert found == {
        "a": Section("one\n", 0),
        "b": Section("@@other end b 0\n", 127),
        "empty": Section("", 1),
    }
    assert parse_sections(text.replace("\n", "\r\n"), "m")["a"].text == "one\n"


def test_a_section_that_was_cut_off_does_not_swallow_the_next() -> None:
    found = parse_sections("@@m begin a\nhalf\n@@m begin b\nx\n\n@@m end b 0\n", "m")
    assert found == {"b": Section("x\n", 0)}


def test_routes_are_read_by_address() -> None:
    text = "   route to: 10.0.0.2\ndestination: 10.0.0.2\n  interface: en5\n      flags: <UP,HOST>\n"
    asked = {
        "route 10.0.0.2": Section(text, 0),
        "route 10.0.0.3": Section("", 1),
        "ifconfig": Section(text, 0),
    }
    assert parse_routes(asked) == (("10.0.0.2", "en5"),)


# Single facts.


@pytest.mark.parametrize(
    ("said", "enabled"),
    [("enabled\n", True), ("disabled\n", False), ("RDMA is not enabled", False), ("", True), ("what?", True)],
)
def test_rdma_is_as_rdma_ctl_says_or_else_on_where_devices_are(
    said: str, enabled: bool, studio: dict[str, str]
) -> None:
    assert machine({**studio, "rdma_ctl": said}).rdma_enabled is enabled


def test_whether_rdma_is_enabled_is_unknown_without_any_sign(studio: dict[str, str]) -> None:
    assert machine({**studio, "rdma_ctl": "", "ibv_devices": "", "ibv_devinfo": ""}).rdma_enabled is None


def test_devices_listed_without_a_state_are_not_active(studio: dict[str, str]) -> None:
    ports = machine({**studio, "ibv_devinfo": ""}).ports
    assert ports is not None
    assert {port.rdma_active for port in ports} == {False}


@pytest.mark.parametrize(
    ("shell", "launchd", "value"),
    [
        (Section("1\n", 0), Section("0\n", 0), "1"),
        (Section("", 1), Section("1\n", 0), "1"),
        (Section("", 1), Section("", 0), ""),
        (Section("", 127), Section("", 127), None),
    ],
)
def test_fast_synch_of_the_shell_or_of_launchd(shell: Section, launchd: Section, value: str | None) -> None:
    asked = {**sections({"system": "Darwin"}), "fast_synch": shell, "fast_synch_launchd": launchd}
    assert parse_machine("host", asked, 0, 1).fast_synch == value


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Firewall is enabled. (State = 1)", True),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)", True),
        ("Firewall is disabled. (State = 0)", False),
        ("Firewall is disabled!", False),
        ("Firewall is enabled!", True),
        ("", None),
    ],
)
def test_firewall(said: str, state: bool | None) -> None:
    assert machine({"system": "Darwin", "firewall": said}).firewall is state


def test_the_clock_is_bracketed_by_the_question_and_the_answer() -> None:
    # Ten seconds ahead; a tenth of a second there and back, five seconds of work between.
    asked = sections({"system": "Linux", "clock": "1010", "clock_again": "1015"})
    found = parse_machine("host", asked, 1000.3, 1005.5)
    assert found.clock_offset_s is not None
    assert found.clock_error_s is not None
    assert abs(found.clock_offset_s - 10) <= found.clock_error_s <= 0.7


@pytest.mark.parametrize(
    "clocks", [("", "5"), ("5", ""), ("6", "5"), ("soon", "later"), ("9" * 30, "9" * 30)]
)
def test_a_clock_that_makes_no_sense_is_unknown(clocks: tuple[str, str]) -> None:
    found = machine({"system": "Linux", "clock": clocks[0], "clock_again": clocks[1]})
    assert (found.clock_offset_s, found.clock_error_s) == (None, None)


def test_versions_are_compared_by_number() -> None:
    wanted = (26, 2)
    known = {
        text: Machine("m", version=text).version_at_least(wanted)
        for text in ("26.2", "26.10.1", "26", "15.7")
    }
    assert known == {"26.2": True, "26.10.1": True, "26": False, "15.7": False}
    assert Machine("m").version_at_least(wanted) is None
