"""The agent as a real process: it owns its ranks, tells how they ended, and takes them with it."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelkit.channel.connection import Keys
from kernelkit.channel.jupyter import JupyterChannel
from kernelkit.errors import HostError
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import agent_argv, ring_joins, start_specs, usual_env
from kernelkit.launch.exits import Exit
from tests.waiting import eventually, gone

HERE = "127.0.0.1"
START_S = 60.0
GONE_S = 5.0


def spec(rank: int, keys: Keys, **env: str) -> dict[str, Any]:
    one: dict[str, Any] = start_specs(2, keys.to_dict())[rank]
    return {**one, "env": env}


@pytest.fixture
def keys() -> Keys:
    return Keys.new()


@pytest.fixture
def agent() -> Iterator[Agents]:
    agent = Agents()
    yield agent
    agent.stop()


def start(agent: Agents, keys: Keys, count: int = 2) -> list[int]:
    """Start ranks and wait for all of them; gives their pids."""
    agent.start([spec(rank, keys) for rank in range(count)], [HERE] * count)
    assert agent.wait_for(lambda: len(agent.ready) == count, START_S), agent.exits
    return [agent.ready[rank]["pid"] for rank in range(count)]


def test_ranks_report_their_pid_and_ports(agent: Agents, keys: Keys) -> None:
    pids = start(agent, keys)
    assert len(set(pids)) == 2
    for event in agent.ready.values():
        ports = [event[f"{name}_port"] for name in ("shell", "iopub", "control", "stdin", "hb")]
        assert len(set(ports)) == 5
        assert all(1024 < port < 65536 for port in ports)
    assert all(psutil.Process(pid).ppid() == agent.pids[0] for pid in pids)


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
    agent = Agents()
    pids = start(agent, keys)
    agent.stop()
    agent.stop()
    assert not agent.alive
    assert all(map(gone, pids))


def test_an_agent_that_is_gone_needs_no_asking(keys: Keys) -> None:
    agent = Agents()
    agent.stop()
    agent.start([spec(0, keys)], [HERE])
    assert not agent.wait_for(lambda: bool(agent.ready), 0.05)


def test_sigkill_of_the_agent_ends_the_ranks(agent: Agents, keys: Keys) -> None:
    pids = start(agent, keys)
    os.kill(agent.pids[0], signal.SIGKILL)
    assert eventually(lambda: all(map(gone, pids)), GONE_S)


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere only the end of standard input can tell a rank"
)
def test_sigkill_of_the_agent_ends_a_rank_that_waits_for_its_peer(agent: Agents, keys: Keys) -> None:
    """MLX's `init` holds the GIL until the peer comes: no Python thread of that rank can see the end."""
    pids = start(agent, keys)
    channel = JupyterChannel(keys, agent.ready, START_S)
    try:
        ports = {rank: reserve(channel, rank) for rank in (0, 1)}
        join = ring_joins([[f"127.0.0.1:{ports[rank]}"] for rank in (0, 1)])[0]
        channel.call(0, "join", {"backend": join.backend, "env": join.env, "files": join.files})
        agent.ask(0, {"op": "await_listening", "port": ports[0], "hold": False})
        assert agent.wait_for(lambda: 0 in agent.listening, START_S)
        assert channel.ask([0], "status", {}, 0.3) == {}, "it should be blocked where nothing answers"
    finally:
        channel.close()
    os.kill(agent.pids[0], signal.SIGKILL)
    assert eventually(lambda: all(map(gone, pids)), GONE_S)


def reserve(channel: JupyterChannel, rank: int) -> int:
    request = channel.call(rank, "reserve_ports", {"addresses": ["127.0.0.1"]})
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        for message in channel.poll(0.1):
            if message.parent == request and message.kind == "execute_reply":
                answer = message.content["user_expressions"]["answer"]
                return int(answer["data"]["application/json"]["value"][0])
    raise TimeoutError


def test_a_held_rank_stands_still_until_it_is_resumed(agent: Agents, keys: Keys) -> None:
    pid = start(agent, keys, 1)[0]
    # It listens already: on its own shell port.
    port = agent.ready[0]["shell_port"]
    agent.ask(0, {"op": "await_listening", "port": port, "hold": True})
    assert agent.wait_for(lambda: 0 in agent.listening, START_S)
    assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, GONE_S)
    agent.ask(0, {"op": "resume"})
    assert eventually(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, GONE_S)


