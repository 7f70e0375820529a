"""What goes wrong with hosts: each fault has its error with host and cure, in time, and leaves nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.cluster import joining
from kernelkit.errors import (
    CellInterruptedError,
    ConnectError,
    GroupError,
    HostError,
    KernelkitError,
    RankLostError,
    RankStuckError,
)
from kernelkit.launch import agents, ssh
from kernelkit.launch.command import Join, ring_joins
from kernelkit.launch.handle import Handle, Heard
from tests.hosts.clusters import (
    SUM,
    agent_pid,
    handle_of,
    hostfile_of,
    left,
    rank_pid,
    short_lease,
    values,
)
from tests.hosts.conftest import Start
from tests.hosts.lab import Lab
from tests.magics.conftest import Notebook
from tests.waiting import ctrl_c_after, eventually, gone

LEASE_S = 2.0
LOOP = """
import time
end = time.time() + {seconds}
while mx.distributed.all_sum(mx.array(float(time.time() < end))).item():
    time.sleep(0.02)
"""


@dataclass(frozen=True)
class Took:
    """An error, and how long it took to come."""

    error: KernelkitError
    seconds: float


def fails(do: Callable[[], object], kind: type[KernelkitError], within_s: float) -> Took:
    started_s = time.monotonic()
    with pytest.raises(kind) as caught:
        do()
    seconds = time.monotonic() - started_s
    print(f"{seconds:.1f} s: {caught.value}")
    assert type(caught.value) is kind
    assert seconds < within_s
    return Took(caught.value, seconds)


def kk1_fails(start: Start, kind: type[KernelkitError], within_s: float, **how: Any) -> KernelkitError:
    """The error of a connect to kk0 and kk1, which must say that it is kk1."""
    error = fails(lambda: start(0, 1, **how), kind, within_s).error
    assert "kk1" in error.what
    assert "kk0" not in str(error)
    assert error.cure
    return error


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh gives a connection up after some 2 s; by itself it takes 15 to 20."""
    sooner = ("ConnectTimeout=2", "ServerAliveInterval=1", "ServerAliveCountMax=1")
    options = [part for option in sooner for part in ("-o", option)]
    monkeypatch.setattr(ssh, "OPTIONS", (*options, *ssh.OPTIONS))  # the first ones count


@pytest.fixture
def leased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python whose agents leave after two seconds' silence, which the notebook breaks often enough."""
    monkeypatch.setattr(agents, "_BEAT_S", LEASE_S / 8)
    return short_lease(tmp_path, LEASE_S)


# -- ssh does not get there -----------------------------------------------------------------------

Break = Callable[[Lab], object]

SSH_FAULTS: dict[str, tuple[Break, str, str]] = {
    "sshd refuses": (lambda lab: lab.stop_sshd(1), "Connection refused", "start sshd"),
    "wrong key": (lambda lab: lab.lock_out(1), "Permission denied", "ssh-copy-id kk1"),
    "unknown host key": (lambda lab: lab.forget_host_key(1), "No ED25519 host key is known", "ssh kk1 in"),
    "changed host key": (
        lambda lab: lab.change_host_key(1),
        "has changed",
        "known_hosts",
    ),
}


@pytest.mark.parametrize("fault", SSH_FAULTS)
def test_a_host_that_ssh_does_not_reach(fault: str, inside: Lab, start: Start) -> None:
    breaks, got, cure = SSH_FAULTS[fault]
    breaks(inside)
    error = kk1_fails(start, HostError, 10.0)
    assert error.what == "kk1 cannot be reached by ssh"
    assert got in error.got
    assert cure in error.cure


def test_a_host_that_nobody_knows(start: Start) -> None:
    error = fails(lambda: start(hosts="kk0,kk9"), HostError, 10.0).error
    assert error.what == "kk9 cannot be reached by ssh"
    assert "check the name" in error.cure


def test_two_hosts_at_once_are_both_told(inside: Lab, start: Start) -> None:
    inside.lock_out(1)
    inside.stop_sshd(2)
    error = fails(lambda: start(0, 1, 2, 3), HostError, 10.0).error
    assert error.what.startswith("2 hosts cannot be used: kk1 cannot be reached by ssh; kk2 ")
    assert "Permission denied" in error.got
    assert "Connection refused" in error.got
    assert "ssh-copy-id kk1" in error.cure
    assert "start sshd" in error.cure


