"""Let the ranks form MLX's group: ports, the environment of the backend, and the order of entering."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from kernelkit.cluster.running import Crew, call_all
from kernelkit.cluster.site import Site
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import Join, jaccl_joins, nccl_joins, ring_joins

JOIN_TIMEOUT_S = 40.0
_REACH_S = 5.0

Facts = dict[int, dict[str, Any]]


def form_group(crew: Crew, site: Site, backend: str) -> Facts:
    """Join all ranks and prove that the group works; returns what each rank says of itself.

    Raises:
        HostError: a host lacks an address, or cannot reach another one.
        GroupError: MLX formed no group, or another one.
        RankLostError: a rank's process ended.
    """
    everyone = range(site.world_size)
    listeners = _listeners(site, backend)
    if not site.is_local:
        _try_doors(crew, site, backend, listeners)
    ports = _reserve(crew, listeners)
    joins = _joins(site, backend, ports)
    requests = {
        rank: ("join", {"backend": join.backend, "env": join.env, "files": join.files})
        for rank, join in enumerate(joins)
    }
    ring = _RingOrder(crew.agent, {rank: mine[0] for rank, mine in ports.items()})
    # With several addresses a rank listens on the next one only once the first is connected.
    in_order = joins[0].backend == "ring" and all(len(mine) == 1 for mine in ports.values())
    facts = call_all(crew, requests, JOIN_TIMEOUT_S, around=ring if in_order else None)
    nonce = secrets.randbelow(2**30)
    call_all(crew, {rank: ("verify", {"nonce": nonce}) for rank in everyone}, JOIN_TIMEOUT_S)
    return facts


def _listeners(site: Site, backend: str) -> dict[int, list[str]]:
    """Ranks that listen for others, and on which addresses."""
    hosts = site.hostfile.hosts
    if site.world_size == 1 or backend == "mpi":
        return {}
    if backend == "ring":
        return {rank: list(host.ips) for rank, host in enumerate(hosts)}
    return {0: [hosts[0].ips[0]]}


def _try_doors(crew: Crew, site: Site, backend: str, listeners: Mapping[int, list[str]]) -> None:
    """Reach every rank from those that MLX will connect to it."""
    doors = {rank: ("open_doors", {"addresses": mine}) for rank, mine in listeners.items()}
    ports = call_all(crew, doors, JOIN_TIMEOUT_S)
    size = site.world_size
    requests: dict[int, tuple[str, dict[str, Any]]] = {}
    for rank in range(size):
        # In a ring each dials the next; to other backends rank 0 is the one that all know.
        target = (rank + 1) % size if backend == "ring" else 0
        if target in ports and target != rank:
            peers = [
                (address, port, target)
                for address, port in zip(listeners[target], ports[target], strict=True)
            ]
            requests[rank] = ("reach", {"peers": peers, "timeout_s": _REACH_S})
    call_all(crew, requests, JOIN_TIMEOUT_S)


def _reserve(crew: Crew, listeners: Mapping[int, list[str]]) -> dict[int, list[int]]:
    reservations = {rank: ("reserve_ports", {"addresses": mine}) for rank, mine in listeners.items()}
    return call_all(crew, reservations, JOIN_TIMEOUT_S)


def _joins(site: Site, backend: str, ports: Mapping[int, list[int]]) -> list[Join]:
    hosts = site.hostfile.hosts
    if site.world_size == 1:
        return [Join(backend=None)]
    if backend == "ring":
        return ring_joins(
            [
                [f"{ip}:{port}" for ip, port in zip(host.ips, ports[rank], strict=True)]
                for rank, host in enumerate(hosts)
            ]
        )
    if backend == "mpi":
        return [Join("mpi")] * len(hosts)
    if backend == "nccl":
        return nccl_joins(hosts, hosts[0].ips[0], ports[0][0], site.gpu_ids)
    return jaccl_joins(hosts, f"{hosts[0].ips[0]}:{ports[0][0]}", ring=backend == "jaccl-ring")


class _RingOrder:
    """The order in which ranks enter `init` so that no connection is refused.

    MLX's ring dials before it listens on the last rank, listens before it dials on all others, and
    waits a second before it dials again. So: all but the last listen first; rank 0 is then held, so
    that it cannot dial the last rank before that one listens as well. An optimization only: where a
    wait times out, MLX's own retry forms the ring.
    """

    _WAIT_S = 2.0

    def __init__(self, agents: Agents, ports: dict[int, int]) -> None:
        self._agents = agents
        self._ports = ports
        self._last = max(ports, default=0)

    def before(self, rank: int) -> None:
        if rank == self._last:
            self._await([r for r in self._ports if r != self._last], hold=0)

    def after(self, rank: int) -> None:
        if rank == self._last:
            self._await([self._last], hold=None)
            self._agents.ask(0, {"op": "resume"})

    def _await(self, ranks: list[int], hold: int | None) -> None:
        for rank in ranks:
            self._agents.ask(rank, {"op": "await_listening", "port": self._ports[rank], "hold": rank == hold})
        listening, exits = self._agents.listening, self._agents.exits
        self._agents.wait_for(lambda: listening.issuperset(ranks) or bool(exits), self._WAIT_S)
