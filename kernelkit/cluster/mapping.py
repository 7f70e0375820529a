"""The map of a running cluster: who is there, what joins them, and what they are doing just now."""

from __future__ import annotations

from kernelkit.catalog import link_kind
from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import LinkReport
from kernelkit.hosts.live import with_places
from kernelkit.hosts.mapping import map_of_status
from kernelkit.hosts.status import ClusterStatus
from kernelkit.places import Places


def draw_map(
    status: ClusterStatus, hosts: tuple[Host, ...], report: LinkReport | None, places: Places
) -> ClusterMap:
    """The map, with the ranks where they stand if a request is under way.

    Raises:
        ArgumentError: the report is of a cluster with other ranks.
    """
    found = map_of_status(status, hosts, report, link_kind("tb5-rdma").way())
    return with_places(found, places) if places else found
