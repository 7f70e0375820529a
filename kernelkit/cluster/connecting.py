"""`connect`: from what the user asked for to a cluster that works."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

from kernelkit.cluster.bringup import Report, bring_up
from kernelkit.cluster.cluster import Cluster
from kernelkit.cluster.site import find_site

# Those that `connect` made and that are still held by somebody.
_MADE: weakref.WeakSet[Cluster] = weakref.WeakSet()


def connect(
    world_size: int | None = None,
    *,
    hostfile: str | os.PathLike[str] | None = None,
    hosts: str | Sequence[str] | None = None,
    backend: str = "auto",
    python: str | None = None,
    ranks_per_host: int | None = None,
    report: Report = lambda _: None,
) -> Cluster:
    """Start ranks here or on other hosts, and form an MLX group of them.

    With none of the first three, the hostfile `./hosts.json` or `$KERNELKIT_HOSTFILE` is taken; where there
    is none, a rank for each NVIDIA GPU of this machine, or two. Clusters are independent: a second one may
    run beside the first. `with connect() as cluster:` stops it.

    Args:
        world_size: that many ranks on this machine. More than it has cores works, slowly: rings busy-wait.
        hostfile: MLX's, as `mlx.launch` takes it; one rank per entry.
        hosts: names for ssh, one rank on each: a list, or `a,b,c`.
        backend: one of MLX's; `auto` takes the hostfile's, else the fastest that the hosts can do.
        python: the Python of the other hosts, where it has another path than the notebook's.
        ranks_per_host: so many on each host, for GPUs one each: host 0's ranks, then host 1's, and so on.
        report: is told in a few words what happens, for a progress line.

    Raises:
        ArgumentError: no possible number of ranks, or a hostfile that cannot be used.
        HostError: a host cannot be reached, or its software differs.
        ConnectError: they did not start or did not form a group.
    """
    site = find_site(world_size, hostfile, hosts, backend, python, ranks_per_host)
    cluster = Cluster(site, bring_up(site, report))
    _MADE.add(cluster)
    return cluster


def connected() -> list[Cluster]:
    """The clusters of this process that were not stopped."""
    return [cluster for cluster in _MADE if cluster.state != "stopped"]
