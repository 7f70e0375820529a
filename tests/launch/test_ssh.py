"""ssh as kernelkit runs it: it never asks, and each of its failures is an error with a cure."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from kernelkit.errors import HostError
from kernelkit.launch.ssh import is_local, run_script, ssh_argv, unreachable
from tests.launch.standin import StandIn, in_front

# What OpenSSH writes, word for word; each with a word of the cure that belongs to it.
FAILURES = {
    "no key": ("ann@mac1: Permission denied (publickey,password).\n", "ssh-copy-id mac1"),
    "a key with a passphrase": (
        "Load key: incorrect passphrase supplied to decrypt private key\n"
        "mac1: Permission denied (publickey).\n",
        "ssh-add",
    ),
    "a host that is new": (
        "No ED25519 host key is known for mac1 and you have requested strict checking.\n"
        "Host key verification failed.\n",
        "compare the key",
    ),
    "another host key": (
        "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n"
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"
        "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n"
        "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n"
        "Offending ED25519 key in /home/ann/.ssh/known_hosts:3\r\n"
        "Host key for mac1 has changed and you have requested strict checking.\r\n"
        "Host key verification failed.\r\n",
        "line 3 of /home/ann/.ssh/known_hosts",
    ),
    "no such name": (
        "ssh: Could not resolve hostname mac1: nodename nor servname provided, or not known\n",
        "mac1.local",
    ),
    "no sshd": ("ssh: connect to host mac1 port 22: Connection refused\n", "Remote Login"),
    "asleep": ("ssh: connect to host mac1 port 22: Operation timed out\n", "awake"),
    "asleep, on Linux": ("ssh: connect to host mac1 port 22: Connection timed out\n", "awake"),
    "asleep later": ("Connection timed out during banner exchange\n", "awake"),
    "no route": ("ssh: connect to host mac1 port 22: No route to host\n", "awake"),
    "down": ("ssh: connect to host mac1 port 22: Host is down\n", "awake"),
    "no network": ("ssh: connect to host mac1 port 22: Network is unreachable\n", "network"),
    "anything else": ("kex_exchange_identification: Connection closed by remote host\n", "`ssh mac1 true`"),
    "nothing": ("", "`ssh mac1 true`"),
}


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return in_front(tmp_path / "bin", monkeypatch)


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_of_ssh_has_the_cure_that_belongs_to_it(name: str, ssh: StandIn) -> None:
    message, cure = FAILURES[name]
    ssh.fails(message)
    with pytest.raises(HostError) as caught:
        run_script("mac1", "true")
    assert caught.value.what == "mac1 cannot be reached by ssh"
    assert cure in caught.value.cure
    assert "{" not in caught.value.cure
    for line in message.splitlines()[-1:]:
        assert line in caught.value.got
    assert "@@@" not in caught.value.got


def test_warnings_are_not_the_reason() -> None:
    said = "Warning: Permanently added 'mac1' (ED25519) to the list of known hosts.\nPermission denied.\n"
    assert unreachable("mac1", said).got == "Permission denied."


def test_braces_in_a_hosts_name_or_words_do_no_harm() -> None:
    error = unreachable("{0}", "Permission denied for {x}\n")
    assert "{0}" in error.cure
    assert error.got == "Permission denied for {x}"


def test_ssh_is_run_without_ever_asking() -> None:
    argv = ssh_argv("mac1", "true", ("-M",))
    assert argv[0] == "ssh"
    assert argv[-2:] == ["mac1", "true"]
    assert "BatchMode=yes" in argv
    assert "-M" in argv
    assert any(word.startswith("ConnectTimeout=") for word in argv)
    assert any(word.startswith("ServerAliveInterval=") for word in argv)


def test_a_script_is_run_by_a_shell_there(ssh: StandIn) -> None:
    done = run_script("ann@mac1", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert ssh.asked == ["ann@mac1"]


def test_a_script_for_this_machine_needs_no_ssh(ssh: StandIn) -> None:
    ssh.fails("nobody may ask")
    assert run_script("127.0.0.1", 'echo "a  b"; exit 255').returncode == 255
    assert run_script("localhost", 'printf "%s" "$0"').stdout


def test_what_is_no_utf_8_does_not_matter(ssh: StandIn) -> None:
    assert run_script("mac1", r"printf 'caf\351\n'").stdout == "caf\ufffd\n"


def test_a_host_that_does_not_answer_is_told_in_time(ssh: StandIn) -> None:
    """Also where what it runs has children that hold its output open."""
    before_s = time.monotonic()
    with pytest.raises(HostError) as caught:
        run_script("mac1", "sleep 20 & sleep 20", timeout_s=0.5)
    assert time.monotonic() - before_s < 5
    assert caught.value.what == "mac1 did not answer within 0 s" or "within 0.5 s" in caught.value.what
    assert "ssh mac1 true" in caught.value.cure


def test_a_machine_without_ssh_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="no `ssh` on this machine"):
        run_script("mac1", "true")


def test_the_names_of_this_machine() -> None:
    own = socket.gethostname()
    assert all(map(is_local, ["127.0.0.1", "localhost", "::1", own, f"{own.split('.')[0]}.local"]))
    assert not any(map(is_local, ["mac1", "10.0.0.1", f"ann@{own}", f"{own}.example.org", ""]))
