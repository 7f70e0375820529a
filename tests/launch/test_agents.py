"""Agents on several hosts: the stand-in for ssh makes others of this machine, and fails as ssh does."""

from __future__ import annotations

import gc
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelkit.channel.connection import Keys
from kernelkit.errors import HostError
from kernelkit.hosts.agreement import Own, check_agreement
from kernelkit.launch import handle as handle_module
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import start_specs
from kernelkit.launch.handle import Handle, Heard
from kernelkit.launch.tunnel import Sockets
from tests.launch.standin import StandIn, in_front
from tests.launch.test_ssh import FAILURES
from tests.waiting import eventually, gone

HERE = "127.0.0.1"
GREET_S = 30.0
START_S = 60.0
GONE_S = 8.0

HELLO = {
    "system": str,
    "os": str,
    "mpirun": (str, type(None)),
    "cuda": bool,
    "gpu_ids": list,
    "host": str,
    "python": str,
    "executable": str,
    "versions": dict,
    "code": str,
    "folder": str,
    "cores": int,
    "addresses": dict,
    "speeds_bits_per_s": dict,
    "entered_at": str,
}


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return in_front(tmp_path / "bin", monkeypatch)


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Neither processes, nor folders, nor open files; an error's traceback may hold what it saw."""
    before, folders = children(), sockets_folders()
    yield
    assert eventually(lambda: children() <= before, GONE_S), children() - before
    gc.collect()
    assert eventually(lambda: sockets_folders() <= folders, 1.0), "a folder of sockets is left"


def children() -> set[int]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        if not gone(child.pid):
            found.add(child.pid)
    return found


def sockets_folders() -> set[str]:
    return {str(path) for path in Path(tempfile.gettempdir()).glob(f"kk-{os.getpid()}-*")}


def greet(
    hosts: Sequence[str], pythons: dict[str, str] | None = None, timeout_s: float = GREET_S
) -> dict[str, dict[str, Any]]:
    agents = Agents(hosts, pythons)
    try:
        return agents.greet(timeout_s)
    finally:
        agents.stop()


def refused(
    hosts: Sequence[str], pythons: dict[str, str] | None = None, timeout_s: float = GREET_S
) -> HostError:
    with pytest.raises(HostError) as caught:
        greet(hosts, pythons, timeout_s)
    return caught.value


# -- hello ----------------------------------------------------------------------------------------


def test_every_host_says_hello_with_all_fields(ssh: StandIn) -> None:
    hellos = greet([HERE, "mac1", "ann@mac2"])
    assert set(hellos) == {HERE, "mac1", "ann@mac2"}
    assert sorted(ssh.asked) == ["ann@mac2", "mac1"], "this machine needs no ssh"
    for hello in hellos.values():
        assert set(hello) == set(HELLO)
        for name, kind in HELLO.items():
            assert isinstance(hello[name], kind), name
        assert hello["host"] == socket.gethostname()
        assert hello["executable"] == sys.executable
        assert hello["versions"]["mlx"]
        for interface, addresses in hello["addresses"].items():
            assert not any(address.startswith("127.") for address in addresses), interface
    own = Own(hellos[HERE]["versions"]["kernelkit"], hellos[HERE]["code"], hellos[HERE]["folder"])
    assert check_agreement(hellos, own) == []


def test_where_ssh_came_in_is_said(ssh: StandIn) -> None:
    ssh.runs_the_command("export SSH_CONNECTION='10.0.0.9 50000 10.0.0.1 22'")
    hellos = greet([HERE, "mac1"])
    assert [hellos[host]["entered_at"] for host in (HERE, "mac1")] == ["", "10.0.0.1"]


@pytest.mark.parametrize(
    "greeting",
    [
        "echo Welcome to mac1",
        "echo '{\"motd\": 1}'; echo >&2 note",
        "printf 'Last login: Mon\\n\\n'",
        "printf '> '",
    ],
    ids=["a line", "JSON", "empty lines", "no end of line"],
)
def test_a_login_shell_that_greets_is_passed_over(greeting: str, ssh: StandIn) -> None:
    ssh.runs_the_command(greeting)
    assert set(greet(["mac1"], timeout_s=10)) == {"mac1"}


