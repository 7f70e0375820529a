"""The laboratory keeps its promises: else the tests of several hosts would test something else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import HostError
from kernelkit.hosts.hostfile import parse_hostfile
from kernelkit.launch.ssh import run_script
from tests.hosts.lab import Lab, LabError
from tests.hosts.lab.measure import arrives, bits_per_s, round_trip_s, udp
from tests.hosts.lab.namespaces import FOLDER, owned_prefix, processes_in
from tests.waiting import eventually, gone

# One rank of a ring; says the sum of all ranks' arrays.
RANK = """
import mlx.core as mx
group = mx.distributed.init(strict=True, backend="ring")
print(group.size(), mx.distributed.all_sum(mx.full((3,), group.rank() + 1.0), stream=mx.cpu).tolist())
"""

# Holds a laboratory until its input ends, or it is killed.
HOLDER = """
import sys
from tests.hosts.lab import Lab, LabError
with Lab(hosts=2) as lab:
    lab.delay(0, 1, 0.001)
    lab.cable(0, 1)
    print(lab.folder, flush=True)
    sys.stdin.read()
"""


def network_of_the_machine() -> str:
    return "".join(
        subprocess.run(["ip", "-o", *what], capture_output=True, text=True, check=True).stdout
        for what in (("-br", "link"), ("-br", "addr"), ("route", "show", "table", "all"), ("rule",))
    )


def namespaces_of(folder: Path) -> list[str]:
    return [path.name for path in FOLDER.glob(f"{folder.name}.*")]


def needs_iperf3() -> None:
    if shutil.which("iperf3") is None:
        pytest.skip("bandwidth is measured by iperf3, which is not installed")


def reached(lab: Lab, address: str, at_least: float, *options: str) -> float:
    """The best of up to four tries: a busy machine may be slower than a wire, but is never faster."""
    measured: list[float] = []

    def near() -> bool:
        measured.append(bits_per_s(lab, 0, 1, address, *options))
        return measured[-1] > at_least or len(measured) == 4

    assert eventually(near, 10.0)
    return max(measured)


def line_of(process: subprocess.Popen[Any]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return str(process.stdout.readline(), "ascii").strip()


def here() -> str:
    """The calling thread's network."""
    return str(Path("/proc/thread-self/ns/net").readlink())


def ssh(name: str, command: str = "true") -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-o", "BatchMode=yes", name, command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def refused(lab: Lab, name: str) -> HostError:
    """The error by which kernelkit says that ssh did not get there."""
    with lab.inside(), pytest.raises(HostError) as caught:
        run_script(name, "true")
    return caught.value


def test_ssh_reaches_every_host_by_name(lab: Lab) -> None:
    with lab.inside():
        said = [
            ssh(name, "hostname; echo $SSH_CONNECTION; ls /sys/class/net").stdout.split()
            for name in lab.names
        ]
    for name, address, words in zip(lab.names, lab.addresses, said, strict=True):
        assert words == [name, lab.controller, words[2], address, "22", "eth0", "lo"]


