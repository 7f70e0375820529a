"""What the topology picture says of hosts, ranks and links: each fact in words, once for all its forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from kernelkit.errors import ArgumentError
from kernelkit.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode

Facts = list[list[str]]

# Two ways of a link that are at least as near as this are said as one, the slower. A link's two ways,
# measured twice, were within 0.1 of each other.
_SAME_BANDWIDTH = 0.9
_SAME_LATENCY = 0.75
_STATES = {"nominal": "not measured", "low": "far under nominal"}


class LinkWords(TypedDict):
    """A link in words.

    Attributes:
        title: its ends and what it is; `kind`: what it is, where that tells it from others at the same place.
        label: a line, or one for each way.
        sent: bytes since the cell began; `note`: what is wrong, one sentence. Both may be empty.
        facts: for its details; `cells`: its row in the table of links.
    """

    title: str
    kind: str
    label: list[str]
    sent: str
    note: str
    facts: Facts
    cells: list[str]


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def title(cluster_map: ClusterMap) -> str:
    """`Mesh of 4 ranks on 4 hosts`."""
    hosts, ranks = count(len(cluster_map.hosts), "host"), len(cluster_map.ranks)
    where = f"{count(ranks, 'rank')} on {hosts}" if ranks else hosts
    return f"{cluster_map.shape.capitalize()} of {where}" if cluster_map.shape else where


def subtitle(cluster_map: ClusterMap) -> str:
    """`backend ring, running, 0 → 1 → 3 → 2 → 0`."""
    ring = cluster_map.ring if cluster_map.shape == "ring" else ()
    order = " → ".join(map(str, (*ring, ring[0]))) if len(ring) > 2 else ""
    backend = f"backend {cluster_map.backend}" if cluster_map.backend else ""
    return ", ".join(filter(None, (backend, cluster_map.state, order)))


def kinds(cluster_map: ClusterMap) -> str:
    """`6 links: Thunderbolt 5, nominal 10 GB/s; 1 link: Wi-Fi`."""
    found: Counter[str] = Counter()
    for edge in cluster_map.edges:
        nominal = f"nominal {_rate(edge.nominal_bytes_per_s)}" if edge.nominal_bytes_per_s else ""
        found[", ".join(filter(None, (edge.title, nominal)))] += 1
    return "; ".join(f"{count(number, 'link')}: {kind}" for kind, number in found.items() if kind)


def with_ranks(name: str, ranks: Sequence[Mapping[str, Any]]) -> str:
    """`mac1 (rank 0)`."""
    numbers = ", ".join(str(rank["rank"]) for rank in ranks)
    return f"{name} (rank{'s' if len(ranks) > 1 else ''} {numbers})" if ranks else name


def memory(host: HostNode) -> str:
    """`148 GB of 512 GB`; only what is known."""
    used, total = host.used_bytes, host.memory_bytes
    if used is None:
        return "" if total is None else format_bytes(total)
    return f"{format_bytes(used)} used" if total is None else f"{format_bytes(used)} of {format_bytes(total)}"


def rank_facts(node: RankNode) -> Facts:
    """Everything known of a rank; what is not known is an empty cell, so that ranks line up in a table."""
    return [
        ["state", node.state],
        ["doing", node.doing],
        ["device", node.device],
        ["pid", str(node.pid) if node.pid else ""],
        ["BLAS", node.blas],
        ["mlx", node.mlx],
        ["memory", "" if node.memory_bytes is None else format_bytes(node.memory_bytes)],
        ["of it MLX", "" if node.mlx_bytes is None else format_bytes(node.mlx_bytes)],
    ]


def place_of(host: str, index: Mapping[str, int]) -> int:
    """Where a host stands.

    Raises:
        ArgumentError: no host is called so.
    """
    if host not in index:
        raise ArgumentError("a link ends at an unknown host", expected=f"one of {', '.join(index)}", got=host)
    return index[host]


def link_words(edge: Edge, cluster_map: ClusterMap) -> LinkWords:
    """All that is said of a link; its ends are called by rank, or by host as long as no ranks run."""
    ranked = bool(cluster_map.ranks)
    low, high = map(str, edge.ranks if ranked else edge.hosts)
    ways = f"{low} → {high}", f"{high} → {low}"
    name = f"rank {low} – rank {high}" if ranked else f"{low} – {high}"
    full = ", ".join(filter(None, (name, _over(edge))))
    return {
        "title": full,
        "kind": edge.title if _has_company(edge, cluster_map) else "",
        "label": _label(edge, ways),
        "sent": _sent(edge),
        "note": _note(edge, full),
        "facts": _facts(edge, ways),
        "cells": _cells(edge, f"{low} - {high}"),
    }


def _has_company(edge: Edge, cluster_map: ClusterMap) -> bool:
    """Whether its label says what it is: others join the same hosts, or it joins ranks of one host."""
    same = [other for other in cluster_map.edges if set(other.hosts) == set(edge.hosts)]
    return len(same) > 1 or len(set(edge.hosts)) == 1


def _label(edge: Edge, ways: tuple[str, str]) -> list[str]:
    """`6.2 GB/s · 41 µs`; one line for each way where the two differ."""
    if edge.state == "failed":
        return ["failed"]
    if not any((*edge.bandwidth_bytes_per_s, *edge.latency_s)):
        known = edge.nominal_bytes_per_s
        return [f"nominal {_rate(known)}" if known else "not measured"]
    bandwidth, latency_s = edge.bandwidth_bytes_per_s, edge.latency_s
    if _alike(bandwidth, _SAME_BANDWIDTH) and _alike(latency_s, _SAME_LATENCY):
        slower = [value for value in bandwidth if value], [value for value in latency_s if value]
        return [_figures(min(slower[0], default=None), max(slower[1], default=None))]
    return [f"{way}: {_figures(*figures)}" for way, *figures in zip(ways, bandwidth, latency_s, strict=True)]


def _sent(edge: Edge) -> str:
    """`↔ 12.4 MB`: both ways together since the cell began; empty before the first byte."""
    total = sum(edge.sent_bytes)
    return f"↔ {format_bytes(total)}" if total else ""


def _note(edge: Edge, full: str) -> str:
    """One sentence on a link that is low or failed; empty where all is well."""
    if edge.state not in ("low", "failed"):
        return ""
    said = edge.words or f"{full}: {_STATES.get(edge.state, edge.state)}"
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _facts(edge: Edge, ways: tuple[str, str]) -> Facts:
    """What the details say: each way for itself, in full."""
    there, back = edge.sent_bytes
    sent = f"{ways[0]}: {format_bytes(there)}, {ways[1]}: {format_bytes(back)}"
    first, second = edge.hosts
    state = _STATES.get(edge.state, edge.state)
    facts = [
        ["hosts", f"inside {first}" if first == second else f"{first} – {second}"],
        ["link", edge.title],
        ["interface", edge.interface],
        ["nominal, each way", _rate(edge.nominal_bytes_per_s)],
        *([way, said] for way, said in zip(ways, _both_ways(edge), strict=True)),
        ["sent in this cell", sent if there or back else ""],
        ["state", f"{state}, {'in use' if edge.in_use else 'not in use'}"],
    ]
    return [fact for fact in facts if fact[1]]


def _both_ways(edge: Edge) -> list[str]:
    """`6.2 GB/s · 41 µs, 62 % of nominal` for each."""
    return [
        ", ".join(filter(None, (_figures(*figures), _share(figures[0], edge.nominal_bytes_per_s))))
        for figures in zip(edge.bandwidth_bytes_per_s, edge.latency_s, strict=True)
    ]


def _cells(edge: Edge, name: str) -> list[str]:
    known = [value for value in edge.bandwidth_bytes_per_s if value]
    state = _STATES.get(edge.state, edge.state)
    return [
        name,
        edge.title,
        edge.interface,
        _rate(edge.nominal_bytes_per_s),
        _pair([_rate(value) for value in edge.bandwidth_bytes_per_s]),
        _pair([_seconds(value) for value in edge.latency_s]),
        _share(min(known, default=None), edge.nominal_bytes_per_s).removesuffix(" of nominal"),
        ", ".join(filter(None, (state, "" if edge.in_use else "not in use", _sent(edge)))),
    ]


def _over(edge: Edge) -> str:
    both = edge.title and edge.interface
    return f"{edge.title} ({edge.interface})" if both else edge.title or edge.interface


def _alike(ways: Sequence[float | None], share: float) -> bool:
    """Whether two ways are near enough to be said as one; one that is not known differs from one that is."""
    known = [value for value in ways if value]
    return not known or (len(known) == len(ways) and min(known) >= share * max(known))


def _figures(bandwidth: float | None, latency_s: float | None) -> str:
    return " · ".join(filter(None, (_rate(bandwidth), _seconds(latency_s)))) or "not measured"


def _pair(ways: Sequence[str]) -> str:
    there, back = (way or "?" for way in ways)
    return "" if not any(ways) else there if there == back else f"{there} / {back}"


def _rate(bytes_per_s: float | None) -> str:
    return f"{format_bytes(bytes_per_s)}/s" if bytes_per_s else ""


def _seconds(time_s: float | None) -> str:
    return format_seconds(time_s) if time_s else ""


def _share(bandwidth: float | None, nominal: float | None) -> str:
    if not bandwidth or not nominal:
        return ""
    share = bandwidth / nominal
    return f"{100 * share:.0f} % of nominal" if share >= 0.01 else f"{100 * share:.1g} % of nominal"
