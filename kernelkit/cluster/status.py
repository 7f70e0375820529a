"""Ask every rank beside what it is doing, and its host what is left of its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kernelkit.cluster.bringup import Members
from kernelkit.cluster.follow import ASK_TIMEOUT_S
from kernelkit.cluster.observe import place_of
from kernelkit.hosts.clustermap import RankState
from kernelkit.hosts.status import ClusterStatus, HostStatus, RankStatus

_MEMORY = ("memory_bytes", "mlx_bytes", "gpu_memory_bytes", "gpu_used_bytes")


def look(members: Members, state: str, backend: str) -> ClusterStatus:
    """One that is gone or cannot answer says so in its row."""
    exits = members.agent.exits
    living = [rank for rank in members.facts if rank not in exits]
    live = members.channel.ask(living, "status", {}, ASK_TIMEOUT_S) if members.agent.alive else {}
    ranks = []
    for rank, facts in members.facts.items():
        now = live.get(rank, {})
        stands = place_of(rank, "running" if now else "silent", now).stands
        doing = f"gone ({exits[rank]})" if rank in exits else stands
        fixed = {name: facts[name] for name in ("rank", "host", "pid", "device", "blas", "mlx")}
        memory = {name: now.get(name) for name in _MEMORY}
        ranks.append(RankStatus(**fixed, **memory, doing=doing, state=_state(rank in exits, now)))
    return ClusterStatus(state, backend, tuple(ranks), _hosts(members.facts, live))


def _state(is_gone: bool, now: Mapping[str, Any]) -> RankState:
    if is_gone or not now:
        return "gone" if is_gone else "silent"
    return "idle" if now["doing"] == "idle" else "running"


def _hosts(
    facts: Mapping[int, Mapping[str, Any]], live: Mapping[int, Mapping[str, Any]]
) -> tuple[HostStatus, ...]:
    """Each host once, its memory as the lowest of its ranks that answers sees it."""
    found: dict[str, HostStatus] = {}
    for rank in sorted(facts):
        name, now = facts[rank]["host"], live.get(rank, {})
        known = found.get(name, HostStatus(name, facts[rank]["chip"]))
        if known.memory_bytes is None:
            memory_bytes, used_bytes = now.get("host_memory_bytes"), now.get("host_used_bytes")
            known = replace(known, memory_bytes=memory_bytes, used_bytes=used_bytes)
        found[name] = known
    return tuple(found.values())
