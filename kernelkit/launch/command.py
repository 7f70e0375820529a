"""What a rank needs in order to start and to join: pure, so that it can be tested as text."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.hosts.hostfile import Host

# An agent on another host leaves after so long a silence.
LEASE_S = 60.0
# By backend, for groups of several ranks, where neither the hostfile nor the rank's host says otherwise. The
# host makes MLX's CUDA graphs around NCCL's launches, or brings them up to date, and it sets the pace there:
# README, "On two NVIDIA GPUs".
_USUAL_ENV = {"nccl": {"MLX_USE_CUDA_GRAPHS": "0"}}


@dataclass(frozen=True)
class Join:
    """How one rank joins its group.

    Attributes:
        backend: MLX's name for it, or None for a group of one that needs none.
        env: variables that the backend reads.
        files: variables that must hold a file's path, and that file's text.
    """

    backend: str | None
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def ring_joins(addresses: Sequence[Sequence[str]]) -> list[Join]:
    """One `Join` per rank of a ring.

    Args:
        addresses: per rank, the `ip:port`s on which it listens, one for each of the ring's connections.

    A ring of one is not formed: MLX hangs or crashes on a hostfile with one entry.
    """
    if len(addresses) == 1:
        return [Join(backend=None)]
    hostfile = json.dumps([list(mine) for mine in addresses])
    return [
        Join("ring", env={"MLX_RANK": str(rank)}, files={"MLX_HOSTFILE": hostfile})
        for rank in range(len(addresses))
    ]


def jaccl_joins(hosts: Sequence[Host], coordinator: str, *, ring: bool) -> list[Join]:
    """One `Join` per rank of a mesh (or ring) of RDMA devices.

    Args:
        hosts: by rank, with their `rdma` devices.
        coordinator: `ip:port` of rank 0, where all meet.
    """
    devices = json.dumps([host.to_dict()["rdma"] for host in hosts])
    env = {"MLX_JACCL_COORDINATOR": coordinator, **({"MLX_JACCL_RING": "1"} if ring else {})}
    return [
        Join("jaccl", env={**env, "MLX_RANK": str(rank)}, files={"MLX_IBV_DEVICES": devices})
        for rank in range(len(hosts))
    ]


def nccl_joins(
    hosts: Sequence[Host], address: str, port: int, gpu_ids: Mapping[str, Sequence[str]] | None = None
) -> list[Join]:
    """One `Join` per rank and GPU; the ranks of one host take its GPUs in turn.

    Args:
        address, port: of rank 0, where all meet.
        gpu_ids: as in `gpus_by_rank`.
    """
    env = {"NCCL_HOST_IP": address, "NCCL_PORT": str(port), "MLX_WORLD_SIZE": str(len(hosts))}
    return [
        Join("nccl", {**env, "MLX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": gpu})
        for rank, gpu in enumerate(gpus_by_rank(hosts, gpu_ids))
    ]


def gpus_by_rank(hosts: Sequence[Host], gpu_ids: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Each rank's GPU, for CUDA_VISIBLE_DEVICES.

    Args:
        gpu_ids: host to what its ranks may use; 0, 1, 2 ... where it is left out.
    """
    taken: Counter[str] = Counter()
    gpus = []
    for host in hosts:
        ids = (gpu_ids or {}).get(host.ssh, ())
        number = taken[host.ssh]
        gpus.append(ids[number] if number < len(ids) else str(number))
        taken[host.ssh] += 1
    return gpus


def usual_env(backend: str, world_size: int) -> dict[str, str]:
    """Variables that ranks of that backend have unless they are set already."""
    return dict(_USUAL_ENV.get(backend, {})) if world_size > 1 else {}


def start_specs(
    world_size: int,
    keys: Mapping[str, str],
    env: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
    usual: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """What the agents are asked on their standard input, to start the ranks of a cluster.

    Args:
        keys: Jupyter's signing key and the CURVE pair; they go on to each rank's standard input.
        env: variables that every rank has from its start.
        gpus: by rank; CUDA reads that variable once, and whoever asks MLX for its device makes it do so.
        usual: variables that a rank has if its host does not have them.
    """
    own = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{}] * world_size
    return [
        {
            "rank": rank,
            "env": {**(env or {}), **own[rank]},
            "usual": dict(usual or {}),
            "boot": {"rank": rank, "world_size": world_size, **keys},
        }
        for rank in range(world_size)
    ]


def rank_argv() -> list[str]:
    """The command line of a rank. Nothing secret or particular is in it: that comes on stdin."""
    return [sys.executable, "-m", "kernelkit.rank"]


def agent_argv(python: str | None = None) -> list[str]:
    """The command line of an agent, by this Python or another host's."""
    return [python or sys.executable, "-m", "kernelkit.launch.agent"]


def blas_environment(openblas: str | None, threads: int, preload: str = "") -> dict[str, str]:
    """Variables that put an OpenBLAS in front of MLX's reference BLAS on Linux CPUs.

    Args:
        openblas: path of the library, or None where there is none.
        threads: how many threads one rank may use; ranks of one host share its cores.
        preload: what LD_PRELOAD holds already.
    """
    if openblas is None:
        return {}
    joined = f"{openblas}:{preload}" if preload else openblas
    return {"LD_PRELOAD": joined, "OPENBLAS_NUM_THREADS": str(threads)}
