"""The agent as a real process: it owns its ranks, tells how they ended, and takes them with it."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelkit.channel.connection import Keys
from kernelkit.channel.jupyter import JupyterChannel
from kernelkit.launch.command import agent_argv, ring_joins, start_request
from kernelkit.launch.local import Exit, LocalAgent
from tests.waiting import eventually, gone

START_S = 60.0
GONE_S = 5.0


def spec(rank: int, keys: Keys, **env: str) -> dict[str, Any]:
    one: dict[str, Any] = start_request(2, keys.to_dict())["ranks"][rank]
    return {**one, "env": env}


@pytest.fixture
def keys() -> Keys:
    return Keys.new()


@pytest.fixture
def agent() -> Iterator[LocalAgent]:
    agent = LocalAgent()
    yield agent
    agent.stop()


def start(agent: LocalAgent, keys: Keys, count: int = 2) -> list[int]:
    """Start ranks and wait for all of them; gives their pids."""
    agent.send({"op": "start", "ranks": [spec(rank, keys) for rank in range(count)]})
    assert agent.wait_for(lambda: len(agent.ready) == count, START_S), agent.exits
    return [agent.ready[rank]["pid"] for rank in range(count)]


def test_ranks_report_their_pid_and_ports(agent: LocalAgent, keys: Keys) -> None:
    pids = start(agent, keys)
    assert len(set(pids)) == 2
    for event in agent.ready.values():
        ports = [event[f"{name}_port"] for name in ("shell", "iopub", "control", "stdin", "hb")]
        assert len(set(ports)) == 5
        assert all(1024 < port < 65536 for port in ports)
    assert all(psutil.Process(pid).ppid() == agent.pid for pid in pids)


def test_the_end_of_its_input_ends_the_ranks_and_the_agent(keys: Keys) -> None:
    """Spoken to directly, as a dropped connection would leave it: no request, just the end."""
    process = subprocess.Popen(
        agent_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"op": "start", "ranks": [spec(0, keys)]}).encode() + b"\n")
    process.stdin.flush()
    event = json.loads(process.stdout.readline())
    assert event["event"] == "ready"
    process.stdin.close()
    assert process.wait(GONE_S) == 0
    assert gone(event["pid"])
    process.stdout.close()


def test_stop_leaves_nothing_and_can_be_called_twice(keys: Keys) -> None:
    agent = LocalAgent()
    pids = start(agent, keys)
    agent.stop()
    agent.stop()
    assert not agent.alive
    assert all(map(gone, pids))


def test_an_agent_that_is_gone_needs_no_asking(keys: Keys) -> None:
    agent = LocalAgent()
    agent.stop()
    agent.send({"op": "start", "ranks": [spec(0, keys)]})
    assert not agent.wait_for(lambda: bool(agent.ready), 0.05)


def test_sigkill_of_the_agent_ends_the_ranks(agent: LocalAgent, keys: Keys) -> None:
    pids = start(agent, keys)
    os.kill(agent.pid, signal.SIGKILL)
    assert eventually(lambda: all(map(gone, pids)), GONE_S)


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere only the end of standard input can tell a rank"
)
def test_sigkill_of_the_agent_ends_a_rank_that_waits_for_its_peer(agent: LocalAgent, keys: Keys) -> None:
    """MLX's `init` holds the GIL until the peer comes: no Python thread of that rank can see the end."""
    pids = start(agent, keys)
    channel = JupyterChannel(keys, agent.ready, START_S)
    try:
        ports = {rank: reserve(channel, rank) for rank in (0, 1)}
        join = ring_joins([f"127.0.0.1:{ports[rank]}" for rank in (0, 1)])[0]
        channel.call(0, "join", {"backend": join.backend, "env": join.env, "files": join.files})
        agent.send({"op": "await_listening", "rank": 0, "port": ports[0], "hold": False})
        assert agent.wait_for(lambda: 0 in agent.listening, START_S)
        assert channel.ask([0], "status", {}, 0.3) == {}, "it should be blocked where nothing answers"
    finally:
        channel.close()
    os.kill(agent.pid, signal.SIGKILL)
    assert eventually(lambda: all(map(gone, pids)), GONE_S)


def reserve(channel: JupyterChannel, rank: int) -> int:
    request = channel.call(rank, "reserve_port", {"address": "127.0.0.1"})
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        for message in channel.poll(0.1):
            if message.parent == request and message.kind == "execute_reply":
                answer = message.content["user_expressions"]["answer"]
                return int(answer["data"]["application/json"]["value"])
    raise TimeoutError


def test_a_held_rank_stands_still_until_it_is_resumed(agent: LocalAgent, keys: Keys) -> None:
    pid = start(agent, keys, 1)[0]
    # It listens already: on its own shell port.
    port = agent.ready[0]["shell_port"]
    agent.send({"op": "await_listening", "rank": 0, "port": port, "hold": True})
    assert agent.wait_for(lambda: 0 in agent.listening, START_S)
    assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, GONE_S)
    agent.send({"op": "resume", "rank": 0})
    assert eventually(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, GONE_S)


