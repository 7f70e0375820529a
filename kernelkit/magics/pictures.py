"""What results look like in a notebook: each type, by its name, and the picture of it.

They are registered with IPython when the magics are, so the types themselves stay plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster
    from kernelkit.views import Picture

Bundle = tuple[dict[str, Any], dict[str, Any]]


def register(shell: InteractiveShell, find: Callable[[], Cluster | None]) -> None:
    """Let results show themselves as pictures, where the shell has a page to show them on.

    Args:
        find: gives the notebook's cluster, whose links may have been measured.
    """
    if not hasattr(shell, "kernel"):
        return
    status = ("kernelkit.hosts.status", "ClusterStatus")
    for (module, name), draw in {**_PICTURES, status: lambda result: _status(result, find())}.items():
        _formatter(shell).for_type_by_name(module, name, _shown(draw))
        # Pages that cannot draw the scene would take a table of the same facts before the PNG.
        _html(shell).for_type_by_name(module, name, lambda _: None)


def unregister(shell: InteractiveShell) -> None:
    """Take back what `register` did."""
    for module, name in (*_PICTURES, ("kernelkit.hosts.status", "ClusterStatus")):
        for formatter in (_formatter(shell), _html(shell)):
            formatter.pop(f"{module}.{name}", None)


def _formatter(shell: InteractiveShell) -> Any:
    formatter: Any = shell.display_formatter
    return formatter.mimebundle_formatter


def _html(shell: InteractiveShell) -> Any:
    formatter: Any = shell.display_formatter
    return formatter.formatters["text/html"]


def _shown(draw: Callable[[Any], Picture | None]) -> Callable[[Any], Bundle | None]:
    def show(result: Any) -> Bundle | None:
        picture = draw(result)
        # The table stays the one that the result prints.
        return None if picture is None else replace(picture, text=repr(result)).bundle()

    return show


def _topology(result: Any) -> Picture:
    from kernelkit.views import topology

    return topology(result)


def _status(status: Any, cluster: Cluster | None) -> Picture:
    from kernelkit.hosts.mapping import map_of_status
    from kernelkit.views import topology

    hosts, report = (cluster.site.hostfile.hosts, cluster.measured) if cluster is not None else ((), None)
    if len(status.ranks) != len(hosts):  # the status of another cluster, loaded from a file perhaps
        hosts, report = (), None
    return topology(map_of_status(status, hosts, report))


def _cables(result: Any) -> Picture:
    from kernelkit.hosts.cablemap import map_of_topology
    from kernelkit.views import topology

    return topology(map_of_topology(result))


def _discovery(result: Any) -> Picture:
    from kernelkit.views import topology

    return topology(result.map())


def _links(result: Any) -> Picture:
    from kernelkit.views import link_matrix

    return link_matrix(result)


def _shards(result: Any) -> Picture:
    from kernelkit.views import shard_map

    return shard_map(getattr(result, "shards", result))


def _memory(result: Any) -> Picture:
    from kernelkit.views import memory

    return memory(result)


def _generation(result: Any) -> Picture:
    from kernelkit.views import generation

    return generation(result)


def _plan(result: Any) -> Picture:
    from kernelkit.views import plan

    return plan(result)


def _sweep(result: Any) -> Picture | None:
    from kernelkit.views import speeds

    # Plans of several models have their table alone.
    return speeds(result) if len({each.model for each in result.plans}) == 1 else None


def _experiment(result: Any) -> Picture:
    from kernelkit.views import experiment

    return experiment(result)


def _timeline(result: Any) -> Picture:
    from kernelkit.views import timeline

    return timeline(result)


_PICTURES: dict[tuple[str, str], Callable[[Any], Picture | None]] = {
    ("kernelkit.experiments.comparing", "Comparison"): _experiment,
    ("kernelkit.experiments.record", "Experiment"): _experiment,
    ("kernelkit.generation", "Generation"): _generation,
    ("kernelkit.hosts.clustermap", "ClusterMap"): _topology,
    ("kernelkit.hosts.linkreport", "LinkReport"): _links,
    ("kernelkit.hosts.topology", "Topology"): _cables,
    ("kernelkit.model.sharded", "ShardedModel"): _shards,
    ("kernelkit.perf.result", "Plan"): _plan,
    ("kernelkit.perf.sweeping", "Sweep"): _sweep,
    ("kernelkit.perf.timeline", "Timeline"): _timeline,
    ("kernelkit.sharding.memory", "MemoryMap"): _memory,
    ("kernelkit.sharding.shardmap", "ShardMap"): _shards,
    ("kernelkit.survey.discover", "Discovery"): _discovery,
}
