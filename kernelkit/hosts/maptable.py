"""The map of a cluster as text: a line for each host, and one for each link."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kernelkit.tables import text_table
from kernelkit.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode

HOST_COLUMNS = ("host", "chip", "memory", "ranks")
EDGE_COLUMNS = ("ranks", "link", "over", "bandwidth", "latency", "state")


def as_text(cluster_map: ClusterMap) -> str:
    """The same from run to run where the hosts and links are: what changes by the moment is left out."""
    hosts = text_table(HOST_COLUMNS, [_host_row(host) for host in cluster_map.hosts])
    edges = text_table(EDGE_COLUMNS, [_edge_row(edge) for edge in cluster_map.edges])
    words = [edge.words for edge in cluster_map.edges if edge.words]
    return "\n".join([title(cluster_map), hosts, *(["", edges] if cluster_map.edges else []), *words])


def title(cluster_map: ClusterMap) -> str:
    """`2 hosts, 4 ranks, backend jaccl, mesh`."""
    hosts, ranks = len(cluster_map.hosts), sum(len(host.ranks) for host in cluster_map.hosts)
    parts = [f"{hosts} host{'s' if hosts != 1 else ''}"]
    parts += [f"{ranks} rank{'s' if ranks != 1 else ''}"] if ranks else []
    parts += [f"backend {cluster_map.backend}"] if cluster_map.backend else []
    return ", ".join([*parts, *([cluster_map.shape] if cluster_map.shape else [])])


def _host_row(host: HostNode) -> tuple[str, ...]:
    memory = "" if host.memory_bytes is None else format_bytes(host.memory_bytes)
    return host.name, host.chip, memory, ", ".join(str(node.rank) for node in host.ranks)


def _edge_row(edge: Edge) -> tuple[str, ...]:
    state = edge.state if edge.in_use else f"{edge.state}, not in use"
    bandwidth = _both(edge.bandwidth_bytes_per_s, lambda value: f"{format_bytes(value)}/s")
    return (
        f"{edge.ranks[0]} - {edge.ranks[1]}",
        edge.title,
        edge.interface,
        bandwidth,
        _both(edge.latency_s, format_seconds),
        state,
    )


def _both(pair: tuple[float | None, float | None], form: Callable[[float], str]) -> str:
    """`6.1 GB/s`, or `6.1 GB/s, 5.8 GB/s back` where the two ways differ."""
    there, back = ("-" if value is None else form(value) for value in pair)
    if there == back:
        return "" if pair[0] is None else there
    return f"{there}, {back} back"
