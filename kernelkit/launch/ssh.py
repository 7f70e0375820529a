"""The user's own `ssh`, run without ever asking anything, and its failures as errors that say what to do."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from kernelkit.errors import HostError

# A passphrase or a password would be asked for where nobody can answer; keys and agents work.
OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
           "-o", "ServerAliveCountMax=3")  # fmt: skip
_TURN_S = 0.2
FAILED = 255  # what ssh itself exits with, while a remote command's own status is passed on

_CURES = (
    ("has changed", "find out why its key changed, then remove the old one{offending}"),
    ("permission denied", "ssh-copy-id {host}, or ssh-add for a key with a passphrase"),
    ("host key verification failed", "ssh {host} in a terminal, and compare the key before you accept it"),
    ("could not resolve hostname", "check the name (~/.ssh/config, Bonjour: {bonjour})"),
    ("connection refused", "System Settings, General, Sharing, Remote Login (Linux: start sshd)"),
    ("timed out", "is {host} awake, and on the same network?"),
    ("no route to host", "is {host} awake, and on the same network?"),
    ("host is down", "is {host} awake, and on the same network?"),
    ("network is unreachable", "is this machine on the network of {host}?"),
)


@dataclass(frozen=True)
class Ran:
    """What a script left behind."""

    returncode: int
    stdout: str
    stderr: str


def is_local(host: str) -> bool:
    """Whether that name means this machine, so that no ssh is needed."""
    own = socket.gethostname()
    short = own.split(".")[0]
    return host in ("127.0.0.1", "localhost", "::1", own, short, f"{short}.local")


def ssh_argv(host: str, command: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs `command` by the login shell of `host`."""
    return ["ssh", "-T", *OPTIONS, *options, host, command]  # no terminal: it would echo, and know no end


def run_script(host: str, script: str, timeout_s: float = 30.0, stop: threading.Event | None = None) -> Ran:
    """Run a shell script (POSIX sh) on a host and wait for it; on this machine without ssh.

    Args:
        stop: once it is set, the script is given up, from another thread say.

    Raises:
        HostError: ssh did not get there, or the script did not end in time.
    """
    argv = ["/bin/sh", "-s"] if is_local(host) else ssh_argv(host, "/bin/sh -s")
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # what the script starts ends with it
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise HostError(f"{host} cannot be reached: there is no `ssh` on this machine") from error
    stdout, stderr = _communicate(process, host, script, timeout_s, stop)
    if process.returncode == FAILED and not is_local(host):
        raise unreachable(host, stderr)
    return Ran(process.returncode, stdout, stderr)


def _communicate(
    process: subprocess.Popen[str], host: str, script: str, timeout_s: float, stop: threading.Event | None
) -> tuple[str, str]:
    deadline_s = time.monotonic() + timeout_s
    given: str | None = script
    try:
        while True:
            try:
                return process.communicate(given, timeout=_TURN_S)
            except subprocess.TimeoutExpired:  # called again, it goes on where it was
                given = None
                if stop is not None and stop.is_set():
                    raise HostError(f"{host} was not waited for") from None
                if time.monotonic() > deadline_s:
                    cure = f"does `ssh {shlex.quote(host)} true` end?"
                    raise HostError(f"{host} did not answer within {timeout_s:.0f} s", cure=cure) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def unreachable(host: str, stderr: str) -> HostError:
    """The error for what ssh said when it could not get to a host."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip("@ ") and "Warning:" not in line]
    lowered = stderr.lower()
    bonjour = f"{host.removesuffix('.local')}.local"
    place = re.search(r"Offending .*key in (\S+):(\d+)", stderr)
    offending = f": line {place[2]} of {place[1]}" if place else ""
    cure = next(
        (cure for sign, cure in _CURES if sign in lowered), "does `ssh {host} true` work in a terminal?"
    )
    return HostError(
        f"{host} cannot be reached by ssh",
        got=" ".join(lines[-2:]),
        cure=cure.format(host=host, bonjour=bonjour, offending=offending),
    )
