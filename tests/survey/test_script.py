"""The script that is sent to hosts: every shell gives the same answers, whatever command is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from kernelkit.errors import HostError
from kernelkit.hosts.answers import Section, parse_machine, parse_sections
from kernelkit.hosts.machine import Machine
from kernelkit.survey.machines import script, survey
from tests.survey.macs import Mac, connect, macs
from tests.survey.standin import HERE, Standin

SHELLS = {"dash": ["dash", "-s"], "bash": ["bash", "--posix", "-s"]}
MAC_SECTIONS = {
    "clock", "system", "version", "sysctl", "vm_stat", "hardware_ports", "ifconfig", "thunderbolt",
    "rdma_ctl", "ibv_devices", "ibv_devinfo", "firewall", "fast_synch", "fast_synch_launchd", "disk",
    "clock_again",
}  # fmt: skip


def run(shell: str, path: str | None = None, name: str = "facts.sh", **variables: str) -> dict[str, Section]:
    """The script's sections, by that shell; by sh where it is not there, as on a Mac without dash."""
    argv = SHELLS[shell] if shutil.which(shell) else ["sh", "-s"]
    text = script(name, mark="m", **variables)
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, env=environment, check=True, timeout=60
    )
    assert done.stderr == ""
    return parse_sections(done.stdout, "m")


