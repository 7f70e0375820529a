"""What a rank needs in order to start and to join: pure, so that it can be tested as text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


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


def ring_joins(addresses: Sequence[str]) -> list[Join]:
    """One `Join` per rank of a ring.

    Args:
        addresses: `ip:port` of each rank in rank order, where it will listen.

    A ring of one is not formed: MLX hangs or crashes on a hostfile with one entry.
    """
    if len(addresses) == 1:
        return [Join(backend=None)]
    hostfile = json.dumps([[address] for address in addresses])
    return [
        Join("ring", env={"MLX_RANK": str(rank)}, files={"MLX_HOSTFILE": hostfile})
        for rank in range(len(addresses))
    ]


def start_request(world_size: int, keys: Mapping[str, str]) -> dict[str, Any]:
    """What the agent is asked on its standard input, to start all ranks of a cluster.

    Args:
        keys: Jupyter's signing key and the CURVE pair; they go on to each rank's standard input.
    """
    boots = [{"rank": rank, "world_size": world_size, **keys} for rank in range(world_size)]
    return {"op": "start", "ranks": [{"rank": boot["rank"], "env": {}, "boot": boot} for boot in boots]}


def rank_argv() -> list[str]:
    """The command line of a rank. Nothing secret or particular is in it: that comes on stdin."""
    return [sys.executable, "-m", "kernelkit.rank"]


def agent_argv() -> list[str]:
    """The command line of an agent."""
    return [sys.executable, "-m", "kernelkit.launch.agent"]


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
