"""Probes: what they plan, and two real processes that measure a link, lose each other, or are left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kernelkit.errors import ConnectError
from kernelkit.hosts.linkfit import KIB, MIB, SIZES_BYTES, Sample, bandwidth_bytes_per_s
from kernelkit.launch.command import ring_joins
from kernelkit.rank import probe_pair, probe_tcp
from kernelkit.rank.probe_pair import GIVE, TAKE, follow, lead
from kernelkit.rank.probe_plan import Planner, lead_in_bytes
from tests.rank.probes import LocalTask
from tests.waiting import eventually, gone

MODULE = "kernelkit.rank.probe"
SIZES = [KIB, 64 * KIB, MIB, 4 * MIB]
NONCE = "5f" * 16


def walk(planner: Planner, bytes_per_s: float, budget_s: float, latency_s: float = 1e-4) -> dict[int, Any]:
    """What the planner would do on such a link, its time spent as planned."""
    steps = {}
    for size in SIZES_BYTES:
        step = steps[size] = planner.step(size, budget_s)
        if step.repeats:
            time_s = latency_s + size / bytes_per_s
            budget_s -= (
                2 * step.repeats * (time_s + lead_in_bytes(size) / bytes_per_s) + step.warm * 2 * time_s
            )
            planner.took(size, time_s)
    assert budget_s > -0.3  # nothing was paid that the budget had not
    return steps


def test_a_fast_link_is_measured_with_every_size() -> None:
    steps = walk(Planner(5e-5), 6e9, budget_s=4.5)
    assert all(step.repeats >= 3 for step in steps.values())
    assert steps[64 * MIB].repeats >= 5


def test_on_a_slow_link_the_large_sizes_are_left_out_and_their_time_is_told() -> None:
    steps = walk(Planner(1e-4), 12.5e6, budget_s=4.5)
    assert [size for size, step in steps.items() if not step.repeats] == [n * MIB for n in (8, 16, 32, 64)]
    assert steps[64 * MIB].reason == "it would take 5.37 s each way"
    assert steps[4 * MIB].repeats == 1


def test_a_link_slower_than_the_slowest_still_has_its_small_sizes() -> None:
    steps = walk(Planner(2e-2), 1e5, budget_s=4.5, latency_s=2e-2)
    assert [size for size, step in steps.items() if step.repeats] == [KIB, 16 * KIB, 64 * KIB]


def test_a_burst_that_went_for_nothing_is_not_taken_for_speed() -> None:
    planner = Planner(1e-4)
    for size, time_s in ((KIB, 1.1e-4), (MIB, 5e-3), (2 * MIB, 0.09)):
        planner.took(size, time_s)
    assert planner.predict_s(4 * MIB) == pytest.approx(0.26, rel=0.02)


class Shaped:
    """A leader's view of a link behind token buckets, one for each way, in a time of its own."""

    how = "send"
    both_ways = False

    def __init__(self, bytes_per_s: float, burst_bytes: float, latency: float = 1e-4) -> None:
        self.now_s = 0.0
        self._rate, self._burst, self._latency = bytes_per_s, burst_bytes, latency
        self._full_s = {"0>1": 0.0, "1>0": 0.0}  # when each bucket will be full
        self._ready = False  # it is on its way already

    def tell(self, op: int, amount: int) -> None:
        self._carry("0>1", 16)
        if op in (TAKE, GIVE):
            self._carry("1>0", 4)
            self._ready = True

    def hear(self) -> tuple[int, int]:
        raise AssertionError("the leader hears nothing")

    def send(self, size_bytes: int) -> None:
        self._carry("0>1", size_bytes)

    def recv(self, size_bytes: int) -> None:
        if not self._ready:
            self._carry("1>0", size_bytes)
        self._ready = False

    def _carry(self, way: str, size_bytes: int) -> None:
        full_s = max(self._full_s[way], self.now_s) + size_bytes / self._rate
        self._full_s[way] = full_s
        self.now_s += self._latency + max(0.0, full_s - self.now_s - self._burst / self._rate)


