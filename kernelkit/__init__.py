"""MLX distributed from a notebook: ranks, shards and links.

`%load_ext kernelkit` gives the magics; the names below are the same things in Python. They load when
they are first used, so that importing kernelkit costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster, ClusterStatus, Result, connect
    from kernelkit.errors import KernelkitError
    from kernelkit.generation import Generation
    from kernelkit.model import ShardedModel

__version__ = "0.1.0"

_HOMES = {
    "Cluster": "kernelkit.cluster",
    "ClusterStatus": "kernelkit.cluster",
    "Generation": "kernelkit.generation",
    "KernelkitError": "kernelkit.errors",
    "Result": "kernelkit.cluster",
    "ShardedModel": "kernelkit.model",
    "connect": "kernelkit.cluster",
}

__all__ = [
    "Cluster",
    "ClusterStatus",
    "Generation",
    "KernelkitError",
    "Result",
    "ShardedModel",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kernelkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext kernelkit`: register the magics."""
    from kernelkit.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext kernelkit`: stop the cluster and take the magics away."""
    from kernelkit.magics import unregister

    unregister(shell)
