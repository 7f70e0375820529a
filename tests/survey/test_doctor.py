"""The doctor over ssh: each fault is found on the host that has it, and the others are checked as well."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.checks import NOT_A_MAC, OK, PROBLEM, UNKNOWN, WARNING
from kernelkit.survey import Diagnosis, doctor
from tests.survey.discovered import address
from tests.survey.macs import Mac, mesh, versions_here
from tests.survey.standin import HERE, Standin

HINT = "local network"  # Nobody can look that up, so it is never ok.


def diagnose(hosts: Standin, machines: list[Mac]) -> Diagnosis:
    return doctor(hosts.add(*machines), python="kkpython")


def faults(diagnosis: Diagnosis, host: str) -> dict[str, str]:
    return {c.name: c.state for c in diagnosis.host(host).checks if c.state != OK and c.name != HINT}


def python(**changes: Any) -> dict[str, Any]:
    return {"executable": "/venv/bin/python", "python": "3.11.7", "packages": versions_here(), **changes}


def test_macs_that_are_ready_have_no_fault(hosts: Standin) -> None:
    machines = mesh(2)
    address(machines, (0, "en2", 1, "en2"))
    diagnosis = diagnose(hosts, machines)
    assert [faults(diagnosis, mac.name) for mac in machines] == [{}, {}]
    assert diagnosis.title() == "2 hosts: 2 unknown"
    assert diagnosis.host("mac1").check("cable addresses").seen == "en2 192.168.9.1"
    assert diagnosis.problems == 0


@pytest.mark.parametrize(
    ("changes", "check", "state"),
    [
        ({"macos": "26.1"}, "macOS", PROBLEM),
        ({"rdma": "disabled"}, "RDMA", PROBLEM),
        ({"rdma_down": ("en2",)}, "RDMA ports", PROBLEM),
        ({"bridge": True}, "Thunderbolt bridge", PROBLEM),
        ({"kind": "Mac Studio"}, "port next to Ethernet", WARNING),
        ({"fast_synch": "1"}, "MLX_METAL_FAST_SYNCH", WARNING),
        ({"wired_mib": 65000}, "wired memory", WARNING),
        ({"firewall": 1}, "firewall", WARNING),
        ({"firewall": 2}, "firewall", WARNING),
        ({"free_gib": 2}, "free memory", WARNING),
        ({"free_disk_gib": 5}, "free disk", WARNING),
        ({"free_disk_gib": 0}, "free disk", PROBLEM),
        ({"clock_ahead_s": 30}, "clock", WARNING),
        ({"clock_ahead_s": -30}, "clock", WARNING),
        ({"python": {}}, "Python", PROBLEM),
        ({"python": python(python="3.12.0")}, "Python", WARNING),
        ({"python": python(packages={})}, "mlx", PROBLEM),
        ({"python": python(packages={**versions_here(), "mlx-lm": "0.1"})}, "mlx-lm", PROBLEM),
        ({"python": python(packages={**versions_here(), "kernelkit": "9"})}, "kernelkit", PROBLEM),
    ],
)
def test_each_fault_is_found_on_the_host_that_has_it(
    hosts: Standin, changes: dict[str, Any], check: str, state: str
) -> None:
    machines = mesh(2)
    for name, value in changes.items():
        setattr(machines[0], name, value)
    address(machines, (0, "en2", 1, "en2"))
    diagnosis = diagnose(hosts, machines)
    found = faults(diagnosis, "mac1")
    assert found[check] == state
    assert diagnosis.host("mac1").check(check).cure
    assert faults(diagnosis, "mac2") == {}
    if check not in ("RDMA", "mlx"):  # Those bring others with them.
        assert set(found) == {check}


def test_a_thunderbolt_4_cable_is_seen_at_both_ends(hosts: Standin) -> None:
    machines = mesh(2, gbits=40)
    address(machines, (0, "en2", 1, "en2"))
    diagnosis = diagnose(hosts, machines)
    assert [faults(diagnosis, mac.name) for mac in machines] == [{"Thunderbolt": WARNING}] * 2


def test_cables_without_addresses_and_with_a_wrong_way(hosts: Standin) -> None:
    machines = mesh(3)
    address(machines, (0, "en2", 1, "en2"))
    machines[1].routes["192.168.9.1"] = "en0"
    diagnosis = diagnose(hosts, machines)
    assert diagnosis.host("mac1").check("cable addresses").seen == "en3 has none that fits mac3's"
    assert diagnosis.host("mac2").check("cable addresses").seen == (
        "192.168.9.1 (mac1) is reached by en0, not by en2; en3 has none that fits mac3's"
    )


def test_routes_that_cannot_be_read_are_unknown(hosts: Standin) -> None:
    machines = mesh(2)
    address(machines, (0, "en2", 1, "en2"))
    machines[0].routes = {}
    assert faults(diagnose(hosts, machines), "mac1") == {"cable addresses": UNKNOWN}


def test_the_recorded_studio(hosts: Standin) -> None:
    hosts.add_recorded("studio", HERE / "recorded" / "studio")
    diagnosis = doctor(["studio"], python="kkpython")
    assert faults(diagnosis, "studio") == {
        "Python": PROBLEM,
        "port next to Ethernet": WARNING,
        "MLX_METAL_FAST_SYNCH": WARNING,
        "firewall": WARNING,
    }
    assert diagnosis.host("studio").check("RDMA ports").seen == "en3 active"
    assert diagnosis.host("studio").state == PROBLEM


def test_hosts_that_cannot_be_reached_are_rows_and_the_others_are_checked(hosts: Standin) -> None:
    hosts.add(Mac("mac1"))
    hosts.fails("denied", "denied")
    hosts.fails("stuck", "hang")
    began_s = time.monotonic()
    diagnosis = doctor(["denied", "stuck", "mac1", "nowhere"], python="kkpython", timeout_s=3.0)
    assert time.monotonic() - began_s < 30  # One waits for its time; the others do not wait for it again.
    assert [host.host for host in diagnosis.hosts] == ["denied", "stuck", "mac1", "nowhere"]
    (denied,) = diagnosis.host("denied").checks
    assert (denied.name, denied.state) == ("ssh", PROBLEM)
    assert "Permission denied (publickey" in denied.seen
    assert "ssh-copy-id denied" in denied.cure
    assert "did not answer within 3 s" in diagnosis.host("stuck").checks[0].seen
    assert "Could not resolve hostname nowhere" in diagnosis.host("nowhere").checks[0].seen
    assert diagnosis.host("mac1").check("ssh").state == OK
    assert diagnosis.problems == 3


def test_addresses_are_not_made_up_while_a_host_that_may_have_them_is_silent(hosts: Standin) -> None:
    hosts.add(*mesh(2))
    all_answer = doctor(["mac1", "mac2"], python="kkpython")
    assert "sudo ifconfig" in all_answer.host("mac1").check("cable addresses").cure
    hosts.fails("mac3", "denied")
    some_answer = doctor(["mac1", "mac2", "mac3"], python="kkpython")
    check = some_answer.host("mac1").check("cable addresses")
    assert check.state == PROBLEM
    assert "%cluster discover" in check.cure
    assert "sudo" not in check.cure


def test_this_machine_by_default() -> None:
    diagnosis = doctor()
    (host,) = diagnosis.hosts
    assert host.host == "localhost"
    assert [host.check(name).state for name in ("ssh", "Python", "mlx", "mlx-lm", "kernelkit")] == [OK] * 5
    assert host.check("clock").state == OK
    if sys.platform != "darwin":
        assert host.check("Thunderbolt").state == NOT_A_MAC
        assert f"11 for Macs  {NOT_A_MAC}" in repr(diagnosis)


def test_each_host_may_have_a_python_of_its_own(hosts: Standin) -> None:
    names = hosts.add(Mac("mac1"), Mac("mac2"))
    diagnosis = doctor(names, python={"mac1": "kkpython", "mac2": "/nowhere/python"})
    assert [diagnosis.host(name).check("Python").state for name in names] == [OK, PROBLEM]
    assert (
        doctor(names, python={"mac1": "kkpython"}).host("mac2").check("Python").state == OK
    )  # This one's path.


def test_a_python_that_is_not_there() -> None:
    check = doctor(python="/nowhere/python").host("localhost").check("Python")
    assert (check.state, check.seen) == (PROBLEM, "/nowhere/python does not answer")


def test_it_shows_itself_and_survives_json(hosts: Standin) -> None:
    hosts.add(Mac("mac1", bridge=True, firewall=1))
    diagnosis = doctor("mac1,nowhere", python="kkpython")
    assert diagnosis.title() == "2 hosts: 2 problems, 1 warning, 1 unknown"
    assert Diagnosis.from_dict(json.loads(json.dumps(diagnosis.to_dict()))) == diagnosis
    bundle = diagnosis._repr_mimebundle_()
    assert bundle["text/plain"] == repr(diagnosis)
    for part in ("sudo ifconfig bridge0 down", "Could not resolve hostname", "2 problems"):
        assert part in bundle["text/plain"]
        assert part in bundle["text/html"]


def test_progress_and_bad_names(hosts: Standin) -> None:
    said: list[str] = []
    hosts.add(Mac("mac1"))
    doctor(["mac1", "nowhere"], python="kkpython", report=said.append)
    assert sorted(line.split(" (")[0] for line in said) == ["mac1 answered", "nowhere failed"]
    with pytest.raises(ArgumentError, match="this is no name of a host"):
        doctor(["-x"])