def test_usual_variables_give_way_to_the_hosts_and_those_to_the_users(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KK_HOSTS", "host")
    monkeypatch.setenv("KK_USERS", "host")
    usual = {"KK_USUAL": "usual", "KK_HOSTS": "usual", "KK_USERS": "usual"}
    agent = Agents()
    try:
        one = start_specs(1, keys.to_dict(), {"KK_USERS": "user"}, usual=usual)
        agent.start(one, [HERE])
        assert agent.wait_for(lambda: len(agent.ready) == 1, START_S), agent.exits
        environ = psutil.Process(agent.ready[0]["pid"]).environ()
    finally:
        agent.stop()
    found = {name: value for name, value in environ.items() if name.startswith("KK_")}
    assert found == {"KK_USUAL": "usual", "KK_HOSTS": "host", "KK_USERS": "user"}


def test_only_several_ranks_over_nccl_have_usual_variables() -> None:
    assert usual_env("nccl", 2) == {"MLX_USE_CUDA_GRAPHS": "0"}
    assert usual_env("nccl", 1) == usual_env("ring", 2) == usual_env("jaccl", 4) == {}


def test_a_stopped_rank_can_be_taken_down(keys: Keys) -> None:
    agent = Agents()
    pid = start(agent, keys, 1)[0]
    os.kill(pid, signal.SIGSTOP)
    agent.stop()
    assert gone(pid)


def test_a_rank_that_dies_early_is_told_with_its_status_and_last_words(agent: Agents) -> None:
    agent.start([{"rank": 3, "env": {}, "usual": {}, "boot": {}}], [HERE])
    assert agent.wait_for(lambda: 3 in agent.exits, START_S)
    exit_ = agent.exits[3]
    assert exit_.returncode == 1
    assert str(exit_) == "exit status 1"
    assert "KeyError" in exit_.stderr[-1]
    assert 3 not in agent.ready


def test_a_killed_rank_is_told_with_its_signal_and_the_others_go_on(agent: Agents, keys: Keys) -> None:
    pids = start(agent, keys)
    agent.ask(1, {"op": "kill"})
    assert agent.wait_for(lambda: 1 in agent.exits, GONE_S)
    assert agent.exits[1].returncode == -signal.SIGKILL
    assert str(agent.exits[1]) == "killed by SIGKILL"
    assert agent.alive
    assert not gone(pids[0])


def test_a_request_for_a_rank_that_is_not_there_is_let_pass(agent: Agents, keys: Keys) -> None:
    agent.ask(7, {"op": "kill"})
    start(agent, keys, 1)
    assert agent.exits == {}


def test_words_on_standard_error_before_a_rank_is_ready_do_not_hide_that_it_is(
    agent: Agents, keys: Keys
) -> None:
    """A loader's or a library's warning comes before the rank's one line of ports."""
    agent.start([spec(0, keys, PYTHONPROFILEIMPORTTIME="1")], [HERE])
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


def test_children_of_a_rank_end_with_it(agent: Agents, keys: Keys, tmp_path: Path) -> None:
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
    agent.ask(0, {"op": "kill"})
    assert eventually(lambda: gone(child), GONE_S)


_HOLDER = """
    import json, signal, sys
    from kernelkit.launch.agents import Agents
    agent = Agents()
    agent.start([json.loads(sys.stdin.readline())], ["127.0.0.1"])
    assert agent.wait_for(lambda: bool(agent.ready), 60)
    try:
        print(json.dumps([agent.pids[0], agent.ready[0]["pid"]]), flush=True)
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


# -- spoken to directly ---------------------------------------------------------------------------


class Spoken:
    """An agent of its own process, and its words in order."""

    def __init__(self, lease_s: float | None = None, **env: str) -> None:
        program = f"from kernelkit.launch.agent import Agent; Agent(lease_s={lease_s}).serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **env},
            bufsize=0,
        )
        self._rest = b""

    def ask(self, op: str, **fields: Any) -> None:
        self.write(json.dumps({"op": op, **fields}).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)

    def next(self, timeout_s: float = START_S) -> dict[str, Any]:
        """Its next event."""
        assert self.process.stdout
        while b"\n" not in self._rest:
            with selectors.DefaultSelector() as selector:
                selector.register(self.process.stdout, selectors.EVENT_READ)
                assert selector.select(timeout_s), "nothing was said in time"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the agent has ended: {self.process.stderr and self.process.stderr.read().decode()}"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(GONE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


@pytest.fixture
def speak(tmp_path: Path) -> Iterator[Callable[..., Spoken]]:
    """Start agents that find the modules which a test wrote into its folder."""
    started: list[Spoken] = []

    def speak(lease_s: float | None = None) -> Spoken:
        path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
        started.append(Spoken(lease_s, PYTHONPATH=path))
        return started[-1]

    yield speak
    for spoken in started:
        spoken.close()


def test_hello_may_be_asked_in_pieces_and_twice(speak: Callable[..., Spoken]) -> None:
    agent = speak()
    for piece in (b'{"op": "he', b'llo"}\n{"op": "alive"}\n{"op"', b': "hello"}\n'):
        agent.write(piece)
    assert [agent.next()["event"] for _ in "ab"] == ["hello", "hello"]
    assert agent.end() == 0


_TASK = """
import json, os, sys
boot = json.loads(sys.stdin.readline())
print(json.dumps({"boot": boot, "pid": os.getpid()}), flush=True)
for line in sys.stdin:
    told = json.loads(line)
    if "leave" in told:
        print("last words", file=sys.stderr)
        sys.exit(told["leave"])
    if "print" in told:
        print(told["print"], flush=True)
    print(json.dumps({"echo": told}), flush=True)
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    """The name of a module that echoes what it is told."""
    (tmp_path / "echoing.py").write_text(_TASK)
    return "echoing"


def test_a_task_gets_its_boot_line_and_answers_what_it_is_told(
    speak: Callable[..., Spoken], task: str
) -> None:
    agent = speak()
    agent.ask("task", task="t1", module=task, boot={"n": 1})
    said = agent.next()
    assert (said["event"], said["task"], said["line"]["boot"]) == ("said", "t1", {"n": 1})
    for number in (2, 3):
        agent.ask("tell", task="t1", line={"n": number})
        assert agent.next() == {"event": "said", "task": "t1", "line": {"echo": {"n": number}}}
    agent.ask("tell", task="t1", line={"leave": 4})
    ended = agent.next()
    assert (ended["event"], ended["task"], ended["returncode"]) == ("ended", "t1", 4)
    assert ended["stderr"] == ["last words"]
    agent.ask("tell", task="t1", line={"n": 5})  # it is gone, and so what
    agent.ask("hello")
    assert agent.next()["event"] == "hello"


def test_tasks_are_kept_apart_and_ended_one_by_one(speak: Callable[..., Spoken], task: str) -> None:
    agent = speak()
    pids = {}
    for name in ("a", "b"):
        agent.ask("task", task=name, module=task, boot={})
        pids[name] = agent.next()["line"]["pid"]
    agent.ask("end", task="a")
    ended = agent.next()
    assert (ended["event"], ended["task"], ended["returncode"]) == ("ended", "a", -signal.SIGKILL)
    assert gone(pids["a"])
    agent.ask("tell", task="b", line={"n": 1})
    assert agent.next()["task"] == "b"
    assert agent.end() == 0
    assert gone(pids["b"])


def test_a_task_that_does_not_start_is_told_with_its_words(speak: Callable[..., Spoken]) -> None:
    agent = speak()
    agent.ask("task", task="t", module="no_such_module", boot={})
    ended = agent.next()
    assert (ended["event"], ended["returncode"]) == ("ended", 1)
    assert "no_such_module" in ended["stderr"][-1]


@pytest.mark.parametrize("printed", ["hello", "{'a': 1}", "{", "[1]"])
def test_what_a_task_prints_beside_its_answers_harms_nobody(
    printed: str, speak: Callable[..., Spoken], task: str
) -> None:
    """A library may print what it likes; the ranks of this host hang on the same agent."""
    agent = speak()
    agent.ask("task", task="t", module=task, boot={})
    agent.next()
    agent.ask("tell", task="t", line={"print": printed})
    said = agent.next()
    assert said["line"] == {"echo": {"print": printed}}
    assert agent.process.poll() is None


def test_a_task_is_spoken_to_through_the_agents(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str, agent: Agents
) -> None:
    agent.stop()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"))
    agents = Agents()
    try:
        one = agents.task(HERE, task, {"n": 0})
        first = one.next(START_S)
        assert first is not None
        assert first["boot"] == {"n": 0}
        assert one.next(0.05) is None
        one.tell({"n": 1})
        assert one.next(START_S) == {"echo": {"n": 1}}
        one.tell({"leave": 3})
        with pytest.raises(HostError, match=r"has ended \(exit status 3\)") as caught:
            one.next(START_S)
        assert "last words" in caught.value.got
        other = agents.task(HERE, task, {})
        assert other.next(START_S) is not None
        os.kill(agents.pids[0], signal.SIGKILL)
        with pytest.raises(HostError, match="has ended"):
            other.next(START_S)
    finally:
        agents.stop()


# -- the lease ------------------------------------------------------------------------------------


def test_silence_ends_an_agent_on_a_lease_and_its_ranks(speak: Callable[..., Spoken], keys: Keys) -> None:
    agent = speak(lease_s=2.5)
    agent.ask("start", ranks=[spec(0, keys)])
    ready = agent.next()
    assert ready["event"] == "ready"
    assert eventually(lambda: agent.process.poll() is not None, 20.0)
    assert agent.process.returncode == 0
    assert eventually(lambda: gone(ready["pid"]), GONE_S)


def test_a_word_now_and_then_keeps_an_agent_on_a_lease(speak: Callable[..., Spoken]) -> None:
    agent = speak(lease_s=1.0)
    agent.ask("hello")
    agent.next()
    ends_s = time.monotonic() + 2.0
    while time.monotonic() < ends_s:
        agent.ask("alive")
        assert not eventually(lambda: agent.process.poll() is not None, 0.2)
    assert eventually(lambda: agent.process.poll() is not None, 10.0)


def test_what_ranks_and_tasks_say_does_not_renew_the_lease(
    speak: Callable[..., Spoken], tmp_path: Path
) -> None:
    (tmp_path / "chatter.py").write_text("import time\nwhile True: print('{}', flush=True); time.sleep(0.1)")
    agent = speak(lease_s=1.5)
    agent.ask("task", task="t", module="chatter", boot={})
    agent.next()
    reader = threading.Thread(target=agent.process.stdout.read, daemon=True)  # type: ignore[union-attr]
    reader.start()
    assert eventually(lambda: agent.process.poll() is not None, 10.0)
    reader.join(GONE_S)


def test_without_a_lease_silence_means_nothing(speak: Callable[..., Spoken]) -> None:
    agent = speak()
    agent.ask("hello")
    agent.next()
    assert not eventually(lambda: agent.process.poll() is not None, 1.0)


# -- grace ----------------------------------------------------------------------------------------


def test_ranks_that_have_grace_leave_by_themselves(speak: Callable[..., Spoken], keys: Keys) -> None:
    agent = speak()
    agent.ask("start", ranks=[spec(rank, keys) for rank in (0, 1)], grace_s=5.0)
    pids = [agent.next()["pid"] for _ in "ab"]
    before_s = time.monotonic()
    assert agent.end() == 0
    assert time.monotonic() - before_s < 4.0, "it waited for ranks that had left"
    assert all(map(gone, pids))


def test_a_rank_that_does_not_leave_in_its_grace_is_killed(speak: Callable[..., Spoken], keys: Keys) -> None:
    agent = speak()
    agent.ask("start", ranks=[spec(rank, keys) for rank in (0, 1)], grace_s=1.0)
    pids = [agent.next()["pid"] for _ in "ab"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    stopped = psutil.STATUS_STOPPED
    assert eventually(lambda: all(psutil.Process(pid).status() == stopped for pid in pids), GONE_S)
    before_s = time.monotonic()
    assert agent.end() == 0
    assert 0.9 < time.monotonic() - before_s < 3.0, "one grace for all ranks together"
    assert all(map(gone, pids))


def test_a_rank_that_has_grace_ends_as_a_program_does(agent: Agents, keys: Keys, tmp_path: Path) -> None:
    """What C++ has opened is closed by its destructors: an RDMA device, that is what the grace is for."""
    agent.start([spec(0, keys)], [HERE], grace_s=5.0)
    assert agent.wait_for(lambda: 0 in agent.ready, START_S)
    channel = JupyterChannel(keys, agent.ready, START_S)
    started, opened = tmp_path / "started", tmp_path / "opened"
    opened.mkdir()
    code = f"""
        import ctypes, pathlib
        libc = ctypes.CDLL(None)
        path = ctypes.create_string_buffer({str(opened)!r}.encode())
        libc.__cxa_atexit(libc.rmdir, path, None)
        pathlib.Path({str(started)!r}).touch()
    """
    try:
        channel.submit(0, textwrap.dedent(code))
        assert eventually(started.exists, START_S)
    finally:
        channel.close()
    agent.stop()
    assert not opened.exists()
