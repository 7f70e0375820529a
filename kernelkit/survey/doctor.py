"""Look at hosts, or at this machine alone, and say what is in the way of ranks there and how to cure it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from kernelkit.errors import HostError
from kernelkit.hosts.addressing import address_cables
from kernelkit.hosts.checks import PACKAGES, PROBLEM, Check, general_checks
from kernelkit.hosts.mac_checks import CABLE_ADDRESSES, mac_checks
from kernelkit.hosts.machine import PythonFacts
from kernelkit.hosts.topology import topology_of
from kernelkit.survey.diagnosis import Diagnosis, HostDiagnosis
from kernelkit.survey.discover import with_routes
from kernelkit.survey.machines import TIMEOUT_S, Report, host_names, survey


def doctor(
    hosts: str | Iterable[str] = (),
    *,
    python: str | Mapping[str, str] = "",
    report: Report | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Diagnosis:
    """Check hosts at once. One that cannot be reached is a row that says so; the others still are checked.

    Args:
        hosts: what ssh calls them; this machine where there are none.
        python: the Python that ranks would run on there, or one for each host; else the path of this one.
        report: called with a line for each host that has answered or failed.
        timeout_s: how long a host may take.

    Raises:
        ArgumentError: a name is none, or two of them lead to one machine.
    """
    names = host_names(hosts) if hosts else ["localhost"]
    given = {host: python if isinstance(python, str) else python.get(host, "") for host in names}
    pythons = {host: path or sys.executable for host, path in given.items()}
    asked = survey(names, pythons=pythons, report=report, timeout_s=timeout_s)
    topology = topology_of(asked.machines)
    machines = with_routes(asked.machines, topology, timeout_s)
    wires = address_cables({machine.host: machine for machine in machines}, topology.cables)
    here = _here()
    found = {m.host: (*general_checks(m, pythons[m.host], here), *mac_checks(m, wires)) for m in machines}
    if asked.failures:
        found = {host: tuple(map(_without_addresses, checks)) for host, checks in found.items()}
    found |= {host: (_unreachable(error),) for host, error in asked.failures}
    return Diagnosis(tuple(HostDiagnosis(host, found[host]) for host in names))


def _without_addresses(check: Check) -> Check:
    """New addresses must fit those of all hosts, also of one that does not answer now."""
    if check.name != CABLE_ADDRESSES or check.state != PROBLEM:
        return check
    return replace(check, cure="once all hosts answer, %cluster discover HOST... lists the commands")


def _here() -> PythonFacts:
    """The versions of this process, read without importing what they are of."""
    packages = []
    for name in PACKAGES:
        try:
            packages.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return PythonFacts(sys.executable, platform.python_version(), tuple(packages))


def _unreachable(error: HostError) -> Check:
    return Check("ssh", PROBLEM, error.got or error.what, error.cure)