def test_another_hosts_python_is_run_by_its_path_with_a_space_in_it(ssh: StandIn, tmp_path: Path) -> None:
    python = tmp_path / "it's my env" / "python"
    python.parent.mkdir()
    log = tmp_path / "ran"
    python.write_text(f'#!/bin/sh\necho ran > {shlex.quote(str(log))}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for host in ("mac1", HERE):
        greet([host], {host: str(python)})
        assert log.exists(), host
        log.unlink()


def test_a_python_of_the_home_folder_there(ssh: StandIn, tmp_path: Path) -> None:
    """The notebook does not know where that is, so the shell there must be left to say."""
    python = tmp_path / "bin" / "my python"
    python.symlink_to(sys.executable)
    ssh.runs_the_command(f"export HOME={shlex.quote(str(tmp_path))}")
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert set(greet(["mac1"], {"mac1": "~/bin/my python"})) == {"mac1"}


@pytest.fixture
def short_leave(monkeypatch: pytest.MonkeyPatch) -> float:
    """So long stop waits for a host."""
    monkeypatch.setattr(handle_module, "_LEAVE_S", 0.5)
    return 0.5


@pytest.mark.usefixtures("short_leave")
def test_a_host_that_hangs_is_told_in_time_and_the_others_are_not_blamed(ssh: StandIn) -> None:
    ssh.runs_the_command('[ "$host" = slow ] && exec sleep 30')
    before_s = time.monotonic()
    error = refused(["fast", "slow"], timeout_s=2.0)
    assert time.monotonic() - before_s < 10
    assert error.what == "slow did not answer within 2 s"
    assert "ssh slow true" in error.cure


def test_stop_waits_for_all_hosts_that_hang_together(ssh: StandIn, short_leave: float) -> None:
    """As where a switch is off: four hosts, and not four times as long."""
    ssh.runs_the_command("exec sleep 30")
    agents = Agents(["mac1", "mac2", "mac3", "mac4"])
    before_s = time.monotonic()
    agents.stop()
    assert time.monotonic() - before_s < 3 * short_leave


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAILURES)
def test_a_host_that_ssh_does_not_get_to_is_told_with_words_and_cure(name: str, ssh: StandIn) -> None:
    message, cure = FAILURES[name]
    ssh.fails(message)
    before_s = time.monotonic()
    error = refused(["mac1", HERE])
    assert time.monotonic() - before_s < 5
    assert error.what == "mac1 cannot be reached by ssh"
    assert cure in error.cure
    assert message.splitlines()[-1:] == [] or message.splitlines()[-1] in error.got


def test_two_hosts_that_fail_at_once_are_one_error(ssh: StandIn) -> None:
    ssh.runs_the_command(
        'case "$host" in mac1) echo "mac1: Permission denied (publickey)." >&2; exit 255 ;; '
        'mac2) echo "ssh: connect to host mac2 port 22: Connection refused" >&2; exit 255 ;; esac'
    )
    error = refused(["mac1", HERE, "mac2"])
    assert error.what.startswith("2 hosts cannot be used: ")
    for words in ("mac1", "mac2", "Permission denied (publickey)", "Connection refused", "ssh-copy-id mac1"):
        assert words in str(error)
    assert "Remote Login" in error.cure
    assert HERE not in error.what


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_host_without_that_python_is_told(ssh: StandIn, shell: str) -> None:
    ssh.runs_the_command(shell=shell)
    error = refused(["mac1"], {"mac1": "/no/such/python"})
    assert error.what == "mac1 has no Python at that path"
    assert "/no/such/python" in error.got
    assert "--python" in error.cure
    assert '"python"' in error.cure


def test_this_machine_without_that_python_is_told() -> None:
    error = refused([HERE], {HERE: "/no/such/python"})
    assert "/no/such/python" in str(error)
    assert "--python" in error.cure


def test_a_machine_without_ssh_says_so_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused([HERE, "mac1"])
    assert "ssh" in error.what