@pytest.mark.parametrize(("megabit_per_s", "burst_bytes"), [
    (100, 4e3), (100, 1e6), (1000, 2.5e5), (1000, 1e6), (10_000, 1e6), (80_000, 0),
])  # fmt: skip
def test_a_shaper_s_burst_does_not_flatter_the_link(
    monkeypatch: pytest.MonkeyPatch, megabit_per_s: float, burst_bytes: float
) -> None:
    rate = megabit_per_s * 1e6 / 8
    link = Shaped(rate, burst_bytes)
    monkeypatch.setattr(probe_pair, "perf_counter", lambda: link.now_s)
    events: list[dict[str, Any]] = []
    lead(link, SIZES_BYTES, budget_s=4.5, emit=events.append)
    fields = ("size_bytes", "seconds", "repeats", "low_s", "p90_s", "how")
    for way in ("0>1", "1>0"):
        mine = [e for e in events if e["direction"] == way and e["event"] == "sample"]
        measured = bandwidth_bytes_per_s([Sample(**{name: e[name] for name in fields}) for e in mine])
        assert measured == pytest.approx(rate, rel=0.03)
    assert link.now_s < 4.8


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_leader_and_follower_stay_in_step_when_the_budget_ends_early(
    wire: tuple[socket.socket, socket.socket],
) -> None:
    events: list[dict[str, Any]] = []
    follower = threading.Thread(target=follow, args=(probe_tcp.TcpPair(wire[1], MIB),))
    follower.start()
    lead(probe_tcp.TcpPair(wire[0], MIB), [KIB, MIB], budget_s=0.0, emit=events.append)
    follower.join(10)
    assert not follower.is_alive()
    skipped = [event for event in events if event["event"] == "skipped"]
    assert {(event["direction"], event["size_bytes"]) for event in skipped} == {
        ("0>1", KIB), ("1>0", KIB), ("0>1", MIB), ("1>0", MIB),
    }  # fmt: skip
    assert [event["size_bytes"] for event in events if event["event"] == "sample"] == [4, 4]


def test_a_stranger_without_the_nonce_is_turned_away() -> None:
    with probe_tcp.listen("127.0.0.1") as listener:
        where = listener.getsockname()
        with (
            socket.create_connection(where) as stranger,
            probe_tcp.connect("127.0.0.1", where, b"right-nonce") as friend,
        ):
            stranger.sendall(b"wrong-nonce")
            with probe_tcp.accept(listener, b"right-nonce") as accepted:
                assert accepted.getpeername() == friend.getsockname()
            assert stranger.recv(1) == b""


def test_nobody_and_nowhere_are_errors_within_their_time() -> None:
    with probe_tcp.listen("127.0.0.1") as listener:
        where = listener.getsockname()
        with pytest.raises(ConnectError, match="nobody connected"):
            probe_tcp.accept(listener, b"nonce", timeout_s=0.1)
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1 cannot connect to .*refused"):
        probe_tcp.connect("127.0.0.1", where, b"nonce")