def test_a_stopped_rank_can_be_taken_down(keys: Keys) -> None:
    agent = LocalAgent()
    pid = start(agent, keys, 1)[0]
    os.kill(pid, signal.SIGSTOP)
    agent.stop()
    assert gone(pid)


def test_a_rank_that_dies_early_is_told_with_its_status_and_last_words(agent: LocalAgent) -> None:
    agent.send({"op": "start", "ranks": [{"rank": 3, "env": {}, "boot": {}}]})
    assert agent.wait_for(lambda: 3 in agent.exits, START_S)
    exit_ = agent.exits[3]
    assert exit_.returncode == 1
    assert str(exit_) == "exit status 1"
    assert "KeyError" in exit_.stderr[-1]
    assert 3 not in agent.ready


def test_a_killed_rank_is_told_with_its_signal_and_the_others_go_on(agent: LocalAgent, keys: Keys) -> None:
    pids = start(agent, keys)
    agent.send({"op": "kill", "rank": 1})
    assert agent.wait_for(lambda: 1 in agent.exits, GONE_S)
    assert agent.exits[1].returncode == -signal.SIGKILL
    assert str(agent.exits[1]) == "killed by SIGKILL"
    assert agent.alive
    assert not gone(pids[0])


def test_a_request_for_a_rank_that_is_not_there_is_let_pass(agent: LocalAgent, keys: Keys) -> None:
    agent.send({"op": "kill", "rank": 7})
    start(agent, keys, 1)
    assert agent.exits == {}


def test_words_on_standard_error_before_a_rank_is_ready_do_not_hide_that_it_is(
    agent: LocalAgent, keys: Keys
) -> None:
    """A loader's or a library's warning comes before the rank's one line of ports."""
    agent.send({"op": "start", "ranks": [spec(0, keys, PYTHONPROFILEIMPORTTIME="1")]})
    assert agent.wait_for(lambda: bool(agent.ready or agent.exits), 15)
    assert agent.exits == {}


@pytest.mark.parametrize(
    ("returncode", "text"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "killed by SIGKILL"), (-11, "killed by SIGSEGV")],
)
def test_exits_in_words(returncode: int, text: str) -> None:
    assert str(Exit(returncode)) == text


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    """Linux names only the first and the last real-time signal."""
    nameless = next(n for n in range(1, 65) if n not in set(signal.Signals))
    assert str(nameless) in str(Exit(-nameless))


def test_children_of_a_rank_end_with_it(agent: LocalAgent, keys: Keys, tmp_path: Path) -> None:
    start(agent, keys, 1)
    channel = JupyterChannel(keys, agent.ready, START_S)
    note = tmp_path / "pid"
    code = f"""
        import pathlib, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        part = pathlib.Path({str(note)!r} + ".part")
        part.write_text(str(child.pid))
        part.rename({str(note)!r})
    """
    try:
        channel.submit(0, textwrap.dedent(code))
        assert eventually(note.exists, START_S)
    finally:
        channel.close()
    child = int(note.read_text())
    assert not gone(child)
    agent.send({"op": "kill", "rank": 0})
    assert eventually(lambda: gone(child), GONE_S)


_HOLDER = """
    import json, signal, sys
    from kernelkit.launch.local import LocalAgent
    agent = LocalAgent()
    agent.send({"op": "start", "ranks": [json.loads(sys.stdin.readline())]})
    assert agent.wait_for(lambda: bool(agent.ready), 60)
    try:
        print(json.dumps([agent.pid, agent.ready[0]["pid"]]), flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        # The signal has come; whoever shared it would be going down now.
        ended = agent.wait_for(lambda: bool(agent.exits) or not agent.alive, 0.5)
        print(json.dumps(ended), flush=True)
        sys.stdin.read()
    agent.stop()
"""


@contextlib.contextmanager
def holder(keys: Keys) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A program that holds an agent, in a process group of its own, and the pids below it."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLDER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    try:
        process.stdin.write(json.dumps(spec(0, keys)) + "\n")
        process.stdin.flush()
        yield process, json.loads(read_line(process, START_S))
    finally:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(timeout_s), "no line in time"
    return process.stdout.readline()


def test_ctrl_c_in_the_parents_terminal_touches_neither_agent_nor_ranks(keys: Keys) -> None:
    with holder(keys) as (process, pids):
        assert len({os.getpgid(pid) for pid in (process.pid, *pids)}) == 3
        os.killpg(process.pid, signal.SIGINT)
        assert json.loads(read_line(process, 30)) is False, "the agent or a rank ended"
        assert not any(map(gone, pids))


def test_sigkill_of_the_program_that_holds_the_agent_ends_all(keys: Keys) -> None:
    with holder(keys) as (process, pids):
        os.kill(process.pid, signal.SIGKILL)
        assert eventually(lambda: all(map(gone, pids)), GONE_S)
