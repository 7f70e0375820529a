"""The same answers through MLX's own `mlx.distributed_config`; where it differs, why ours is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelkit.hosts.hostfile import format_hostfile
from kernelkit.survey import Discovery, discover
from tests.survey.discovered import address
from tests.survey.macs import Mac, join, macs, mesh, ring
from tests.survey.standin import Standin

TOOL = Path(sys.executable).parent / "mlx.distributed_config"


def upstream(hosts: list[str], folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """The hostfile that it writes, and what it prints; it waits for a key after each host's commands."""
    written = folder / "theirs.json"
    argv = [
        str(TOOL),
        "--hosts",
        ",".join(hosts),
        "--output-hostfile",
        str(written),
        "--no-auto-setup",
        *options,
    ]
    done = subprocess.run(argv, input="\n" * 20, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(written.read_text()), done.stdout


def both(hosts: Standin, machines: list[Mac], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    names = hosts.add(*machines)
    return json.loads(format_hostfile(discover(names).hostfile)), upstream(names, folder)[0]


def doubled_ring(count: int, **changes: Any) -> list[Mac]:
    machines = macs(count, port_count=4, **changes)
    for i in range(count):
        for _ in range(2):
            join(machines[i], machines[(i + 1) % count])
    return machines


def pair_with_two_cables() -> list[Mac]:
    machines = macs(2)
    for _ in range(2):
        join(machines[0], machines[1])
    return machines


@pytest.mark.parametrize(
    "machines",
    [
        mesh(2),
        mesh(3),
        mesh(4),
        ring(4),
        ring(5),
        pair_with_two_cables(),
        doubled_ring(4),
        mesh(3, rdma="disabled"),
        ring(4, rdma="disabled"),
        doubled_ring(3, rdma="disabled"),
        mesh(2, gbits=40, top_gbits=40, chip="Apple M2 Max", rdma="disabled"),
        ring(4, bridge=True),
    ],
    ids=[
        "pair", "mesh of 3", "mesh of 4", "ring of 4", "ring of 5", "two cables", "ring of two cables",
        "no rdma", "ring without rdma", "ring of two cables without rdma", "thunderbolt 4", "bridge up",
    ],
)  # fmt: skip
def test_the_hostfile_is_the_one_that_mlx_makes(machines: list[Mac], hosts: Standin, tmp_path: Path) -> None:
    ours, theirs = both(hosts, machines, tmp_path)
    assert ours == theirs


def test_the_commands_are_those_that_mlx_prints(hosts: Standin, tmp_path: Path) -> None:
    names = hosts.add(*ring(4, bridge=True))
    discovery: Discovery = discover(names)
    printed = upstream(names, tmp_path)[1]
    theirs = [line for line in printed.splitlines() if line.startswith("sudo ")]
    ours = [command for _, commands in discovery.setup for command in commands]
    assert sorted(ours) == sorted(theirs)


def test_thunderbolt_4_macs_that_list_rdma_devices(hosts: Standin, tmp_path: Path) -> None:
    """Upstream takes jaccl since `ibv_devices` lists rdma_en2, which it does for Thunderbolt 4 as well.

    RDMA needs Thunderbolt 5, so that group would never form: ours is a ring over the same cables.
    """
    ours, theirs = both(hosts, mesh(2, gbits=40, top_gbits=40, chip="Apple M4"), tmp_path)
    assert (ours["backend"], theirs["backend"]) == ("ring", "jaccl")


def test_a_mac_studio_cabled_next_to_ethernet(hosts: Standin, tmp_path: Path) -> None:
    """Upstream lists rdma_en2, the device of the one port that can do no RDMA: ours leaves it out."""
    machines = pair_with_two_cables()
    for mac in machines:
        mac.kind = "Mac Studio"
    ours, theirs = both(hosts, machines, tmp_path)
    assert [host["rdma"] for host in ours["hosts"]] == [[None, "rdma_en3"], ["rdma_en3", None]]
    assert theirs["hosts"][0]["rdma"] == [None, ["rdma_en2", "rdma_en3"]]


def test_an_older_macos(hosts: Standin, tmp_path: Path) -> None:
    """Upstream does not look at the version of macOS."""
    ours, theirs = both(hosts, mesh(2, macos="26.1"), tmp_path)
    assert (ours["backend"], theirs["backend"]) == ("ring", "jaccl")


def test_a_ring_with_more_parallel_cables(hosts: Standin, tmp_path: Path) -> None:
    """Upstream takes the first ring of all hosts that it comes upon; ours the one with the most cables."""
    machines = macs(4, port_count=6, rdma="disabled")
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), *(((0, 2), (2, 1), (1, 3), (3, 0)) * 2)):
        join(machines[a], machines[b])
    ours, theirs = both(hosts, machines, tmp_path)
    assert [host["ssh"] for host in theirs["hosts"]] == ["mac1", "mac2", "mac3", "mac4"]
    assert [host["ssh"] for host in ours["hosts"]] == ["mac1", "mac3", "mac2", "mac4"]
    assert {len(host["ips"]) for host in theirs["hosts"]} == {1}
    assert {len(host["ips"]) for host in ours["hosts"]} == {2}


def test_addresses_that_are_right_already(hosts: Standin, tmp_path: Path) -> None:
    """Upstream gives every cable a new address, whatever it has: ours keeps one that works."""
    machines = mesh(2, rdma="disabled")
    address(machines, (0, "en2", 1, "en2"))
    ours, theirs = both(hosts, machines, tmp_path)
    assert [host["ips"] for host in ours["hosts"]] == [["192.168.9.1"], ["192.168.9.2"]]
    assert [host["ips"] for host in theirs["hosts"]] == [["192.168.0.1"], ["192.168.0.2"]]


def test_a_lan_that_is_192_168_0(hosts: Standin, tmp_path: Path) -> None:
    """Upstream's addresses for cables would lie inside of that LAN, and cut the hosts off from each other."""
    machines = mesh(2, rdma="disabled")
    for i, mac in enumerate(machines, 1):
        mac.lan = f"192.168.0.{i + 10}/24"
    ours, theirs = both(hosts, machines, tmp_path)
    assert theirs["hosts"][0]["ips"] == ["192.168.0.1"]
    assert ours["hosts"][0]["ips"] == ["192.168.1.1"]


def test_a_lan_on_another_interface_than_en0(hosts: Standin, tmp_path: Path) -> None:
    """Upstream asks en0 and en1 alone, and writes a hostfile for jaccl over which nobody could meet."""
    machines = mesh(2)
    for mac in machines:
        mac.lan_interface = "en9"
    ours, theirs = both(hosts, machines, tmp_path)
    assert [host["ips"] for host in theirs["hosts"]] == [[], []]
    assert [host["ips"] for host in ours["hosts"]] == [["10.0.0.1"], ["10.0.0.2"]]


def test_cables_that_close_no_ring(hosts: Standin, tmp_path: Path) -> None:
    """Upstream gives up; ours goes over the LAN."""
    machines = macs(3)
    join(machines[0], machines[1])
    names = hosts.add(*machines)
    assert discover(names).over == "Ethernet"
    with pytest.raises(AssertionError, match="Neither thunderbolt mesh nor ring found"):
        upstream(names, tmp_path)