class Two:
    """Both ends of the loopback."""

    def __init__(self) -> None:
        self.ends = [LocalTask("here", MODULE, {"rank": r, "addresses": ["127.0.0.1"]}) for r in (0, 1)]
        self.ports = [end.until("ports")[-1] for end in self.ends]

    def ask(self, *requests: dict[str, Any]) -> None:
        for end, request in zip(self.ends, requests * (2 // len(requests)), strict=True):
            end.tell(request)

    def both(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """What the leader said until both were done."""
        self.ask(*requests)
        said = [end.until("done") for end in self.ends]
        return said[0]

    def tcp(self, sizes: list[int] = SIZES, budget_s: float = 2.0) -> dict[str, Any]:
        peer = ["127.0.0.1", self.ports[0]["tcp_port"]]
        return {"op": "tcp", "peer": peer, "nonce": NONCE, "sizes_bytes": sizes, "budget_s": budget_s}

    def join(self, nonces: tuple[int, int] = (7, 7)) -> None:
        joins = ring_joins([[f"127.0.0.1:{said['ports'][0]}"] for said in self.ports])
        self.both({"op": "load", "env": {}})
        for end, join, nonce in zip(self.ends, joins, nonces, strict=True):
            files = {"env": join.env, "files": join.files}
            end.tell({"op": "join", "backend": "ring", "nonce": nonce, **files})
            end.until("joining")

    def close(self) -> None:
        for end in self.ends:
            end.end()


@pytest.fixture
def two() -> Iterator[Two]:
    ends = Two()
    try:
        yield ends
    finally:
        ends.close()


def samples(said: list[dict[str, Any]], how: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in said:
        if event["event"] == "sample":
            assert event["how"] == how
            assert 0 < event["low_s"] <= event["seconds"] <= event["p90_s"]
            found.setdefault(event["direction"], []).append(event["size_bytes"])
    return found


def test_tcp_and_mlx_are_measured_both_ways(two: Two) -> None:
    every = {"0>1": [4, *SIZES], "1>0": [4, *SIZES]}
    assert two.ports[0]["mlx"]
    assert two.ports[1]["tcp_port"] is None
    assert samples(two.both(two.tcp()), "tcp") == every
    two.join()
    for end in two.ends:
        end.until("done")
    measure = {"op": "measure", "sizes_bytes": SIZES, "budget_s": 4.0}
    assert samples(two.both(measure), "send") == every
    assert samples(two.both({**measure, "collective": True}), "all_sum") == every


def test_the_one_that_is_left_says_that_the_link_broke(two: Two) -> None:
    two.ask(two.tcp(sizes=[64 * MIB] * 200, budget_s=60.0))
    two.ends[0].until("sample")
    two.ends[1].process.kill()
    error = two.ends[0].until("error", timeout_s=10)[-1]["error"]
    assert error["type"] == "ConnectError"
    assert "the link broke" in error["what"] or "closed the connection" in error["what"]


def test_another_job_at_the_other_end_is_found_out(two: Two) -> None:
    two.join(nonces=(7, 8))
    for end in two.ends:
        assert "belongs to another job" in end.until("error")[-1]["error"]["what"]


def test_an_address_that_is_not_here_is_an_answer() -> None:
    task = LocalTask("here", MODULE, {"rank": 0, "addresses": ["192.0.2.1"]})  # TEST-NET-1, nobody's
    try:
        assert "no port of 192.0.2.1" in task.until("error")[-1]["error"]["what"]
    finally:
        task.end()


def test_end_of_input_ends_it_in_the_middle_of_a_measurement(two: Two) -> None:
    two.ask(two.tcp(sizes=[64 * MIB] * 200, budget_s=60.0))
    two.ends[0].until("sample")
    for end in two.ends:
        assert end.process.stdin
        end.process.stdin.close()
        assert end.process.wait(10) == 0


_PARENT = """
import json, os, subprocess, sys
argv = [sys.executable, "-m", "kernelkit.rank.probe"]
probe = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def tell(line):
    probe.stdin.write(json.dumps(line).encode() + b"\\n")
    probe.stdin.flush()
    return json.loads(probe.stdout.readline())
port = tell({"rank": 0, "addresses": ["127.0.0.1"]})["ports"][0]
tell({"op": "load", "env": {}})
hosts = json.dumps([[f"127.0.0.1:{port}"], ["127.0.0.1:1"]])
join = {"op": "join", "backend": "ring", "env": {"MLX_RANK": "0"}, "files": {"MLX_HOSTFILE": hosts}}
assert tell({**join, "nonce": 1})["event"] == "joining"
print(probe.pid, port, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the agent kills a probe that holds the GIL")
def test_it_ends_with_its_parent_while_mlx_waits_for_the_peer() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout
            pid, _ = map(int, parent.stdout.readline().split())
        finally:
            parent.kill()
    assert eventually(lambda: gone(pid), timeout_s=5)


def test_what_mlx_prints_stays_out_of_the_answers() -> None:
    env = {**os.environ, "MLX_RING_VERBOSE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    ) as probe:
        assert probe.stdin
        assert probe.stdout
        assert probe.stderr
        lines = [
            {"rank": 0, "addresses": ["127.0.0.1"]},
            {"op": "join", "backend": "ring", "env": {"MLX_RANK": "0"}, "nonce": 1,
             "files": {"MLX_HOSTFILE": '[["127.0.0.1:0"], ["127.0.0.1:1"]]'}},
        ]  # fmt: skip
        probe.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        probe.stdin.flush()
        assert [json.loads(probe.stdout.readline())["event"] for _ in range(2)] == ["ports", "joining"]
        assert b"ring" in probe.stderr.readline()
        os.kill(probe.pid, signal.SIGKILL)
        assert probe.stdout.read() == b""