def test_ssh_passes_a_master_and_its_forwards(lab: Lab, tmp_path: Path) -> None:
    control, door = tmp_path / "control", tmp_path / "door"
    echo = lab.popen(
        1,
        [sys.executable, "-c", "import socket; s = socket.create_server(('127.0.0.1', 5001)); "
         "print(flush=True); c, _ = s.accept(); c.sendall(c.recv(9))"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with lab.inside(), echo:
        line_of(echo)
        master = ["ssh", "-M", "-N", "-f", "-S", str(control), lab.names[1]]
        subprocess.run(master, check=True, timeout=30, stderr=subprocess.DEVNULL)
        ask = ["ssh", "-S", str(control), lab.names[1], "-O"]
        subprocess.run([*ask, "forward", "-L", f"{door}:127.0.0.1:5001"], check=True, timeout=30)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(door))
            connection.sendall(b"through")
            assert connection.recv(9) == b"through"
        subprocess.run([*ask, "exit"], check=True, timeout=30, capture_output=True)


def test_a_thread_is_inside_only_for_a_while(lab: Lab) -> None:
    path, before = os.environ["PATH"], here()
    with lab.inside():
        assert here() != before
        assert shutil.which("ssh") == str(lab.bin / "ssh")
    assert here() == before
    assert os.environ["PATH"] == path


def test_it_is_left_after_an_error_as_well(lab: Lab) -> None:
    before = here()
    with pytest.raises(ZeroDivisionError), lab.inside():
        _ = 1 / 0
    assert here() == before


def test_a_started_process_has_the_pid_that_is_told(lab: Lab) -> None:
    process = lab.popen(
        2, ["/bin/sh", "-c", "echo $$; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert int(line_of(process)) == process.pid
    assert process.pid in processes_in([f"{lab.folder.name}.kk2"])
    process.communicate()


def test_two_ranks_form_a_ring(lab: Lab, tmp_path: Path) -> None:
    hostfile = tmp_path / "ring.json"
    hostfile.write_text(json.dumps([[f"{address}:5000"] for address in lab.addresses[:2]]))
    ranks = [
        lab.popen(
            i,
            [sys.executable, "-c", RANK],
            env={**os.environ, "MLX_RANK": str(i), "MLX_HOSTFILE": str(hostfile)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    assert [rank.communicate(timeout=60)[0] for rank in ranks] == ["2 [3.0, 3.0, 3.0]\n"] * 2


def test_the_hostfile_is_one(lab: Lab) -> None:
    text = lab.hostfile(ranks_per_host=2, python={1: "/opt/python"})
    parsed = parse_hostfile(text)
    assert [(host.ssh, host.ips) for host in parsed.hosts[:3]] == [
        ("kk0", ("10.77.0.1",)),
        ("kk0", ("10.77.0.1",)),
        ("kk1", ("10.77.0.2",)),
    ]
    assert [host.ssh for host in parse_hostfile(lab.hostfile(hosts=[3, 1])).hosts] == ["kk3", "kk1"]
    assert [host.get("python") for host in json.loads(text)["hosts"]] == [
        None, None, "/opt/python", "/opt/python", None, None, None, None,
    ]  # fmt: skip


def test_another_reports_other_versions(lab: Lab) -> None:
    code = "from importlib.metadata import version as v; print(v('mlx'), v('mlx-lm'), v('numpy'))"
    own, other = (
        lab.run(1, [python, "-c", code]).stdout.split()
        for python in (sys.executable, lab.other_python(mlx="0.30.0", mlx_lm="0.28.1"))
    )
    assert other == ["0.30.0", "0.28.1", own[2]]
    assert own[:2] != other[:2]


def test_a_bare_one_has_no_kernelkit(lab: Lab) -> None:
    done = lab.run(1, [lab.bare_python(), "-c", "import kernelkit"], check=False)
    assert "No module named 'kernelkit'" in done.stderr


@pytest.mark.parametrize(("rate", "nominal"), [("100mbit", 100e6), ("1gbit", 1e9)])
def test_a_shaped_wire_has_its_rate_both_ways(breakable: Lab, rate: str, nominal: float) -> None:
    needs_iperf3()
    breakable.shape(1, rate)
    address = breakable.addresses[1]
    assert 0.85 * nominal < reached(breakable, address, 0.85 * nominal) < 1.02 * nominal
    assert 0.85 * nominal < reached(breakable, address, 0.85 * nominal, "-R") < 1.02 * nominal


def test_a_cable_is_shaped_and_unshaped(breakable: Lab) -> None:
    needs_iperf3()
    _, address = breakable.cable(0, 1)
    breakable.shape(0, "100mbit", to=1)
    assert bits_per_s(breakable, 0, 1, address) < 102e6
    breakable.unshape(0, to=1)
    assert reached(breakable, address, 200e6) > 200e6


def test_cables_are_devices_of_their_own(breakable: Lab) -> None:
    assert breakable.cable(0, 1) != breakable.cable(2, 0)
    devices = json.loads(breakable.run(0, ["ip", "-j", "address"]).stdout)
    found = {device["ifname"]: device["addr_info"][0]["local"] for device in devices}
    assert found == {"lo": "127.0.0.1", "eth0": "10.77.0.1", "en5": "10.78.1.1", "en6": "10.78.2.2"}


@pytest.mark.parametrize("delay_s", [0.002, 0.01])
def test_a_delay_is_that_long_each_way(breakable: Lab, delay_s: float) -> None:
    _, address = breakable.delay(0, 1, delay_s)
    taken_s = [round_trip_s(breakable, 0, 1, address) for _ in range(3)]  # Medians.
    assert 2 * delay_s <= min(taken_s) < 2 * delay_s + 0.0015


def test_a_delayed_line_carries_50_megabytes_a_second(breakable: Lab) -> None:
    needs_iperf3()
    _, address = breakable.delay(0, 1, 0.001)
    assert reached(breakable, address, 400e6) > 400e6


@pytest.mark.parametrize("cabled", [False, True])
def test_packets_vanish_while_a_wire_is_cut(breakable: Lab, cabled: bool) -> None:
    address = breakable.cable(0, 1)[1] if cabled else breakable.addresses[1]
    to = 0 if cabled else None
    with udp(breakable, 0, 1, address) as (sender, receiver):
        assert eventually(lambda: arrives(sender, receiver), 5.0)
        breakable.cut(1, to)
        assert not arrives(sender, receiver)
        after = [breakable.run(i, ["ip", "route"]).stdout.split() for i in (0, 1)]
        assert all("10.77.0.0/24" in routes for routes in after)
        assert all("10.78.1.0/30" in routes for routes in after) == cabled
        breakable.mend(1, to)
        assert eventually(lambda: arrives(sender, receiver), 5.0)


def test_a_connection_outlives_a_cut(breakable: Lab) -> None:
    with breakable.at(1):
        server = socket.create_server((breakable.addresses[1], 0))
    with breakable.at(0):
        client = socket.create_connection(server.getsockname())
    with server, client, server.accept()[0] as accepted:
        accepted.settimeout(0.2)
        breakable.cut(1)
        client.sendall(b"later")
        with pytest.raises(TimeoutError):
            accepted.recv(5)
        breakable.mend(1)
        accepted.settimeout(10.0)
        assert accepted.recv(5) == b"later"


def test_without_an_sshd(breakable: Lab) -> None:
    with breakable.inside():
        argv = ["ssh", "kk1", "echo up; cat"]
        session = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert line_of(session) == "up"
    breakable.stop_sshd(1)
    assert session.communicate(b"still up", timeout=10)[0] == b"still up"
    assert "Connection refused" in str(refused(breakable, "kk1"))
    breakable.start_sshd(1)
    with breakable.inside():
        assert ssh("kk1").returncode == 0


def test_locked_out(breakable: Lab) -> None:
    breakable.lock_out(1)
    assert "Permission denied (publickey)" in str(refused(breakable, "kk1"))
    breakable.let_in(1)
    with breakable.inside():
        assert ssh("kk1").returncode == 0


def test_an_unknown_host_key(breakable: Lab) -> None:
    breakable.forget_host_key(1)
    assert "Host key verification failed" in str(refused(breakable, "kk1"))


def test_a_changed_host_key(breakable: Lab) -> None:
    breakable.change_host_key(1)
    with breakable.inside():
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in ssh("kk1").stderr


def test_an_unknown_name(lab: Lab) -> None:
    assert "Could not resolve hostname" in str(refused(lab, "kk9"))


def test_everything_is_restored(lab: Lab) -> None:
    lab.cable(0, 1)
    lab.cut(1)
    lab.stop_sshd(1)
    lab.lock_out(2)
    lab.change_host_key(3)
    lab.forget_host_key(3)
    lab.restore()
    with lab.inside():
        assert [ssh(name).returncode for name in lab.names] == [0, 0, 0, 0]
    assert "en5" not in lab.run(0, ["ip", "link"]).stdout


def test_a_host_that_is_cut_off(breakable: Lab) -> None:
    breakable.cut(1)
    with breakable.inside():
        argv = ["ssh", "-o", "ConnectTimeout=1", "kk1", "true"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert any(words in done.stderr for words in ("timed out", "No route to host"))


def test_the_machines_own_network_stays_as_it_is(lab: Lab) -> None:
    before = network_of_the_machine()
    with Lab(hosts=2) as second:
        second.cable(0, 1)
        second.delay(0, 1, 0.001)
        assert network_of_the_machine() == before
    assert network_of_the_machine() == before


def test_nothing_is_left(lab: Lab) -> None:
    with Lab(hosts=2) as second:
        second.delay(0, 1, 0.001)
        with second.inside():
            sleeper = subprocess.Popen(["ssh", "kk0", "echo; sleep 100"], stdout=subprocess.PIPE)
            line_of(sleeper)
        processes = processes_in(namespaces_of(second.folder))
        assert len(processes) >= 5  # Two listeners, one relay, the session and its sleep, ssh itself.
    assert namespaces_of(second.folder) == []
    assert not second.folder.exists()
    assert all(gone(pid) for pid in processes)
    with lab.inside():  # The first one is untouched.
        assert ssh("kk0").returncode == 0
    sleeper.communicate()


def test_the_next_one_clears_what_a_killed_one_left(lab: Lab) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    folder = Path(line_of(holder))
    namespaces = namespaces_of(folder)
    processes = processes_in(namespaces)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert len(namespaces) == 4
    with Lab(hosts=1):
        assert namespaces_of(folder) == []
        assert not folder.exists()
        assert all(gone(pid) for pid in processes)
        with lab.inside():
            assert ssh("kk0").returncode == 0


def test_one_that_cannot_be_built_leaves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def present() -> set[str]:
        return {
            path.name for place in (FOLDER, lab.folder.parent) for path in place.glob(f"{owned_prefix()}*")
        }

    before = present()
    monkeypatch.setattr("tests.hosts.lab.sshd.SSHD", "/bin/false")
    with pytest.raises(LabError, match="sshd is not running"), Lab(hosts=2):
        pass
    assert present() == before
