"""Checks that go for any machine: what ranks need there, in the versions that the others have."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.hosts.machine import Machine, PythonFacts
from kernelkit.units import format_bytes, format_seconds

OK, WARNING, PROBLEM, UNKNOWN, NOT_A_MAC = "ok", "warning", "problem", "unknown", "not a Mac"

PACKAGES = ("mlx", "mlx-lm", "kernelkit")
_LITTLE_MEMORY_SHARE = 0.1
_LITTLE_DISK_BYTES = 10e9
_NO_DISK_BYTES = 1e9
_CLOCK_OFF_S = 1.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        state: ok, warning, problem, unknown, or not a Mac.
        seen: what was there.
        cure: a command to run, or a menu to open; empty where nothing is to be done.
    """

    name: str
    state: str
    seen: str
    cure: str = ""


def general_checks(machine: Machine, python: str, here: PythonFacts) -> tuple[Check, ...]:
    """What any host needs.

    Args:
        python: the Python that was asked for.
        here: that of the asking machine, whose versions the others must have.
    """
    return (
        Check("ssh", OK, "answered"),
        check_python(machine, python, here),
        *(check_package(machine, name, here) for name in PACKAGES if machine.python),
        check_memory(machine),
        check_disk(machine),
        check_clock(machine),
    )


def check_python(machine: Machine, python: str, here: PythonFacts) -> Check:
    found = machine.python
    if found is None:
        cure = f"install one there, or name another: %cluster doctor {machine.host} --python PATH"
        return Check("Python", PROBLEM, f"{python} does not answer", cure)
    seen = f"{found.version} at {found.executable}"
    if _minor(found.version) != _minor(here.version):
        return Check(
            "Python", WARNING, f"{seen}; here {here.version}", f"use {_minor(here.version)} there as well"
        )
    return Check("Python", OK, seen)


def check_package(machine: Machine, name: str, here: PythonFacts) -> Check:
    """Ranks of different versions may form a group, and then misunderstand each other."""
    if machine.python is None:
        return Check(name, UNKNOWN, "no Python to ask")
    found, wanted = machine.python.package(name), here.package(name)
    extra = "[cpu]" if name == "mlx" and machine.system == "Linux" and not machine.gpus else ""
    requirement = shlex.quote(f"{name}{extra}" + (f"=={wanted}" if wanted else ""))
    cure = f"on {machine.host}: {shlex.quote(machine.python.executable)} -m pip install {requirement}"
    if not found:
        return Check(name, PROBLEM, "not installed", cure)
    if wanted and found != wanted:
        return Check(name, PROBLEM, f"{found}; here {wanted}", cure)
    return Check(name, OK, found)


def check_memory(machine: Machine) -> Check:
    free, total = machine.free_memory_bytes, machine.memory_bytes
    if free is None or not total:
        return Check("free memory", UNKNOWN, "no answer that could be read")
    seen = f"{format_bytes(free)} of {format_bytes(total)}"
    if free < _LITTLE_MEMORY_SHARE * total:
        return Check("free memory", WARNING, seen, f"end what takes it: `top` on {machine.host} lists it")
    return Check("free memory", OK, seen)


def check_disk(machine: Machine) -> Check:
    free = machine.free_disk_bytes
    if free is None:
        return Check("free disk", UNKNOWN, "no answer that could be read")
    if free >= _LITTLE_DISK_BYTES:
        return Check("free disk", OK, format_bytes(free))
    state = PROBLEM if free < _NO_DISK_BYTES else WARNING
    return Check(
        "free disk", state, format_bytes(free), "weights are read from there: delete what is not needed"
    )


def check_clock(machine: Machine) -> Check:
    offset_s, error_s = machine.clock_offset_s, machine.clock_error_s
    if offset_s is None or error_s is None:
        return Check("clock", UNKNOWN, "no answer that could be read")
    if abs(offset_s) - error_s <= _CLOCK_OFF_S:
        return Check("clock", OK, f"as here, within {format_seconds(abs(offset_s) + error_s)}")
    way = "ahead" if offset_s > 0 else "behind"
    menu = "System Settings, General, Date & Time: set automatically"
    cure = menu if machine.is_mac else f"sudo timedatectl set-ntp true on {machine.host}"
    return Check(
        "clock",
        WARNING,
        f"{format_seconds(abs(offset_s))} {way}, give or take {format_seconds(error_s)}",
        cure,
    )


def worst(checks: Sequence[Check]) -> str:
    """The state that matters most among these."""
    states = {check.state for check in checks}
    return next((state for state in (PROBLEM, WARNING, UNKNOWN) if state in states), OK)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
