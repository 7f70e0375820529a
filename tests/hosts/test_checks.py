"""Every check in each state that it can have, with the cure that belongs to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kernelkit.hosts.addressing import Wire
from kernelkit.hosts.cables import Cable
from kernelkit.hosts.checks import (
    NOT_A_MAC,
    OK,
    PROBLEM,
    UNKNOWN,
    WARNING,
    Check,
    check_clock,
    check_disk,
    check_memory,
    check_package,
    check_python,
    general_checks,
    worst,
)
from kernelkit.hosts.mac_checks import (
    check_bridge,
    check_cables,
    check_fast_synch,
    check_firewall,
    check_local_network,
    check_macos,
    check_rdma,
    check_rdma_ports,
    check_studio_port,
    check_thunderbolt,
    check_wired,
    has_thunderbolt_5,
    mac_checks,
)
from kernelkit.hosts.machine import Interface, Machine, PythonFacts, ThunderboltPort

HERE = PythonFacts(
    "/here/python", "3.11.7", (("mlx", "0.32.4"), ("mlx-lm", "0.32.2"), ("kernelkit", "0.1.0"))
)
GB = 10**9
CABLED = {"peer_uuid": "B", "peer_name": "Mac mini"}


def port(number: int, **changes: Any) -> ThunderboltPort:
    return ThunderboltPort(str(number), f"en{number + 1}", f"A{number}", **changes)


def fast(number: int, **changes: Any) -> ThunderboltPort:
    ready = {"link_bits_per_s": 80e9, "rdma_device": f"rdma_en{number + 1}", "rdma_active": True}
    return port(number, **{**CABLED, **ready, **changes})


def mac(**changes: Any) -> Machine:
    facts: dict[str, Any] = {
        "system": "Darwin",
        "version": "26.2",
        "kind": "Mac mini",
        "chip": "Apple M4 Pro",
        "memory_bytes": 64 * GB,
        "free_memory_bytes": 40 * GB,
        "free_disk_bytes": 200 * GB,
        "ports": (fast(1), port(2, top_bits_per_s=120e9)),
        "interfaces": (Interface("en2", "thunderbolt", ("192.168.0.1/30",), True),),
        "rdma_enabled": True,
        "wired_limit_bytes": 0,
        "firewall": False,
        "fast_synch": "",
        "python": HERE,
        "clock_offset_s": 0.1,
        "clock_error_s": 0.6,
    }
    return Machine("mac", **{**facts, **changes})


def python(**versions: str) -> PythonFacts:
    packages = {"mlx": "0.32.4", "mlx-lm": "0.32.2", "kernelkit": "0.1.0", **versions}
    return PythonFacts("/there/my python", "3.11.9", tuple((k, v) for k, v in packages.items() if v))


def test_a_mac_that_is_ready_for_everything() -> None:
    wire = Wire(Cable("mac", "en2", "b", "en3"), "192.168.0.1", "192.168.0.2")
    ready = mac(routes=(("192.168.0.2", "en2"),))
    checks = (*general_checks(ready, "python3", HERE), *mac_checks(ready, [wire]))
    assert [check.name for check in checks if check.state != OK] == ["local network"]
    assert not any(check.cure for check in checks if check.state == OK)


def test_a_linux_machine_is_no_mac() -> None:
    linux = mac(system="Linux", ports=None)
    assert {check.state for check in general_checks(linux, "python3", HERE)} == {OK}
    checks = mac_checks(linux, [])
    assert {(check.state, check.seen) for check in checks} == {(NOT_A_MAC, "Linux")}
    assert len(checks) == 11


def test_nothing_known_is_nothing_claimed() -> None:
    blank = Machine("mac", system="Darwin")
    states = {
        check.name: check.state for check in (*general_checks(blank, "p", HERE), *mac_checks(blank, []))
    }
    assert states.pop("ssh") == OK
    assert states.pop("Python") == PROBLEM
    assert states.pop("cable addresses") == OK  # None were found.
    assert set(states.values()) == {UNKNOWN}


# Any machine.


def test_python_that_is_not_there() -> None:
    check = check_python(mac(python=None), "/opt/python", HERE)
    assert (check.state, check.seen) == (PROBLEM, "/opt/python does not answer")
    assert "--python" in check.cure


def test_python_of_another_minor_version() -> None:
    other = replace(python(), version="3.12.1")
    assert check_python(mac(python=other), "p", HERE).state == WARNING
    assert check_python(mac(python=python()), "p", HERE).state == OK


@pytest.mark.parametrize("name", ["mlx", "mlx-lm", "kernelkit"])
def test_packages_must_be_there_and_of_the_same_version(name: str) -> None:
    assert check_package(mac(python=python()), name, HERE) == Check(name, OK, HERE.package(name))
    gone = check_package(mac(python=python(**{name: ""})), name, HERE)
    assert (gone.state, gone.seen) == (PROBLEM, "not installed")
    other = check_package(mac(python=python(**{name: "0.0.1"})), name, HERE)
    assert (other.state, other.seen) == (PROBLEM, f"0.0.1; here {HERE.package(name)}")
    assert other.cure == f"on mac: '/there/my python' -m pip install {name}=={HERE.package(name)}"


def test_a_package_that_is_not_here_cannot_differ() -> None:
    nothing_here = replace(HERE, packages=())
    assert check_package(mac(python=python()), "mlx", nothing_here).state == OK
    assert check_package(mac(python=python(mlx="")), "mlx", nothing_here).cure.endswith("pip install mlx")
    assert check_package(mac(python=None), "mlx", HERE).state == UNKNOWN


def test_linux_without_a_gpu_needs_the_wheel_for_cpus() -> None:
    linux = mac(system="Linux", python=python(mlx=""))
    assert check_package(linux, "mlx", HERE).cure.endswith("pip install 'mlx[cpu]==0.32.4'")


@pytest.mark.parametrize(
    ("free", "total", "state"),
    [(40 * GB, 64 * GB, OK), (6 * GB, 64 * GB, WARNING), (None, 64 * GB, UNKNOWN), (1, None, UNKNOWN)],
)
def test_free_memory(free: int | None, total: int | None, state: str) -> None:
    assert check_memory(mac(free_memory_bytes=free, memory_bytes=total)).state == state


@pytest.mark.parametrize(
    ("free", "state"), [(10 * GB, OK), (9 * GB, WARNING), (GB - 1, PROBLEM), (0, PROBLEM), (None, UNKNOWN)]
)
def test_free_disk(free: int | None, state: str) -> None:
    assert check_disk(mac(free_disk_bytes=free)).state == state


@pytest.mark.parametrize(
    ("offset", "error", "state"),
    [(0.5, 0.6, OK), (-1.5, 0.6, OK), (1.7, 0.6, WARNING), (-90.0, 3.0, WARNING), (None, None, UNKNOWN)],
)
def test_clock(offset: float | None, error: float | None, state: str) -> None:
    """It is wrong only where the way there and back cannot explain it."""
    assert check_clock(mac(clock_offset_s=offset, clock_error_s=error)).state == state


def test_a_wrong_clock_says_which_way_and_how_to_set_it() -> None:
    behind = check_clock(mac(clock_offset_s=-90.0, clock_error_s=0.5))
    assert behind.seen == "1 min 30 s behind, give or take 500 ms"
    assert "Date & Time" in behind.cure
    assert "timedatectl" in check_clock(mac(system="Linux", clock_offset_s=9.0, clock_error_s=0.5)).cure


def test_the_worst_state_counts() -> None:
    def of(*states: str) -> str:
        return worst([Check("c", state, "") for state in states])

    assert of(OK, UNKNOWN, WARNING, PROBLEM) == PROBLEM
    assert of(OK, WARNING, UNKNOWN) == WARNING
    assert of(NOT_A_MAC, UNKNOWN) == UNKNOWN
    assert of(NOT_A_MAC, OK) == of() == OK


# Macs.


@pytest.mark.parametrize(
    ("version", "state"), [("26.2", OK), ("27.0.1", OK), ("26.1", PROBLEM), ("", UNKNOWN)]
)
def test_macos(version: str, state: str) -> None:
    assert check_macos(mac(version=version)).state == state


def test_an_old_macos_is_no_problem_where_there_is_no_rdma_anyway() -> None:
    assert check_macos(mac(version="15.7", chip="Apple M2 Max", ports=())).state == WARNING


@pytest.mark.parametrize(
    ("chip", "five"),
    [
        ("Apple M1", False),
        ("Apple M2 Ultra", False),
        ("Apple M3 Max", False),
        ("Apple M3 Ultra", True),
        ("Apple M4", False),
        ("Apple M4 Pro", True),
        ("Apple M4 Max", True),
        ("Apple M5", False),
        ("Apple M5 Pro", True),
        ("Apple M12 Ultra", True),
        ("Intel(R) Core(TM) i7", None),
        ("", None),
    ],
)
def test_which_chips_have_thunderbolt_5(chip: str, five: bool | None) -> None:
    assert has_thunderbolt_5(mac(chip=chip, ports=())) is five


def test_a_fast_port_says_more_than_the_chip() -> None:
    assert has_thunderbolt_5(mac(chip="Apple M9", ports=(port(1, top_bits_per_s=120e9),))) is True
    assert has_thunderbolt_5(mac(chip="", ports=(port(1, top_bits_per_s=40e9),))) is False


def test_thunderbolt() -> None:
    good = check_thunderbolt(mac())
    assert (good.state, good.seen) == (OK, "Apple M4 Pro, Thunderbolt 5: en2 at 80 Gb/s")
    slow = check_thunderbolt(mac(ports=(fast(1), fast(2, link_bits_per_s=40e9))))
    assert (slow.state, slow.seen) == (WARNING, "Apple M4 Pro, Thunderbolt 5: en2 at 80 Gb/s, en3 at 40 Gb/s")
    assert slow.cure.startswith("en3: Thunderbolt 5 cable")
    old = check_thunderbolt(mac(chip="Apple M2 Max", ports=(fast(1, link_bits_per_s=40e9),)))
    assert (old.state, old.seen) == (WARNING, "Apple M2 Max, Thunderbolt 4 or older: en2 at 40 Gb/s")
    dock = check_thunderbolt(mac(ports=(port(1, peer_name="dock", link_bits_per_s=40e9),)))
    assert (dock.state, dock.seen) == (OK, "Apple M4 Pro, Thunderbolt 5, no cable to another computer")
    assert check_thunderbolt(mac(ports=None)).state == UNKNOWN


def test_rdma() -> None:
    assert check_rdma(mac()).state == OK
    off = check_rdma(mac(rdma_enabled=False))
    assert off.state == PROBLEM
    assert "rdma_ctl enable" in off.cure
    assert check_rdma(mac(rdma_enabled=None)).state == UNKNOWN
    assert check_rdma(mac(rdma_enabled=False, chip="Apple M2", ports=())).state == OK


@pytest.mark.parametrize(
    ("ports", "state", "seen"),
    [
        ((fast(1), fast(2)), OK, "en2, en3 active"),
        ((fast(1), fast(2, rdma_active=False)), PROBLEM, "en3 down"),
        ((fast(1, rdma_device=None, rdma_active=None),), UNKNOWN, "no RDMA device for en2"),
        (
            (fast(1, link_bits_per_s=40e9, rdma_active=False),),
            OK,
            "no Thunderbolt 5 cable to another computer",
        ),
        ((port(1),), OK, "no Thunderbolt 5 cable to another computer"),
        (None, UNKNOWN, "the ports could not be read"),
    ],
)
def test_rdma_ports(ports: tuple[ThunderboltPort, ...] | None, state: str, seen: str) -> None:
    check = check_rdma_ports(mac(ports=ports))
    assert (check.state, check.seen) == (state, seen)


def bridged(up: bool, *members: str) -> Machine:
    ports = (Interface("en2", "thunderbolt"), Interface("en3", "thunderbolt"), Interface("en0", "ethernet"))
    return mac(interfaces=(*ports, Interface("bridge0", "bridge", (), up, None, members)))


def test_bridge() -> None:
    up = check_bridge(bridged(True, "en0", "en2", "en3"))
    assert (up.state, up.seen) == (PROBLEM, "bridge0 is up, with en2, en3")
    assert up.cure.startswith("sudo ifconfig bridge0 down (for good: System Settings")
    assert check_bridge(bridged(False, "en2")).state == OK
    assert check_bridge(bridged(True, "en0")).state == OK
    assert check_bridge(mac(interfaces=())).state == UNKNOWN


def test_port_next_to_ethernet() -> None:
    studio = mac(kind="Mac Studio", ports=(fast(1), fast(2)))
    check = check_studio_port(studio)
    assert (check.state, check.seen) == (WARNING, "en2 is cabled, and can do no RDMA")
    assert check_studio_port(replace(studio, ports=(port(1), fast(2)))) == Check(check.name, OK, "not cabled")
    slow = replace(studio, ports=(fast(1, link_bits_per_s=40e9),))
    assert check_studio_port(slow).state == OK
    assert check_studio_port(mac()).seen == "a Mac mini has none"
    assert check_studio_port(mac(ports=None)).state == UNKNOWN
    down = replace(studio, ports=(fast(1, rdma_active=False), fast(2)))
    assert check_rdma_ports(down).state == OK  # That port cannot be active.


WIRE = Wire(Cable("mac", "en2", "b", "en3"), "192.168.0.1", "192.168.0.2")


def test_cable_addresses() -> None:
    right = mac(routes=(("192.168.0.2", "en2"),))
    assert check_cables(right, [WIRE]) == Check("cable addresses", OK, "en2 192.168.0.1")
    away = check_cables(mac(routes=(("192.168.0.2", "en0"),)), [WIRE])
    assert (away.state, away.seen) == (PROBLEM, "192.168.0.2 (b) is reached by en0, not by en2")
    assert away.cure == "sudo route change 192.168.0.2 -interface en2"
    none = check_cables(mac(), [replace(WIRE, fresh=True)])
    assert (none.state, none.seen) == (PROBLEM, "en2 has none that fits b's")
    assert none.cure.startswith(
        "sudo ifconfig en2 inet 192.168.0.1 netmask 255.255.255.252; sudo route change"
    )
    assert check_cables(mac(), [WIRE]).state == UNKNOWN
    assert check_cables(mac(), [replace(WIRE, cable=Cable("a", "en2", "b", "en3"))]).state == OK


def test_fast_synch() -> None:
    assert check_fast_synch(mac()).state == OK
    check = check_fast_synch(mac(fast_synch="1"))
    assert (check.state, check.seen) == (WARNING, "set to 1: it can wedge the GPU")
    assert check_fast_synch(mac(fast_synch=None)).state == UNKNOWN


@pytest.mark.parametrize(
    ("limit", "state", "cure"),
    [
        (0, OK, ""),
        (56 * GB, OK, ""),
        (63 * GB, WARNING, "sudo sysctl iogpu.wired_limit_mb=52843"),
        (20 * GB, WARNING, "sudo sysctl iogpu.wired_limit_mb=0"),
        (None, UNKNOWN, ""),
    ],
)
def test_wired_memory(limit: int | None, state: str, cure: str) -> None:
    check = check_wired(mac(wired_limit_bytes=limit))
    assert (check.state, check.cure) == (state, cure)


def test_the_limit_that_is_advised_is_one_that_passes() -> None:
    for total in (8 * 1024**3, 16 * 1024**3, 64 * 1024**3, 512 * 1024**3):
        advised = int(check_wired(mac(memory_bytes=total, wired_limit_bytes=total)).cure.rpartition("=")[2])
        assert check_wired(mac(memory_bytes=total, wired_limit_bytes=advised * 1024**2)).state == OK, total


def test_firewall_and_local_network() -> None:
    assert check_firewall(mac()).state == OK
    assert check_firewall(mac(firewall=True)).state == WARNING
    assert check_firewall(mac(firewall=None)).state == UNKNOWN
    check = check_local_network(mac())
    assert (check.state, "Local Network" in check.cure) == (UNKNOWN, True)
