"""What differs between the hosts of a cluster, told before a group forms; pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import HostError

Hello = Mapping[str, Any]


@dataclass(frozen=True)
class Own:
    """The notebook's own kernelkit: version, digest of its source, and the folder that holds it."""

    version: str
    code: str
    folder: str


def check_agreement(hosts: Mapping[str, Hello], own: Own) -> list[str]:
    """Compare what the agents said of their machines.

    Args:
        hosts: name to what its agent said, rank 0's first: the others are measured by it.

    Returns:
        Differences that do no harm, a sentence each: they are worth knowing.

    Raises:
        HostError: kernelkit, mlx or mlx-lm differ or are missing. Ranks would not understand each other,
            or compute different things; the cure is the command that mends it.
    """
    problems = [problem for name, hello in hosts.items() for problem in _kernelkit(name, hello, own)]
    for package in ("mlx", "mlx-lm"):
        problems += _package(package, hosts)
    if problems:
        what = "the hosts do not have the same software: " + "; ".join(text for text, _ in problems)
        cures = "".join(f"\n    {cure}" for _, cure in problems)
        raise HostError(
            what, expected=f"kernelkit {own.version} and equal versions of mlx and mlx-lm", cure=cures
        )
    return _differences(hosts)


def _kernelkit(name: str, hello: Hello, own: Own) -> list[tuple[str, str]]:
    version = hello["versions"]["kernelkit"]
    if version and version != own.version:
        text = f"kernelkit {version} on {name}, {own.version} in the notebook"
        return [(text, _pip(name, hello, f"kernelkit=={own.version}"))]
    if hello["code"] != own.code:
        text = f"kernelkit {own.version} on {name} is not the code that the notebook runs"
        target = f"{name}:{hello['folder']}/"
        return [(text, f"rsync -a --delete --exclude=/data {own.folder}/ {target}")]
    return []


def _package(package: str, hosts: Mapping[str, Hello]) -> list[tuple[str, str]]:
    """Hosts whose version is not the one of most, or of rank 0's host where none has a majority."""
    versions = {name: hello["versions"][package] for name, hello in hosts.items()}
    present = [version for version in versions.values() if version]
    wanted = max(present, key=present.count) if present else ""
    problems = []
    for name, version in versions.items():
        if version != wanted or not version:
            text = f"{package} {version or 'is missing'} on {name}" + (
                f", {wanted} elsewhere" if wanted else ""
            )
            extra = "[cpu]" if package == "mlx" and _is_plain_linux(hosts[name]) else ""
            wish = f"{package}{extra}=={wanted}" if wanted else f"{package}{extra}"
            problems.append((text, _pip(name, hosts[name], wish)))
    return problems


def _is_plain_linux(hello: Hello) -> bool:
    """Where mlx needs an extra to have a backend at all."""
    return hello["system"] == "Linux" and not hello["cuda"]


def _pip(name: str, hello: Hello, requirement: str) -> str:
    python = shlex.quote(hello["executable"])
    if python != hello["executable"]:  # for the shell here, and for the one there
        return f"ssh {name} {shlex.quote(f'{python} -m pip install {requirement}')}"
    return f"ssh {name} {python} -m pip install '{requirement}'"


def _differences(hosts: Mapping[str, Hello]) -> list[str]:
    notes = []
    for what, field in (("Python", "python"), ("the system", "os")):
        values = {name: str(hello[field]) for name, hello in hosts.items()}
        if len(set(values.values())) > 1:
            notes.append(
                f"{what} differs: " + ", ".join(f"{name} has {value}" for name, value in values.items())
            )
    return notes
