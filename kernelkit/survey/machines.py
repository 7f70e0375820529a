"""Ask hosts in parallel what they are: one script over one ssh connection each."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib import resources
from threading import Event
from typing import TypeVar

from kernelkit.errors import ArgumentError, HostError
from kernelkit.hosts.answers import Sections, parse_machine, parse_routes, parse_sections
from kernelkit.hosts.machine import Machine
from kernelkit.launch.ssh import run_script

TIMEOUT_S = 45.0  # A command has 15 s there; system_profiler alone takes a few.
_MOST_AT_ONCE = 32

Report = Callable[[str], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Survey:
    """The machines that answered, and why the others did not, both in the order of the hosts."""

    machines: tuple[Machine, ...]
    failures: tuple[tuple[str, HostError], ...] = ()

    def complete(self) -> tuple[Machine, ...]:
        """All machines.

        Raises:
            HostError: some did not answer; it names each of them.
        """
        if self.failures:
            raise _one_error(self.failures, len(self.machines) + len(self.failures))
        return self.machines


def survey(
    hosts: Sequence[str],
    *,
    pythons: Mapping[str, str] | None = None,
    report: Report | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Survey:
    """Ask all hosts at once; one that hangs costs its own time only.

    Args:
        hosts: what ssh calls them.
        pythons: for each host, the Python whose packages to list; none where it is left out.
        report: called with a line for each host that has answered or failed.
    """
    known = pythons or {}

    def ask(host: str, stop: Event) -> Machine:
        return _ask(host, known.get(host, ""), timeout_s, stop)

    answers = dict(_in_parallel(hosts, ask, report))
    machines = tuple(answer for host in hosts if isinstance(answer := answers[host], Machine))
    failures = tuple((host, answer) for host in hosts if isinstance(answer := answers[host], HostError))
    return Survey(machines, failures)


def add_routes(machines: Sequence[Machine], peers: dict[str, list[str]], timeout_s: float) -> list[Machine]:
    """The machines with their routes to these addresses; without, where a host does not answer again."""
    asked = [machine.host for machine in machines if peers.get(machine.host)]
    answers = dict(_in_parallel(asked, lambda host, stop: _routes(host, peers[host], timeout_s, stop), None))
    return [
        replace(machine, routes=parse_routes(answer)) if isinstance(answer, dict) else machine
        for machine in machines
        for answer in [answers.get(machine.host)]
    ]


def host_names(hosts: str | Iterable[str]) -> list[str]:
    """The hosts as a list of different names; a string is split at commas and spaces.

    Raises:
        ArgumentError: a name is none, or stands there twice.
    """
    names = re.split(r"[,\s]+", hosts.strip(", \n")) if isinstance(hosts, str) else list(hosts)
    for name in names:
        # A dash in front would make an option of it, on the command line of ssh.
        if not isinstance(name, str) or not re.fullmatch(r"[^\s,-][^\s,]*", name) or not name.isprintable():
            raise ArgumentError("this is no name of a host", expected="what ssh calls it", got=repr(name))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"{', '.join(twice)} is listed more than once", expected="every host once")
    return names


def script(name: str, **variables: str) -> str:
    """One of the scripts in this package, with variables in front."""
    lines = [f"{key}={shlex.quote(value)}\n" for key, value in variables.items()]
    return "".join(lines) + resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _ask(host: str, python: str, timeout_s: float, stop: Event) -> Machine:
    mark = secrets.token_hex(8)
    text = script("facts.sh", mark=mark, python=python)
    asked_at_s = time.time()
    ran = run_script(host, text, timeout_s, stop)
    answered_at_s = time.time()
    sections = parse_sections(ran.stdout, mark)
    if "system" not in sections:
        raise HostError(
            f"{host} did not run the survey's script",
            expected="a POSIX shell at /bin/sh",
            got=f"exit status {ran.returncode}: {(ran.stderr or ran.stdout).strip()[-300:] or 'nothing'}",
            cure=f"does `ssh {host} uname` print the name of its system?",
        )
    return parse_machine(host, sections, asked_at_s, answered_at_s)


def _routes(host: str, peers: list[str], timeout_s: float, stop: Event) -> Sections:
    mark = secrets.token_hex(8)
    ran = run_script(host, script("routes.sh", mark=mark, peers=" ".join(peers)), timeout_s, stop)
    return parse_sections(ran.stdout, mark)


def _in_parallel(
    hosts: Sequence[str], ask: Callable[[str, Event], Answer], report: Report | None
) -> Iterator[tuple[str, Answer | HostError]]:
    if not hosts:
        return
    stop = Event()
    with ThreadPoolExecutor(min(len(hosts), _MOST_AT_ONCE)) as pool:
        asked = {pool.submit(ask, host, stop): host for host in hosts}
        try:
            for count, done in enumerate(as_completed(asked), 1):
                host, error = asked[done], done.exception()
                if error is not None and not isinstance(error, HostError):
                    raise error
                if report:
                    report(f"{host} {'failed' if error else 'answered'} ({count} of {len(hosts)})")
                yield host, error if error is not None else done.result()
        finally:
            stop.set()  # Where the user interrupts, nobody is waited for.
            pool.shutdown(cancel_futures=True)


def _one_error(failures: Sequence[tuple[str, HostError]], asked: int) -> HostError:
    if len(failures) == 1:
        return failures[0][1]
    got = "".join(f"\n    {host}: {error.got or error.what}" for host, error in failures)
    cure = "".join(f"\n    {host}: {error.cure}" for host, error in failures if error.cure)
    names = ", ".join(host for host, _ in failures)
    return HostError(f"{len(failures)} of {asked} hosts cannot be used: {names}", got=got, cure=cure)
