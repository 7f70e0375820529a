"""MLX distributed from a notebook: ranks, shards and links.

`%load_ext kernelkit` gives the magics; the names below are the same things in Python. They load when
they are first used, so that importing kernelkit costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit import catalog as catalog
    from kernelkit import experiments as experiments
    from kernelkit import perf as perf
    from kernelkit import views as views
    from kernelkit.catalog.planned import planned_shards
    from kernelkit.cluster import Cluster, ClusterStatus, Result, connect
    from kernelkit.errors import KernelkitError
    from kernelkit.experiments import Experiment, experiment
    from kernelkit.generation import Generation
    from kernelkit.generations import Generations
    from kernelkit.hosts.calibration import Calibration
    from kernelkit.hosts.clustermap import ClusterMap
    from kernelkit.hosts.linkreport import LinkReport
    from kernelkit.model import Chat, ShardedModel
    from kernelkit.perf.job import Job
    from kernelkit.perf.mishaps import Lost
    from kernelkit.perf.network import Link, Network
    from kernelkit.perf.planning import plan
    from kernelkit.perf.result import Plan
    from kernelkit.perf.simulate import simulate
    from kernelkit.perf.sweeping import Sweep, sweep
    from kernelkit.perf.timeline import Timeline
    from kernelkit.settings import Settings
    from kernelkit.sharding.check import ModelCheck
    from kernelkit.sharding.memory import MemoryMap
    from kernelkit.sharding.shardmap import ShardMap
    from kernelkit.survey import Diagnosis, Discovery, discover, doctor

__version__ = "0.1.0"

_HOMES = {
    "Calibration": "kernelkit.hosts.calibration",
    "Chat": "kernelkit.model",
    "Cluster": "kernelkit.cluster",
    "ClusterMap": "kernelkit.hosts.clustermap",
    "ClusterStatus": "kernelkit.cluster",
    "Diagnosis": "kernelkit.survey",
    "Discovery": "kernelkit.survey",
    "Experiment": "kernelkit.experiments",
    "Generation": "kernelkit.generation",
    "Generations": "kernelkit.generations",
    "Job": "kernelkit.perf.job",
    "KernelkitError": "kernelkit.errors",
    "Link": "kernelkit.perf.network",
    "LinkReport": "kernelkit.hosts.linkreport",
    "Lost": "kernelkit.perf.mishaps",
    "MemoryMap": "kernelkit.sharding.memory",
    "Network": "kernelkit.perf.network",
    "Plan": "kernelkit.perf.result",
    "Result": "kernelkit.cluster",
    "Settings": "kernelkit.settings",
    "ModelCheck": "kernelkit.sharding.check",
    "ShardMap": "kernelkit.sharding.shardmap",
    "ShardedModel": "kernelkit.model",
    "Sweep": "kernelkit.perf.sweeping",
    "Timeline": "kernelkit.perf.timeline",
    "connect": "kernelkit.cluster",
    "discover": "kernelkit.survey",
    "doctor": "kernelkit.survey",
    "experiment": "kernelkit.experiments",
    "plan": "kernelkit.perf.planning",
    "planned_shards": "kernelkit.catalog.planned",
    "simulate": "kernelkit.perf.simulate",
    "sweep": "kernelkit.perf.sweeping",
}

__all__ = [
    "Calibration",
    "Chat",
    "Cluster",
    "ClusterMap",
    "ClusterStatus",
    "Diagnosis",
    "Discovery",
    "Experiment",
    "Generation",
    "Generations",
    "Job",
    "KernelkitError",
    "Link",
    "LinkReport",
    "Lost",
    "MemoryMap",
    "ModelCheck",
    "Network",
    "Plan",
    "Result",
    "Settings",
    "ShardMap",
    "ShardedModel",
    "Sweep",
    "Timeline",
    "catalog",
    "connect",
    "discover",
    "doctor",
    "experiment",
    "experiments",
    "perf",
    "plan",
    "planned_shards",
    "simulate",
    "sweep",
    "views",
]


def __getattr__(name: str) -> Any:
    if name in ("catalog", "experiments", "perf", "views"):
        return importlib.import_module(f"kernelkit.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'kernelkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext kernelkit`: register the magics."""
    from kernelkit.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext kernelkit`: stop the cluster and take the magics away."""
    from kernelkit.magics import unregister

    unregister(shell)
