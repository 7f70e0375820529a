"""The map of a cluster while something runs on it: what each rank does, and what went over each link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode, RankState
from kernelkit.places import Place, Places, sentence, waits_in


def with_places(cluster_map: ClusterMap, places: Places) -> ClusterMap:
    """The same map with the ranks where they stand now; quick enough for ten times a second.

    Bytes are what the ranks' calls send, see `hosts.traffic`. They are split evenly among a pair's links
    in use, and left out where it has none.
    """
    over = all(place.over for place in places.values())
    hosts = tuple(_host(host, places, over=over) for host in cluster_map.hosts)
    sent = _between_hosts(sent_between(places), cluster_map.host_of)
    ways = Counter(frozenset(edge.hosts) for edge in cluster_map.edges if edge.in_use)
    seen: Counter[frozenset[str]] = Counter()
    edges = []
    for edge in cluster_map.edges:
        pair = frozenset(edge.hosts)
        if edge.in_use:
            edges.append(_edge(edge, sent, ways[pair], seen[pair]))
            seen[pair] += 1
        else:
            edges.append(edge)
    return replace(cluster_map, hosts=hosts, edges=tuple(edges))


def sent_between(places: Places) -> dict[tuple[int, int], int]:
    """Bytes by sender and receiver since the cell began."""
    return {
        (rank, peer): size
        for rank, place in sorted(places.items())
        for peer, size in place.peer_bytes.items()
    }


def _host(host: HostNode, places: Places, *, over: bool) -> HostNode:
    return replace(host, ranks=tuple(_rank(node, places, over=over) for node in host.ranks))


def _rank(node: RankNode, places: Places, *, over: bool) -> RankNode:
    place = places.get(node.rank)
    if place is None or node.state == "gone":
        return node
    # Where all have ended, none has ended before another.
    doing = place.doing if over else sentence(place, places)
    return replace(node, doing=doing, state=_state(place, places))


def _state(place: Place, places: Places) -> RankState:
    if place.state == "silent":
        return "silent"
    if place.over:
        return "idle"
    return "waiting" if waits_in(place, places) else "running"


def _between_hosts(
    sent: Mapping[tuple[int, int], int], host_of: Mapping[int, str]
) -> Counter[tuple[str, str, bool]]:
    """By the sender's host and the receiver's; on one host also by whether it goes to the higher rank."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for (sender, receiver), size in sent.items():
        if sender in host_of and receiver in host_of:
            a, b = host_of[sender], host_of[receiver]
            found[a, b, a == b and sender < receiver] += size
    return found


def _edge(edge: Edge, sent: Counter[tuple[str, str, bool]], ways: int, number: int) -> Edge:
    """The link with its part of what went between its hosts: the `number`-th of so many `ways`."""
    a, b = edge.hosts
    there, back = sent[a, b, a == b], sent[b, a, False]
    return replace(edge, sent_bytes=(_part(there, ways, number), _part(back, ways, number)))


def _part(size: int, ways: int, number: int) -> int:
    """Parts that differ by one at most, and are the whole together."""
    return size // ways + (number < size % ways)
