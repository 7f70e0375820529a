"""Nobody but the notebook gets at its ranks: no other user of the machine, though the ports are no secret."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from kernelkit.channel.connection import Keys
from tests.ranks.target import Target, open_target
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are looked into through Linux's /proc"
)
as_another_user = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT ROOT: only root can try what another user of the machine gets at"
)

START_S = 60.0
OTHER_USER = "nobody"


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with open_target() as target:
        yield target


@contextlib.contextmanager
def intruder(user: str, do: str, **task: Any) -> Iterator[subprocess.Popen[str]]:
    """The program that tries the doors, as another user, with its task before it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ranks.intruder"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    try:
        process.stdin.write(json.dumps({"user": user, "do": do, **task}) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str]) -> Any:
    """End the intruder's input, and give what it reports."""
    said, _ = process.communicate(timeout=START_S)
    return json.loads(said)


def intrude(user: str, do: str, **task: Any) -> Any:
    """What the intruder reports of its task."""
    with intruder(user, do, **task) as process:
        return answer(process)


# -- the doors ------------------------------------------------------------------------------------


def test_ranks_listen_on_this_machine_only_and_the_agent_not_at_all(target: Target) -> None:
    ranks = target.pids[1:]
    assert sorted(target.ports) == sorted(ranks)
    assert all(len(ports) >= 5 for ports in target.ports.values())
    for rank in ranks:
        sockets = psutil.Process(rank).net_connections("inet")
        assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}


def strangers_key() -> str:
    return zmq.curve_keypair()[0].decode()


KNOWLEDGE: dict[str, Callable[[Keys], dict[str, str]]] = {
    "nothing": lambda keys: {},
    "a pair of its own": lambda keys: {"server": strangers_key()},
    "a pair of its own, and a key to sign": lambda keys: {"server": strangers_key(), "key": keys.key},
    "the ranks' public key": lambda keys: {"server": keys.curve_publickey},
    "all but the key to sign": lambda keys: {"server": keys.curve_publickey, "key": "0" * 32},
    "the key to sign": lambda keys: {"key": keys.key},
    "everything": lambda keys: {"server": keys.curve_publickey, "key": keys.key},
}


@as_another_user
@pytest.mark.parametrize("known", KNOWLEDGE)
def test_a_request_runs_only_for_who_knows_everything(known: str, target: Target, tmp_path: Path) -> None:
    """The last case is the control: the same program, as the same user, does get in with the right keys."""
    code = f"intruder = True; __import__('pathlib').Path({str(tmp_path)!r}, str(rank)).touch()"
    keys = KNOWLEDGE[known](target.keys)
    answered = intrude(OTHER_USER, "execute", ports=target.all_ports, keys=keys, code=code)
    if known == "everything":
        assert eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    ran = target.cluster.run("globals().pop('intruder', False)")
    gets_in = known == "everything"
    assert bool(answered) == gets_in
    assert sorted(path.name for path in tmp_path.iterdir()) == (["0", "1"] if gets_in else [])
    assert [ran[rank].value_repr for rank in (0, 1)] == [str(gets_in)] * 2
    assert target.answers()


@as_another_user
def test_what_a_cell_prints_is_heard_only_by_who_knows_the_key(target: Target) -> None:
    word = "Apfelstrudel"
    names = ["nothing", "a pair of its own", "everything"]
    keys = [KNOWLEDGE[name](target.keys) for name in names]
    with intruder(OTHER_USER, "listen", ports=target.all_ports, keys=keys, word=word) as process:
        assert process.stdout
        assert process.stdout.readline() == "listening\n"
        target.cluster.run(f"print({word!r})")
        nothing, own_pair, everything = answer(process)
    assert nothing["messages"] == own_pair["messages"] == 0
    assert everything["words"] >= 2, "the right keys hear each rank: else the silence above says nothing"


@as_another_user
def test_ranks_survive_bytes_that_mean_nothing(target: Target) -> None:
    assert intrude(OTHER_USER, "litter", ports=target.all_ports) >= len(target.all_ports)
    assert target.answers()
    assert target.cluster.status().state == "idle"


@as_another_user
def test_what_another_user_sends_appears_in_no_output(target: Target, tmp_path: Path) -> None:
    """ipykernel has a further socket, for the prints of forked children: it is to be closed as well."""
    word, done = "Topfenstrudel", tmp_path / "done"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(done)!r}).exists(): time.sleep(0.01)"
    with intruder(OTHER_USER, "push", ports=target.all_ports, word=word) as process:

        def look(*_: object) -> None:
            if process.poll() is not None:
                done.touch()

        ran = target.cluster.run(wait, on_turn=look)
        assert answer(process) == len(target.all_ports)
    after = target.cluster.run("rank")
    assert not any(word in repr(result[rank]) for result in (ran, after) for rank in (0, 1))
    assert target.answers()


# -- the processes --------------------------------------------------------------------------------


@as_another_user
@pytest.mark.parametrize(("user", "outcome"), [(OTHER_USER, "EACCES"), ("root", "done")])
def test_nobody_else_looks_into_the_processes(user: str, outcome: str, target: Target) -> None:
    """Root can: so the paths are right, and it is the user that is refused."""
    pids = [os.getpid(), *target.pids]
    paths = [f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "fd", "mem", "maps")]
    assert intrude(user, "read", paths=paths) == dict.fromkeys(paths, outcome)


@as_another_user
def test_nobody_else_ends_the_processes(target: Target) -> None:
    outcomes = intrude(OTHER_USER, "end", pids=target.pids)
    assert outcomes == {str(pid): "EPERM" for pid in target.pids}
    assert target.answers()
