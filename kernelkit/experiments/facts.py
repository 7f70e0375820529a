"""What a cluster says of itself for a record: its hosts, its ranks, and the model on them."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from kernelkit.errors import ArgumentError
from kernelkit.experiments.parts import Host, Model, Place
from kernelkit.launch.hello import code_digest, version_of

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster
    from kernelkit.model import ShardedModel

_PACKAGES = ("numpy", "ipykernel", "jupyter_client")


def find_cluster(given: object) -> Cluster | None:
    """The cluster that an experiment is on.

    Args:
        given: it, or None for the one that is connected.

    Raises:
        ArgumentError: it is no cluster; or several are connected, and none was named.
    """
    loaded = sys.modules.get("kernelkit.cluster")
    if given is not None:
        if loaded is None or not isinstance(given, loaded.Cluster):
            cure = "a parameter of that name goes into a dictionary: experiment(NAME, {...})"
            raise ArgumentError("this is no cluster", expected="a Cluster", got=repr(given), cure=cure)
        cluster: Cluster = given
        return cluster
    connected = [] if loaded is None else loaded.connected()
    if len(connected) > 1:
        got = f"{len(connected)} of them"
        raise ArgumentError("several clusters are connected", got=got, cure="experiment(..., cluster=...)")
    return connected[0] if connected else None


def places_of(cluster: Cluster) -> tuple[tuple[Place, ...], tuple[Host, ...]]:
    """Its ranks, and each of their hosts once, in the order of the lowest ranks."""
    memory_bytes = {host.name: host.memory_bytes for host in cluster.status().hosts}
    places: list[Place] = []
    hosts: dict[str, Host] = {}
    for rank, facts in sorted(cluster.rank_facts.items()):
        name = facts["host"]
        places.append(Place(rank, name, facts["device"], facts["blas"]))
        versions = {field: facts[field] for field in ("os", "python", "mlx", "mlx_lm")}
        hosts.setdefault(name, Host(name, facts["chip"], memory_bytes.get(name), **versions))
    return tuple(places), tuple(hosts.values())


def model_of(model: ShardedModel) -> Model:
    """A model that is loaded; its files are read for their digest.

    Raises:
        ModelError: the hosts have different files, or the model was unloaded.
    """
    layout, dtype = model.layout, model.summaries[0]["dtype"]
    split = None if layout.split is None else tuple(layout.split)
    return Model(
        model.name,
        model.content,
        layout.strategy,
        split,
        layout.stages,
        layout.quantize,
        layout.context,
        dtype,
        layout.dtype,
    )


def versions_here() -> dict[str, str]:
    """Of what the notebook itself runs; kernelkit's with a digest of its source, which a version may hide."""
    own = f"{metadata.version('kernelkit')}, source {code_digest()}"
    others = {name: version_of(name) for name in _PACKAGES}
    return {"kernelkit": own, "Python": platform.python_version(), **others}