def test_a_machine_without_ssh(
    inside: Lab, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mixed.json"
    path.write_text(hostfile_of({"127.0.0.1": [inside.controller], "kk1": [inside.addresses[1]]}))
    monkeypatch.setenv("PATH", str(tmp_path))
    error = fails(lambda: start(hostfile=path), HostError, 5.0).error
    assert "kk1" in error.what
    assert "no `ssh` on this machine" in str(error)


# -- what is there is not what it should be -------------------------------------------------------

PYTHON_FAULTS: dict[str, tuple[Callable[[Lab], str], str, str]] = {
    "no such path": (lambda lab: "/nowhere/python", "kk1 has no Python at that path", "--python PATH"),
    "without kernelkit": (lambda lab: lab.bare_python(), "the Python on kk1 lacks", "pip install kernelkit"),
    "another mlx": (lambda lab: lab.other_python(mlx="0.30.0"), "mlx 0.30.0 on kk1", "pip install 'mlx"),
    "another mlx-lm": (lambda lab: lab.other_python(mlx_lm="0.1"), "mlx-lm 0.1 on kk1", "'mlx-lm=="),
    "another kernelkit": (lambda lab: lab.other_python(kernelkit="9.9"), "kernelkit 9.9 on kk1", "ssh kk1 "),
}


@pytest.mark.parametrize("fault", PYTHON_FAULTS)
def test_a_python_that_will_not_do(fault: str, inside: Lab, start: Start) -> None:
    python, what, cure = PYTHON_FAULTS[fault]
    error = kk1_fails(start, HostError, 10.0, pythons={1: python(inside)})
    assert what in error.what
    assert cure in error.cure


def test_no_python_on_this_machine(inside: Lab, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "local.json"
    host = {"ssh": "127.0.0.1", "ips": [inside.controller], "python": "/nowhere/python"}
    path.write_text(json.dumps([host]))
    error = fails(lambda: start(hostfile=path), HostError, 5.0).error
    assert error.what == "127.0.0.1 has no Python at that path"


@pytest.mark.parametrize(
    "greeting", ["echo hello", "printf '\\033]0;title\\007'"], ids=["a line", "no end of line"]
)
def test_a_login_shell_that_greets(greeting: str, inside: Lab, start: Start) -> None:
    startup = inside.folder / "kk1" / "home" / ".bashrc"
    startup.write_text(f"{greeting}\n")
    try:
        assert values(start(0, 1).run(SUM)) == ["3", "3"]
    finally:
        startup.unlink()


def test_an_sshd_that_does_not_forward(inside: Lab, start: Start) -> None:
    keys = inside.folder / "kk1" / "authorized_keys"
    keys.write_text(f"no-port-forwarding {keys.read_text()}")
    error = kk1_fails(start, ConnectError, 20.0)
    assert error.what == "ssh could not forward to kk1"
    assert "AllowTcpForwarding yes" in error.cure


# -- addresses and ports --------------------------------------------------------------------------


def hosts_with(lab: Lab, folder: Path, second: str) -> Path:
    """A hostfile in which kk1 has another address."""
    path = folder / "hostfile.json"
    path.write_text(hostfile_of({"kk0": [lab.addresses[0]], "kk1": [second]}))
    return path


def test_an_address_that_the_host_does_not_have(inside: Lab, start: Start, tmp_path: Path) -> None:
    path = hosts_with(inside, tmp_path, "10.99.0.7")
    error = fails(lambda: start(hostfile=path), HostError, 15.0).error
    assert error.what.startswith("the host of rank 1 has no address 10.99.0.7")
    assert f"{inside.addresses[1]} (eth0)" in error.got
    assert "mend the ips" in error.cure


def test_an_address_that_the_others_do_not_reach(inside: Lab, start: Start, tmp_path: Path) -> None:
    inside.run(1, ["ip", "address", "add", "10.99.0.7/32", "dev", "lo"])
    try:
        path = hosts_with(inside, tmp_path, "10.99.0.7")
        error = fails(lambda: start(hostfile=path), HostError, 15.0).error
    finally:
        inside.run(1, ["ip", "address", "del", "10.99.0.7/32", "dev", "lo"])
    assert error.what == "rank 0 cannot reach rank 1 at 10.99.0.7: Network is unreachable"
    assert "a route" in error.cure


@pytest.mark.parametrize("hosts", ["127.0.0.1,kk1", "localhost,kk1"])
def test_this_machine_by_a_name_of_its_own(hosts: str, start: Start) -> None:
    """Others cannot reach its 127.0.0.1, so an address that they can is looked for."""
    assert values(start(hosts=hosts).run(SUM)) == ["3", "3"]


class Hoarder:
    """Takes all the ports that kk1 has for MLX to listen on; 127.0.0.1 has its own."""

    _OPTION = "net.ipv4.ip_local_port_range"

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._taken: list[socket.socket] = []
        self._before = lab.run(1, ["sysctl", "-n", self._OPTION]).stdout.strip()
        lab.run(1, ["sysctl", "-w", f"{self._OPTION}=50000 50099"])

    def take(self) -> None:
        with self._lab.at(1):
            self._taken = [
                socket.create_server((self._lab.addresses[1], port)) for port in range(50000, 50100)
            ]

    def let_go(self) -> None:
        while self._taken:
            self._taken.pop().close()

    def close(self) -> None:
        self.let_go()
        self._lab.run(1, ["sysctl", "-w", f"{self._OPTION}={self._before}"])


def test_no_port_is_free_for_mlx(inside: Lab, start: Start) -> None:
    """It is tried three times, with new ranks."""
    with closing(Hoarder(inside)) as hoarder:

        def report(said: str) -> None:
            hoarder.let_go()
            if said == "forming the group":
                hoarder.take()

        error = fails(lambda: start(0, 1, report=report), GroupError, 30.0).error
    assert f"rank 1 finds no free port on {inside.addresses[1]}" in error.what


def test_no_port_is_free_at_all(inside: Lab, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then sshd has none to reach a rank from, and says so, be it read after the connection's end."""
    read = Handle._read_errors

    def late(self: Handle) -> None:
        assert self._process.stderr
        select.select([self._process.stderr], [], [])
        time.sleep(0.3)
        read(self)

    monkeypatch.setattr(Handle, "_read_errors", late)
    with closing(Hoarder(inside)) as hoarder:
        hoarder.take()
        error = kk1_fails(start, ConnectError, 20.0)
    assert error.what == "ssh could not forward to kk1"
    assert "connect failed" in error.got
    assert "a free port" in error.cure


class Thief:
    """Takes the port that rank 1 was to have, on its host, in the first try."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.taken: list[socket.socket] = []

    def __call__(self, addresses: Sequence[Sequence[str]]) -> list[Join]:
        addresses = list(addresses)
        if not self.taken:
            with self._lab.at(1):
                self.taken.append(socket.create_server((self._lab.addresses[1], 0)))
            addresses[1] = ["{}:{}".format(*self.taken[0].getsockname())]
        return ring_joins(addresses)

    def close(self) -> None:
        for one in self.taken:
            one.close()


def test_a_port_that_is_taken_before_mlx_has_it(
    inside: Lab, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(joining, "JOIN_TIMEOUT_S", 6.0)
    with closing(Thief(inside)) as thief:
        monkeypatch.setattr(joining, "ring_joins", thief)
        cluster = start(0, 1, report=said.append)
    assert said.count("the group did not form; trying with new ranks and ports") == 1
    assert values(cluster.run(SUM)) == ["3", "3"]


# -- while it connects ----------------------------------------------------------------------------

STAGES = {
    "reaching kk0, kk1": HostError,
    "starting 2 ranks on 2 hosts": RankLostError,
    "forming the group": RankLostError,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.usefixtures("quick")
def test_a_host_that_vanishes_during_connect(stage: str, inside: Lab, start: Start, leased: str) -> None:
    def cut(said: str) -> None:
        if said == stage:
            inside.cut(1)

    error = kk1_fails(start, STAGES[stage], 15.0, pythons={1: leased}, report=cut)
    assert "not responding" in str(error) or "timed out" in str(error)


@pytest.mark.usefixtures("quick")
def test_a_host_that_vanishes_while_its_ranks_are_reached(
    inside: Lab, start: Start, leased: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: agents.Agents) -> Any:
        inside.cut(1)
        return reach(self)

    reach = agents.Agents.connect
    monkeypatch.setattr(agents.Agents, "connect", cut)
    error = kk1_fails(start, RankLostError, 15.0, pythons={1: leased})
    assert "not responding" in str(error)


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_during_connect_leaves_nothing(stage: str, inside: Lab, start: Start) -> None:
    def interrupt(said: str) -> None:
        if said == stage:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(0, 1, report=interrupt)
    assert left(inside) == {}


def test_ctrl_c_between_two_agents_leaves_nothing(
    inside: Lab, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def interrupt(host: str, *arguments: Any, **options: Any) -> Handle:
        if started:
            raise KeyboardInterrupt
        started.append(host)
        return Handle(host, *arguments, **options)

    monkeypatch.setattr(agents, "Handle", interrupt)
    with pytest.raises(KeyboardInterrupt) as held:  # as a notebook holds the latest traceback
        start(0, 1)
    assert held.type is KeyboardInterrupt
    assert started == ["kk0"]
    assert left(inside) == {}


def test_ctrl_c_in_the_magic_says_so(inside: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While ranks are there and the notebook waits for one of them."""
    reached = threading.Event()

    def wait(self: agents.Agents) -> Any:
        reached.set()
        while True:
            time.sleep(0.05)

    monkeypatch.setattr(agents.Agents, "connect", wait)
    path = tmp_path / "hosts.json"
    path.write_text(inside.hostfile())
    notebook = Notebook()
    assert notebook.run("%load_ext kernelkit").error is None

    presser = ctrl_c_after(reached)
    ran = notebook.run(f"%cluster connect --hostfile {path}")
    presser.join()
    assert isinstance(ran.error, CellInterruptedError)
    assert "nothing was started" in str(ran.error)
    assert left(inside) == {}
    notebook.run("%unload_ext kernelkit")


# -- while a cell runs ----------------------------------------------------------------------------


def later(seconds: float, *does: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, lambda: [do() for do in does])
    timer.start()
    return timer


def test_ssh_by_itself_gives_a_connection_up_within_20_s() -> None:
    """The tests let it do so sooner."""
    settings = dict(option.split("=") for option in ssh.OPTIONS[1::2])
    assert int(settings["ServerAliveInterval"]) * (int(settings["ServerAliveCountMax"]) + 1) <= 20
    assert int(settings["ConnectTimeout"]) <= 20


@pytest.mark.usefixtures("quick")
def test_hosts_that_are_cut_off_in_mid_cell(inside: Lab, start: Start, leased: str) -> None:
    """kk1 is in Python, kk3 in a collective."""
    cluster = start(0, 1, 2, 3, pythons={1: leased, 3: leased})
    cluster.run("mine = mx.full((2,), rank)")
    pids = [rank_pid(cluster, rank) for rank in range(4)]
    cell = "if rank in (1, 2): __import__('time').sleep(60)\nmx.eval(mx.distributed.all_sum(mx.ones(1)))"
    later(1.0, lambda: inside.cut(1), lambda: inside.cut(3))
    took = fails(lambda: cluster.run(cell), RankLostError, 10.0)
    assert "kk1" in took.error.what or "kk3" in took.error.what
    assert "the ssh connection to kk" in took.error.what
    assert "%cluster recover" in took.error.cure
    assert eventually(lambda: gone(pids[1]) and gone(pids[3]), LEASE_S + 3.0)  # their leases are over
    assert not any(gone(pids[rank]) for rank in (0, 2))
    assert cluster.state.startswith("failed: ")
    assert eventually(lambda: sum("gone" in rank.doing for rank in cluster.status().ranks) == 2, 5.0)
    before_s = time.monotonic()
    assert [rank.host for rank in cluster.status().ranks if "gone" in rank.doing] == ["kk1", "kk3"]
    assert time.monotonic() - before_s < 2.0


@pytest.mark.usefixtures("quick")
def test_recover_waits_for_the_network_and_keeps_the_variables(
    inside: Lab, start: Start, leased: str
) -> None:
    cluster = start(0, 1, pythons={1: leased})
    cluster.run("mine = [rank]")
    inside.cut(1)
    fails(lambda: cluster.run("__import__('time').sleep(60)"), RankLostError, 15.0)
    error = fails(cluster.recover, HostError, 15.0).error
    assert error.what == "kk1 cannot be reached by ssh"
    assert error.cure == "is kk1 awake, and on the same network?"
    assert cluster.state == "stopped"
    inside.mend(1)
    recovery = cluster.recover()
    assert recovery.carried[0] == ["mine"]
    assert "kk1" in recovery.left[1][""]
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_a_cell_goes_on_after_a_short_cut(inside: Lab, start: Start) -> None:
    cluster = start(0, 1)
    later(0.5, lambda: inside.cut(1))
    later(2.5, lambda: inside.mend(1))
    cluster.run(LOOP.format(seconds=2.6), timeout_s=30)
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_a_pulled_cable_is_a_rank_that_does_not_move(inside: Lab, start: Start, tmp_path: Path) -> None:
    """ssh goes another way, so only the ranks are cut off from each other."""
    here, there = inside.cable(0, 1)
    path = tmp_path / "cabled.json"
    path.write_text(hostfile_of({"kk0": [here], "kk1": [there]}))
    cluster = start(hostfile=path)
    cluster.stuck_s = 2.0
    later(0.5, lambda: inside.cut(0, to=1))
    error = fails(lambda: cluster.run(LOOP.format(seconds=60)), RankStuckError, 15.0).error
    assert "has not moved for 2 s" in error.what
    assert cluster.state.startswith("failed: ")


def kill_ssh(cluster: Cluster) -> None:
    os.kill(handle_of(cluster, "kk1").pid, signal.SIGKILL)


def kill_agent(cluster: Cluster) -> None:
    os.kill(agent_pid(cluster, 1), signal.SIGKILL)


def kill_rank(cluster: Cluster) -> None:
    os.kill(rank_pid(cluster, 1), signal.SIGKILL)


@pytest.fixture
def mended(start: Start) -> Iterator[Cluster]:
    """Two hosts; whatever the test breaks can be recovered from."""
    cluster = start(0, 1)
    cluster.push(x=1)
    yield cluster
    assert eventually(lambda: cluster.state.startswith("failed"))
    assert len(cluster.status().ranks) == 2
    assert cluster.recover().carried[0] == ["x"]
    assert values(cluster.run(SUM)) == ["3", "3"]


@pytest.mark.parametrize(
    ("kill", "why", "shown"),
    [
        (kill_ssh, "the ssh to kk1 has ended (killed by SIGKILL)", ""),
        (kill_agent, "the agent that started it was killed", ""),
        (kill_rank, "its process ended (killed by SIGKILL)", "killed by SIGKILL"),
    ],
    ids=["its ssh", "its agent", "the rank"],
)
def test_a_process_of_a_rank_is_killed(
    kill: Callable[[Cluster], None], why: str, shown: str, mended: Cluster
) -> None:
    later(0.5, lambda: kill(mended))
    took = fails(lambda: mended.run("if rank == 0: __import__('time').sleep(60)"), RankLostError, 5.0)
    assert took.error.what == f"rank 1 on kk1 is gone: {why}"
    assert "%cluster recover" in took.error.cure
    row = mended.status().ranks[1]
    assert (row.host, row.doing) == ("kk1", f"gone ({shown or why})")


def test_an_sshd_that_stops_later_does_no_harm(inside: Lab, start: Start) -> None:
    cluster = start(0, 1)
    inside.stop_sshd(1)
    assert values(cluster.run(SUM)) == ["3", "3"]
    fails(cluster.restart, HostError, 10.0)
    assert cluster.state == "stopped"
    inside.start_sshd(1)
    cluster.restart()
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_an_agent_that_ends_in_mid_word_is_told() -> None:
    """What comes through a connection that breaks may end anywhere."""
    heard = Heard()
    handle = Handle("kk1", ["sh", "-c", 'read line; printf \'{"event": "ex\''], heard, remote=True)
    handle.ranks.add(0)
    handle.send({})
    assert heard.wait_for(lambda: 0 in heard.exits, 5.0)
    handle.close()
    handle.wait()


def test_stop_does_not_wait_for_one_host_after_the_other(inside: Lab, start: Start, leased: str) -> None:
    cluster = start(0, 1, 2, 3, pythons=dict.fromkeys((1, 2, 3), leased))
    for host in (1, 2, 3):
        inside.cut(host)
    before_s = time.monotonic()
    cluster.stop()
    assert time.monotonic() - before_s < 8.0