def standin_path(hosts: Standin, host: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STANDIN_HOST", str(hosts.hosts / host))
    return f"{hosts.hosts / host / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_mac_by_every_shell(shell: str, hosts: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = macs(2)
    connect(one.ports[0], other.ports[0])
    hosts.add(one)
    sections = run(shell, standin_path(hosts, "mac1", monkeypatch), python="kkpython")
    assert set(sections) == MAC_SECTIONS | {"python"}
    found = parse_machine("mac1", sections, time.time(), time.time())
    assert (found.version, found.chip, found.kind) == ("26.2", "Apple M4 Pro", "Mac mini")
    assert found.ports is not None
    assert [port.peer_uuid for port in found.ports] == [other.ports[0].uuid, None, None]
    assert found.memory_bytes == 64 * 1024**3
    assert found.python is not None
    assert found.python.package("mlx") == version("mlx")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_this_machine_by_every_shell(shell: str) -> None:
    sections = run(shell, python=sys.executable)
    found = parse_machine("here", sections, time.time(), time.time())
    assert found.system == ("Darwin" if sys.platform == "darwin" else "Linux")
    assert found.python is not None
    assert Path(found.python.executable) == Path(sys.executable)
    assert found.python.package("kernelkit") == version("kernelkit")
    assert found.memory_bytes
    assert found.free_disk_bytes
    assert any(interface.kind == "loopback" for interface in found.interfaces)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_commands_that_are_missing_are_sections_of_status_127(
    shell: str, hosts: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.add_answers("bare", {"uname": "Darwin\n", "sw_vers": "ProductVersion: 26.2\n"})
    sections = run(shell, standin_path(hosts, "bare", monkeypatch), python="/nowhere/python")
    assert set(sections) == MAC_SECTIONS | {"python"}
    gone = ("vm_stat", "thunderbolt", "hardware_ports", "rdma_ctl", "ibv_devices", "firewall", "python")
    assert {sections[name].status for name in gone} == {127}
    found = parse_machine("bare", sections, 0, 1)
    assert (found.version, found.ports, found.rdma_enabled, found.python) == ("26.2", None, None, None)


def test_python_is_left_out_where_none_is_named(hosts: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.add(Mac("mac1"))
    assert "python" not in run("dash", standin_path(hosts, "mac1", monkeypatch), python="")


def test_python_below_the_home_and_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my env").mkdir()
    (tmp_path / "my env" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("HOME", str(tmp_path))
    for shell in ("dash", "bash"):
        assert '"packages"' in run(shell, python="~/my env/python")["python"].text


def test_no_command_reads_the_rest_of_the_script(hosts: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.add(Mac("mac1"))
    thief = hosts.hosts / "mac1" / "bin" / "sw_vers"
    thief.unlink()
    thief.write_text("#!/bin/sh\ncat\necho 'ProductVersion: 26.2'\n")
    thief.chmod(0o755)
    sections = run("dash", standin_path(hosts, "mac1", monkeypatch), python="")
    assert set(sections) == MAC_SECTIONS
    assert sections["version"].text == "ProductVersion: 26.2\n"


def test_a_command_that_never_ends_costs_its_own_answer_alone(
    hosts: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.add_answers("mac1", {**Mac("mac1").answers(), "ibv_devinfo": "#hang\n"})
    path = standin_path(hosts, "mac1", monkeypatch)
    quick = script("facts.sh", mark="m", python="").replace(" 15 ", " 1 ")
    for without in ("", "timeout"):  # macOS has perl in its place.
        text = (
            quick.replace("command -v timeout", f"command -v {without or 'timeout'}_") if without else quick
        )
        done = subprocess.run(
            ["sh", "-s"], input=text, capture_output=True, text=True, timeout=30, check=True,
            env={**os.environ, "PATH": path},
        )  # fmt: skip
        sections = parse_sections(done.stdout, "m")
        assert set(sections) == MAC_SECTIONS
        assert sections["ibv_devinfo"].status in (124, 142)
        assert sections["firewall"].status == 0


def test_routes_are_asked_of_each_peer(hosts: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.add(Mac("mac1", routes={"192.168.0.2": "en2"}))
    for shell in ("dash", "bash"):
        path = standin_path(hosts, "mac1", monkeypatch)
        sections = run(shell, path, "routes.sh", peers="192.168.0.2 192.168.0.6")
        assert set(sections) == {"route 192.168.0.2", "route 192.168.0.6"}
        assert "interface: en2" in sections["route 192.168.0.2"].text
        assert sections["route 192.168.0.6"].status == 1


def test_no_flag_of_gnu_alone() -> None:
    """A list of what has been mistaken for POSIX before; the Linux branch has a few of its own."""
    for name in ("facts.sh", "routes.sh"):
        text = script(name)
        for flag in (
            "grep -P",
            "sed -i",
            "sed -r",
            "readlink -f",
            "date -d",
            "date +%N",
            "[[ ",
            "local ",
            "<<<",
            "$'",
        ):
            assert flag not in text


# By ssh.


def only(host: str, python: str = "") -> Machine:
    (found,) = survey([host], pythons={host: python}).complete()
    return found


def test_a_mac_in_one_ssh_connection(hosts: Standin) -> None:
    hosts.add(Mac("mac1", clock_ahead_s=100))
    hosts.greets("mac1", "Welcome to mac1\n@@ begin nonsense\n")
    found = only("mac1", "kkpython")
    assert found.version == "26.2"
    assert found.clock_offset_s is not None
    assert found.clock_error_s is not None
    assert abs(found.clock_offset_s - 100) <= found.clock_error_s + 0.1
    (call,) = hosts.calls()
    assert call.endswith("mac1 /bin/sh -s")
    assert "BatchMode=yes" in call


def test_the_recorded_studio_by_ssh(hosts: Standin) -> None:
    hosts.add_recorded("studio", HERE / "recorded" / "studio")
    found = only("studio")
    assert (found.kind, found.chip, found.fast_synch) == ("Mac Studio", "Apple M3 Ultra", "1")
    assert found.interface("en3") is not None


def test_hosts_are_asked_at_once_and_stay_in_order(hosts: Standin) -> None:
    names = hosts.add(*macs(4))
    said: list[str] = []
    found = survey(names, report=said.append)
    assert [machine.host for machine in found.machines] == names
    assert len(said) == 4
    assert said[-1].endswith("answered (4 of 4)")


def test_what_ssh_says_is_kept_for_each_host(hosts: Standin) -> None:
    hosts.add(Mac("mac1"))
    for name in ("denied", "refused"):
        hosts.fails(name, name)
    found = survey(["mac1", "nowhere", "denied", "refused"])
    assert [machine.host for machine in found.machines] == ["mac1"]
    got = {host: error.got for host, error in found.failures}
    assert "Could not resolve hostname nowhere" in got["nowhere"]
    assert "Permission denied" in got["denied"]
    assert "Connection refused" in got["refused"]
    with pytest.raises(HostError) as caught:
        found.complete()
    assert caught.value.what == "3 of 4 hosts cannot be used: nowhere, denied, refused"
    assert "ssh-copy-id denied" in caught.value.cure
    assert "Remote Login" in caught.value.cure


def test_one_failure_is_its_own_error(hosts: Standin) -> None:
    hosts.fails("denied", "denied")
    with pytest.raises(HostError, match="denied cannot be reached by ssh"):
        survey(["denied"]).complete()


def test_a_host_that_hangs_costs_its_own_time_only(hosts: Standin) -> None:
    hosts.add(Mac("mac1"))
    hosts.fails("stuck", "hang")
    found = survey(["stuck", "mac1"], timeout_s=3.0)
    assert [machine.host for machine in found.machines] == ["mac1"]
    assert "did not answer within 3 s" in found.failures[0][1].what


def test_a_host_that_runs_no_script_is_said(hosts: Standin) -> None:
    (hosts.hosts / "odd").mkdir()
    os.environ["STANDIN_SHELL"] = "/bin/echo"
    try:
        with pytest.raises(HostError, match="odd did not run the survey's script") as caught:
            survey(["odd"]).complete()
    finally:
        del os.environ["STANDIN_SHELL"]
    assert "exit status 0: -c /bin/sh -s" in caught.value.got


def test_an_interrupt_waits_for_nobody(hosts: Standin) -> None:
    hosts.add(Mac("mac1"))
    hosts.fails("stuck", "hang")

    def interrupted(said: str) -> None:
        raise KeyboardInterrupt(said)

    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="mac1 answered"):
        survey(["stuck", "mac1"], report=interrupted, timeout_s=60.0)
    assert time.monotonic() - began_s < 30
