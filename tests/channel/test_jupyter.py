"""The channel to real ranks: it carries code, values and interrupts, and it keeps strangers out.

The ranks here form no group: what they do with MLX is no matter of the channel's.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from jupyter_client.client import KernelClient
from jupyter_core.paths import jupyter_runtime_dir
from zmq.utils.monitor import recv_monitor_message

from kernelkit.channel.base import Message, answer_of
from kernelkit.channel.connection import Keys
from kernelkit.channel.jupyter import JupyterChannel
from kernelkit.errors import ConnectError
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import start_specs
from tests.waiting import eventually

START_S = 60.0
ANSWER_S = 20.0


@dataclass
class Ranks:
    """Two ranks, the channel to them, and what an intruder would like to have."""

    agent: Agents
    channel: JupyterChannel
    keys: Keys

    def wait(self, request: str) -> list[Message]:
        """All messages of a request, until it is over."""
        messages: list[Message] = []
        deadline_s = time.monotonic() + ANSWER_S
        while sum(m.ends_request for m in messages) < 2:
            assert time.monotonic() < deadline_s, messages
            messages += [m for m in self.channel.poll(0.1) if m.parent == request]
        return messages

    def run(self, rank: int, code: str) -> list[Message]:
        return self.wait(self.channel.submit(rank, code))

    def value(self, rank: int, code: str) -> str:
        return "".join(
            m.content["data"]["text/plain"] for m in self.run(rank, code) if m.kind == "execute_result"
        )


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    keys = Keys.new()
    agent = Agents()
    try:
        agent.start(start_specs(2, keys.to_dict()), ["127.0.0.1"] * 2)
        assert agent.wait_for(lambda: len(agent.ready) == 2, START_S), agent.exits
        channel = JupyterChannel(keys, agent.ready, START_S)
        yield Ranks(agent, channel, keys)
        channel.close()
    finally:
        agent.stop()


# -- what it carries ------------------------------------------------------------------------------


def test_code_runs_on_the_rank_it_was_sent_to(ranks: Ranks) -> None:
    assert ranks.value(0, "rank") == "0"
    assert ranks.value(1, "rank") == "1"


def test_messages_name_their_rank_and_request_and_end_with_reply_and_idle(ranks: Ranks) -> None:
    request = ranks.channel.submit(1, "print('hi')")
    messages = ranks.wait(request)
    assert {m.rank for m in messages} == {1}
    assert [m.content["text"] for m in messages if m.kind == "stream"] == ["hi\n"]
    assert sorted(m.kind for m in messages if m.ends_request) == ["execute_reply", "status"]


def test_the_cells_number_is_the_notebooks(ranks: Ranks) -> None:
    messages = ranks.wait(ranks.channel.submit(0, "1/0", cell=4711))
    (error,) = [m.content for m in messages if m.kind == "error"]
    colourless = re.sub(r"\x1b\[[\d;]*m", "", "".join(error["traceback"]))
    assert "Cell In[4711], line 1" in colourless


def test_operations_answer_with_buffers_both_ways(ranks: Ranks) -> None:
    tree = '["dict", [["sent", ["bytes", 0]]]]'
    pushed = ranks.wait(ranks.channel.call(0, "push", {"tree": tree}, [b"\x00raw\xff"]))
    (reply,) = [m.content for m in pushed if m.kind == "execute_reply"]
    assert answer_of(0, reply) == ["sent"]
    pulled = ranks.wait(ranks.channel.call(0, "pull", {"name": "sent"}))
    assert [bytes(b) for m in pulled for b in m.buffers] == [b"\x00raw\xff"]


def test_a_side_question_is_answered_while_the_main_thread_is_busy(ranks: Ranks) -> None:
    request = ranks.channel.submit(0, "import time\ntime.sleep(600)")
    busy = "time.sleep(600)"
    assert eventually(lambda: ranks.channel.ask([0], "status", {}, 5)[0]["source"] == busy, ANSWER_S)
    ranks.channel.interrupt([0])
    (error,) = [m.content for m in ranks.wait(request) if m.kind == "error"]
    assert error["ename"] == "KeyboardInterrupt"


def test_an_idle_rank_survives_an_interrupt(ranks: Ranks) -> None:
    ranks.channel.interrupt([0])
    # It is not waited for, so it may still hit what is sent right after it.
    assert eventually(lambda: ranks.value(0, "6 * 7") == "42", ANSWER_S)


def test_names_are_completed_also_while_the_rank_is_busy(ranks: Ranks) -> None:
    ranks.run(1, "a_long_name = 1")
    request = ranks.channel.submit(1, "import time\ntime.sleep(600)")
    busy = "time.sleep(600)"
    assert eventually(lambda: ranks.channel.ask([1], "status", {}, 5)[1]["source"] == busy, ANSWER_S)
    reply = ranks.channel.complete(1, "a_long", 6, ANSWER_S)
    assert reply is not None
    assert reply["matches"] == ["a_long_name"]
    ranks.channel.interrupt([1])
    ranks.wait(request)


def test_poll_comes_back_when_nothing_comes(ranks: Ranks) -> None:
    assert ranks.channel.poll(0) == []


def test_a_question_that_is_not_answered_in_time_is_left_out(ranks: Ranks) -> None:
    assert ranks.channel.ask([0, 1], "status", {}, 0) == {}
    # The late answer must not be taken for that of the next question.
    assert set(ranks.channel.ask([0, 1], "status", {}, ANSWER_S)) == {0, 1}


# -- what it keeps to itself ----------------------------------------------------------------------


def processes(ranks: Ranks) -> list[psutil.Process]:
    agent = psutil.Process(ranks.agent.pids[0])
    found = [agent, *agent.children(recursive=True)]
    assert len(found) >= 3
    return found


def test_no_key_is_in_a_command_line_or_an_environment(ranks: Ranks) -> None:
    for process in processes(ranks):
        told = "\n".join([*process.cmdline(), *process.environ().keys(), *process.environ().values()])
        for secret in (ranks.keys.key, ranks.keys.curve_secretkey, ranks.keys.curve_publickey):
            assert secret not in told


def test_no_key_is_in_a_connection_file(ranks: Ranks) -> None:
    folder = Path(jupyter_runtime_dir())
    for path in folder.glob("*.json") if folder.is_dir() else []:
        assert ranks.keys.key not in path.read_text(errors="replace")


def test_keys_are_not_printed() -> None:
    shown = repr(Keys("aaa-signing", "bbb-public", "ccc-secret"))
    assert not any(part in shown for part in ("aaa", "bbb", "ccc"))


def test_ranks_listen_on_loopback_only(ranks: Ranks) -> None:
    listening = [
        connection.laddr
        for process in processes(ranks)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]
    assert len(listening) >= 10, "five sockets of each rank"
    assert {address.ip for address in listening} == {"127.0.0.1"}


class Stranger:
    """A client that knows the port, and of the secrets only those that it is given."""

    def __init__(self, port: int, key: str, curve: tuple[bytes, bytes, bytes] | None) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if curve:
            self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = curve
        self.monitor = self.socket.get_monitor_socket()
        self.client = KernelClient(context=self.context)
        self.client.session.key = key.encode()
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def execute(self, code: str) -> None:
        self.client.session.send(self.socket, "execute_request", {"code": code, "silent": True})

    def event(self, wanted: set[int]) -> int:
        """The first of these events of its connection."""
        deadline_s = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline_s:
            if self.monitor.poll(100):
                event = int(recv_monitor_message(self.monitor)["event"])
                if event in wanted:
                    return event
        raise TimeoutError

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)
        self.context.term()


LET_IN = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
KEPT_OUT = {
    int(zmq.EVENT_DISCONNECTED),
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH),
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL),
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL),
}


@pytest.mark.parametrize("curve", ["none", "a guess at the server's key"])
def test_a_stranger_without_the_curve_keys_is_not_let_in(ranks: Ranks, curve: str) -> None:
    """It knows the port and even the signing key."""
    public, secret = zmq.curve_keypair()
    guess = None if curve == "none" else (zmq.curve_keypair()[0], public, secret)
    stranger = Stranger(ranks.agent.ready[0]["shell_port"], ranks.keys.key, guess)
    try:
        stranger.execute("intruder = True")
        assert stranger.event({LET_IN, *KEPT_OUT}) != LET_IN
    finally:
        stranger.close()
    assert ranks.value(0, "'intruder' in globals()") == "False"


def test_a_stranger_without_the_signing_key_is_not_obeyed(ranks: Ranks) -> None:
    """Even one that CURVE lets in, which shows that the test above would see a success."""
    keys = ranks.keys
    curve = (
        keys.curve_publickey.encode(),
        keys.curve_publickey.encode(),
        keys.curve_secretkey.encode(),
    )
    stranger = Stranger(ranks.agent.ready[0]["shell_port"], "a wrong key", curve)
    try:
        assert stranger.event({LET_IN, *KEPT_OUT}) == LET_IN
        stranger.execute("intruder = True")
        # Signed aright on the same connection: once this was obeyed, the one before it was seen.
        stranger.client.session.key = keys.key.encode()
        stranger.execute("guest = True")
        assert eventually(lambda: ranks.value(0, "'guest' in globals()") == "True", ANSWER_S)
    finally:
        stranger.close()
    assert ranks.value(0, "'intruder' in globals()") == "False"


def test_a_channel_with_wrong_keys_is_an_error_in_time(ranks: Ranks) -> None:
    public, secret = zmq.curve_keypair()
    wrong = Keys(ranks.keys.key, public.decode(), secret.decode())
    before_s = time.monotonic()
    with pytest.raises(ConnectError, match=r"rank [01] started but does not answer"):
        JupyterChannel(wrong, ranks.agent.ready, 0.3)
    assert time.monotonic() - before_s < 5
