"""`%plan`: on machines of the catalog, or on the cluster that is connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError
from kernelkit.magics import show

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster
    from kernelkit.perf.result import Plan

# Of these the connected cluster leaves no choice.
_OF_THE_CATALOG = ("nodes", "link", "backend", "fast-synch", "kv-bits")
_EXAMPLE = "%plan kimi-k2 --on 4xm3-ultra-512"


def plan(cluster: Cluster | None, model: str, flags: Mapping[str, Any]) -> Plan:
    """A plan, saved too if a file is named.

    Raises:
        ArgumentError: it does not say what to plan, or on what; or something is not there.
    """
    settings = {name.replace("-", "_"): value for name, value in flags.items() if name != "save"}
    if "on" in flags:
        found = _on_machines(model, settings)
    else:
        found = _on_cluster(cluster, model, settings, [name for name in _OF_THE_CATALOG if name in flags])
    show.save(found, flags)
    return found


def _on_machines(model: str, settings: dict[str, Any]) -> Plan:
    from kernelkit.perf import plan

    if not model:
        raise ArgumentError("%plan needs a model", expected="MODEL", cure=_EXAMPLE)
    return plan(model, **settings)


def _on_cluster(cluster: Cluster | None, model: str, settings: dict[str, Any], others: list[str]) -> Plan:
    if cluster is None or cluster.state == "stopped":
        raise ArgumentError("%plan needs machines", expected="--on MACHINES", cure=_EXAMPLE)
    if others:
        flags = ", ".join(f"--{name}" for name in others)
        raise ArgumentError(
            f"{flags} goes with --on: this cluster has what it has", expected="--on MACHINES", got=flags
        )
    if not model and settings.keys() - {"context"}:
        raise ArgumentError(
            "the model that is loaded lies on the ranks as it does",
            expected="%plan [--context N], or a MODEL with other flags",
            got=", ".join(f"--{name}" for name in settings if name != "context"),
        )
    return cluster.plan(model or None, **settings)
