"""Which of MLX's backends a set of hosts gets, and why; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kernelkit.errors import ArgumentError, HostError
from kernelkit.hosts.hostfile import Hostfile

_RDMA_SINCE = (26, 2)

Hellos = Mapping[str, Mapping[str, Any]]


def choose_backend(hostfile: Hostfile, asked: str, hosts: Hellos) -> tuple[str, str]:
    """The backend, and a sentence on why it is this one.

    Args:
        hostfile: the hosts by rank; its own `backend` counts where nothing else is asked for.
        asked: a backend, or `auto`.
        hosts: host to what its agent said: `system`, `os`, `mpirun`, `cuda`, `gpu_ids`.

    Raises:
        ArgumentError: the hostfile lacks what the backend needs.
        HostError: a host cannot do it.
    """
    if asked == "auto" and not hostfile.backend:
        return _fastest(hostfile, hosts)
    backend = hostfile.backend if asked == "auto" else asked
    hostfile.check(backend)
    if reason := _hindrance(backend, hostfile, hosts):
        cure = "--backend auto takes what they can do"
        if hostfile.backend:
            cure = "--backend ring, which every host can do, or another backend in the hostfile"
        raise HostError(f"the hosts cannot do {backend}: {reason}", cure=cure)
    return backend, "the hostfile says so" if asked == "auto" else "it was asked for"


def _fastest(hostfile: Hostfile, hosts: Hellos) -> tuple[str, str]:
    """jaccl before jaccl-ring before nccl before ring; mpi never by itself.

    MPI ends all ranks when one dies, and their variables with them: it must be asked for.
    """
    passed: dict[str, list[str]] = {}
    for backend, why in (
        ("jaccl", "every pair of hosts has an RDMA cable"),
        ("jaccl-ring", "the neighbours of a ring have RDMA cables"),
        ("nccl", "every rank has a GPU of its own"),
    ):
        reason = _refused(backend, hostfile) or _hindrance(backend, hostfile, hosts)
        if not reason:
            return backend, why
        passed.setdefault(reason, []).append(backend)
    hostfile.check("ring")
    return "ring", "; ".join(f"no {' or '.join(names)}: {reason}" for reason, names in passed.items())


def _refused(backend: str, hostfile: Hostfile) -> str:
    if backend.startswith("jaccl") and not any(host.rdma for host in hostfile.hosts):
        return "no RDMA devices in the hostfile"
    try:
        hostfile.check(backend)
    except ArgumentError as error:
        return error.what.removeprefix("hostfile: ")
    return ""


def _hindrance(backend: str, hostfile: Hostfile, hosts: Hellos) -> str:
    """Why these hosts cannot do that backend, or nothing."""
    if backend in ("jaccl", "jaccl-ring"):
        for name, hello in hosts.items():
            if hello["system"] != "Darwin":
                return f"{name} is no Mac"
            if _version(hello["os"]) < _RDMA_SINCE:
                return f"{name} has {hello['os']}, and RDMA over Thunderbolt came with 26.2"
    elif backend == "nccl":
        for name, hello in hosts.items():
            ranks = sum(host.ssh == name for host in hostfile.hosts)
            if not hello["cuda"]:
                return f"the MLX on {name} has no CUDA"
            if (gpus := len(hello["gpu_ids"])) < ranks:
                return f"{name} has {gpus} GPUs for {ranks} ranks"
    elif backend == "mpi":
        first = hostfile.hosts[0].ssh
        if not hosts[first]["mpirun"]:
            return f"no mpirun on {first} (Open MPI: brew install open-mpi, apt install openmpi-bin)"
    return ""


def _version(os_name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", os_name)[:2])
