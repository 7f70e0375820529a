"""The cluster as a picture: hosts and their ranks, and what each link between them really carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError
from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.views import topology_words as words
from kernelkit.views.picture import Picture

if TYPE_CHECKING:
    from kernelkit.hosts.clustermap import Edge, HostNode, RankNode


def topology(cluster_map: ClusterMap) -> Picture:
    """Hosts as nodes, links as edges whose width is the measured bandwidth.

    A pure function of plain data: a running cluster and a map that was saved give the same picture. Its text
    is the map's own table, which leaves out what changes by the moment.

    Raises:
        ArgumentError: a link ends at a host that the map does not have; or this is no map.
    """
    if not isinstance(cluster_map, ClusterMap):
        got = type(cluster_map).__name__
        raise ArgumentError(
            "this is no map of a cluster", expected="a ClusterMap", got=got, cure="cluster.map()"
        )
    shown = scene(cluster_map)
    return Picture("topology", shown, repr(cluster_map), alt(shown))


def scene(cluster_map: ClusterMap) -> dict[str, Any]:
    """All that is shown, with its words; where things stand is left to who draws it.

    Returns:
        `hosts` in the order of the ring in use; `links`, each with `ends`, the indices of its two hosts,
        and `label`, one line, or one for each way where the two differ; `notes`, sentences on what is wrong;
        `live`, whether bytes are counted.
    """
    cluster_map = cluster_map.printable()
    hosts = _ring_order(cluster_map)
    index = {host.name: at for at, host in enumerate(hosts)}
    links = [_link(edge, words.link_words(edge, cluster_map), index) for edge in cluster_map.edges]
    return {
        "title": words.title(cluster_map),
        "subtitle": words.subtitle(cluster_map),
        "kinds": words.kinds(cluster_map),
        "shape": cluster_map.shape,
        "hosts": [_host(host) for host in hosts],
        "links": links,
        "notes": [link["note"] for link in links if link["note"]],
        # While nothing was sent, no room is kept for it.
        "live": any(any(edge.sent_bytes) for edge in cluster_map.edges),
    }


def alt(scene: dict[str, Any]) -> str:
    """Two sentences for those who do not see it: who is there, and what joins them; then what is wrong."""
    hosts = ", ".join(words.with_ranks(host["name"], host["ranks"]) for host in scene["hosts"])
    states = [link["state"] for link in scene["links"]]
    measured = sum(state in ("measured", "low") for state in states)
    links = f"{words.count(len(states), 'link')}, {measured} measured" if states else "No links"
    return " ".join([f"{scene['title']}: {hosts}.", f"{links}.", *scene["notes"]])


def _ring_order(cluster_map: ClusterMap) -> list[HostNode]:
    """Hosts as the ring goes round, so that its links are the drawing's outline."""
    place = {rank: at for at, rank in enumerate(cluster_map.ring)}

    def first(host: HostNode) -> int:
        return min((place.get(node.rank, len(place)) for node in host.ranks), default=len(place))

    return sorted(cluster_map.hosts, key=first)


def _host(host: HostNode) -> dict[str, Any]:
    return {
        "name": host.name,
        "chip": host.chip,
        "memory": words.memory(host),
        "memory_bytes": host.memory_bytes,
        "used_bytes": host.used_bytes,
        "ranks": [_rank(node) for node in host.ranks],
    }


def _rank(node: RankNode) -> dict[str, Any]:
    """`line` is what the rank does or, as long as its state says that, what it runs on, without the chip."""
    device = ", ".join(filter(None, (node.device.partition(" (")[0], f"mlx {node.mlx}" if node.mlx else "")))
    return {
        "rank": node.rank,
        "state": node.state,
        "line": node.doing if node.doing not in ("", node.state) else device,
        "facts": words.rank_facts(node),
    }


def _link(edge: Edge, said: words.LinkWords, index: dict[str, int]) -> dict[str, Any]:
    known = [value for value in edge.bandwidth_bytes_per_s if value]
    return {
        "ranks": list(edge.ranks),
        "ends": [words.place_of(name, index) for name in edge.hosts],
        "state": edge.state,
        "in_use": edge.in_use,
        # The width of its line; of a link that was not measured, by the data sheet.
        "rate_bytes_per_s": max(known) if known else edge.nominal_bytes_per_s,
        **said,
    }