def test_a_python_without_kernelkit_is_told(ssh: StandIn, tmp_path: Path) -> None:
    python = tmp_path / "bare"
    python.write_text(f'#!/bin/sh\ncd /\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    error = refused(["mac1"], {"mac1": str(python)})
    assert "the Python on mac1 lacks what the agent needs" in error.what
    assert "kernelkit" in error.got
    assert "pip install kernelkit" in error.cure


def test_a_python_that_breaks_otherwise_is_told_with_its_words(ssh: StandIn, tmp_path: Path) -> None:
    python = tmp_path / "broken"
    python.write_text("#!/bin/sh\necho 'dyld: Library not loaded' >&2\nkill -KILL $$\n")
    python.chmod(0o755)
    error = refused(["mac1"], {"mac1": str(python)})
    assert "mac1" in error.what
    assert "dyld: Library not loaded" in error.got


# -- ranks there ----------------------------------------------------------------------------------


@pytest.fixture
def pair(ssh: StandIn) -> Iterator[tuple[Agents, list[int]]]:
    """A rank on each of two hosts, and their pids."""
    agents = Agents(["mac1", "mac2"])
    try:
        agents.start(start_specs(2, Keys.new().to_dict()), ["mac1", "mac2"])
        assert agents.wait_for(lambda: len(agents.ready) == 2, START_S), agents.exits
        yield agents, [agents.ready[rank]["pid"] for rank in (0, 1)]
    finally:
        agents.stop()


def test_each_rank_is_started_by_its_own_hosts_agent(pair: tuple[Agents, list[int]]) -> None:
    agents, pids = pair
    parents = [psutil.Process(pid).parent() for pid in pids]
    assert parents[0] != parents[1]
    assert agents.host_name(0, "own") == "mac1"
    assert agents.host_name(1, "own") == "mac2"


def test_a_rank_that_died_there_is_told_by_the_name_that_the_user_knows(
    pair: tuple[Agents, list[int]],
) -> None:
    agents, pids = pair
    os.kill(pids[1], signal.SIGKILL)
    assert agents.wait_for(lambda: 1 in agents.exits, GONE_S)
    assert (agents.exits[1].host, agents.exits[1].returncode) == ("mac2", -signal.SIGKILL)
    assert 0 not in agents.exits


def test_a_connection_that_ends_takes_its_hosts_ranks_and_no_others(
    pair: tuple[Agents, list[int]],
) -> None:
    agents, pids = pair
    os.killpg(agents.pids[0], signal.SIGKILL)  # ssh, and here the shell and the agent behind it
    assert agents.wait_for(lambda: 0 in agents.exits, GONE_S)
    assert agents.exits[0].host == "mac1"
    assert agents.exits[0].told
    assert eventually(lambda: gone(pids[0]), GONE_S)
    assert 1 not in agents.exits
    assert not gone(pids[1])


def test_stop_ends_all_hosts_ranks(ssh: StandIn) -> None:
    agents = Agents(["mac1", "mac2"])
    agents.start(start_specs(2, Keys.new().to_dict()), ["mac1", "mac2"])
    assert agents.wait_for(lambda: len(agents.ready) == 2, START_S)
    pids = [agents.ready[rank]["pid"] for rank in (0, 1)]
    agents.stop()
    agents.stop()
    assert eventually(lambda: all(map(gone, pids)), GONE_S)
    assert sockets_folders() == set()


def test_ranks_for_an_agent_that_has_gone_meanwhile_are_told_as_lost(ssh: StandIn) -> None:
    agents = Agents([HERE, "mac1"])
    try:
        agents.greet(GREET_S)
        os.killpg(agents.pids[1], signal.SIGKILL)
        # Its end is known then: nobody will tell of it once more.
        assert eventually(lambda: not agents._handles["mac1"]._reader.is_alive(), GONE_S)
        agents.start(start_specs(2, Keys.new().to_dict()), [HERE, "mac1"])
        assert agents.wait_for(lambda: 1 in agents.exits, 5.0)
    finally:
        agents.stop()


def test_open_files_go_with_the_agents(ssh: StandIn) -> None:
    def count() -> int:
        return psutil.Process().num_fds()

    greet([HERE, "mac1"])
    gc.collect()
    before = count()
    for _ in range(3):
        greet([HERE, "mac1"])
    gc.collect()
    assert count() <= before


# -- one agent's words ----------------------------------------------------------------------------


def lost(script: str, remote: bool = True) -> tuple[Heard, Handle]:
    heard = Heard()
    handle = Handle("mac1", ["/bin/sh", "-c", f"read _; {script}"], heard, remote=remote)
    handle.ranks.add(0)
    handle.tasks.add("task0")
    handle.send({"op": "go"})
    return heard, handle


@pytest.mark.parametrize(
    "line", ['{"event": "exit", "rank": 1, "retur', '{"event"'], ids=["in the middle", "at once"]
)
def test_a_line_that_a_lost_connection_has_cut_hides_nothing(line: str) -> None:
    """The reader must live on to tell that the ranks are lost."""
    heard, handle = lost(
        f"printf %s {shlex.quote(line)}; echo 'Timeout, server not responding.' >&2; exit 255"
    )
    try:
        assert heard.wait_for(lambda: 0 in heard.exits and "task0" in heard.tasks_ended, 5.0)
        assert heard.exits[0].told == (
            "the ssh connection to mac1 has ended (Timeout, server not responding.)"
        )
    finally:
        handle.close()
        handle.wait()


def test_the_end_of_ssh_itself_and_of_the_agent_are_told_apart() -> None:
    heard, handle = lost("echo 'Traceback: boom' >&2; exit 1")
    try:
        assert heard.wait_for(lambda: 0 in heard.exits, 5.0)
        assert heard.exits[0].told == "the agent that started it has ended (exit status 1)"
        assert heard.exits[0].stderr == ["Traceback: boom"]
    finally:
        handle.close()
        handle.wait()


def test_folders_of_killed_notebooks_are_removed_and_others_kept() -> None:
    base = Path(tempfile.gettempdir())
    ended = subprocess.Popen(["true"])
    ended.wait()
    abandoned, living, other = (base / f"kk-{n}-test" for n in (ended.pid, os.getpid(), "notes"))
    made = [abandoned, living, other]
    for folder in made:
        folder.mkdir(exist_ok=True)
    try:
        Sockets().close()
        assert [folder.exists() for folder in made] == [False, True, True]
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_that_another_notebook_removes_meanwhile_trips_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    abandoned = Path(tempfile.gettempdir()) / f"kk-{ended.pid}-test"
    abandoned.mkdir()

    def pid_exists(_: int) -> bool:
        shutil.rmtree(abandoned, ignore_errors=True)
        return False

    monkeypatch.setattr(psutil, "pid_exists", pid_exists)
    Sockets().close()
