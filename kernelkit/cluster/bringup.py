"""Bring a cluster up: start the ranks, connect to them, form MLX's group, and prove that it works."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from kernelkit.channel.connection import Keys
from kernelkit.channel.jupyter import JupyterChannel
from kernelkit.cluster.running import call_all, raise_if_lost
from kernelkit.errors import ConnectError, GroupError, RankLostError
from kernelkit.launch.command import ring_joins, start_request
from kernelkit.launch.local import LocalAgent

START_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 40.0
_TRIES = 3

Report = Callable[[str], None]


@dataclass
class Members:
    """What a connected cluster consists of.

    Attributes:
        agent: parent of the ranks.
        channel: the way to talk to them.
        facts: per rank, what does not change: host, pid, device, versions.
    """

    agent: LocalAgent
    channel: JupyterChannel
    facts: dict[int, dict[str, Any]]

    def close(self) -> None:
        """End the ranks and everything that belongs to them."""
        self.agent.stop()
        self.channel.close()


def bring_up(world_size: int, report: Report) -> Members:
    """Start `world_size` local ranks and form a ring of them.

    A port that was free a moment ago can be taken, by a stranger or by another ring; a group that
    did not form or that answers with another nonce is thrown away whole, and new ranks try again.

    Raises:
        ConnectError: the ranks did not start, or formed no group in three tries.
        RankLostError: a rank's process ended before the group was formed.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _try(world_size, report)
        except RankLostError as error:
            error.cure = "mend what its last lines say, then try again; nothing is left running"
            raise
        except GroupError:
            if attempt == _TRIES:
                raise
            report("the group did not form; trying with new ranks and ports")
    raise AssertionError("unreachable")


def _try(world_size: int, report: Report) -> Members:
    with ExitStack() as undo:  # whatever goes wrong, Ctrl-C too, nothing stays behind
        report(f"starting {world_size} rank{'s' if world_size > 1 else ''}")
        keys = Keys.new()
        agent = LocalAgent()
        undo.callback(agent.stop)
        agent.send(start_request(world_size, keys.to_dict()))
        agent.wait_for(
            lambda: len(agent.ready) == world_size or bool(agent.exits) or not agent.alive, START_TIMEOUT_S
        )
        _check_started(agent, world_size)
        members = Members(agent, JupyterChannel(keys, agent.ready, START_TIMEOUT_S), {})
        undo.callback(members.channel.close)
        members.facts = _form_group(members, world_size, report)
        undo.pop_all()
        return members


def _check_started(agent: LocalAgent, world_size: int) -> None:
    raise_if_lost(agent)
    if len(agent.ready) < world_size:
        missing = [rank for rank in range(world_size) if rank not in agent.ready]
        raise ConnectError(
            f"ranks {missing} did not start within {START_TIMEOUT_S:.0f} s",
            cure="fewer ranks, or a calmer machine",
        )


def _form_group(members: Members, world_size: int, report: Report) -> dict[int, dict[str, Any]]:
    report("forming the group")
    everyone = range(world_size)
    address = "127.0.0.1"
    ports = call_all(
        members, {rank: ("reserve_port", {"address": address}) for rank in everyone}, JOIN_TIMEOUT_S
    )
    joins = ring_joins([f"{address}:{ports[rank]}" for rank in everyone])
    requests = {
        rank: ("join", {"backend": join.backend, "env": join.env, "files": join.files})
        for rank, join in enumerate(joins)
    }
    ring = _RingOrder(members.agent, ports) if world_size > 1 else None
    facts = call_all(members, requests, JOIN_TIMEOUT_S, around=ring)
    nonce = secrets.randbelow(2**30)
    call_all(members, {rank: ("verify", {"nonce": nonce}) for rank in everyone}, JOIN_TIMEOUT_S)
    return facts


class _RingOrder:
    """The order in which ranks enter `init` so that no connection is refused.

    MLX's ring dials before it listens on the last rank, listens before it dials on all others, and
    waits a second before it dials again. So: all but the last listen first; rank 0 is then held, so
    that it cannot dial the last rank before that one listens as well. An optimization only: where a
    wait times out, MLX's own retry forms the ring.
    """

    _WAIT_S = 2.0

    def __init__(self, agent: LocalAgent, ports: dict[int, int]) -> None:
        self._agent = agent
        self._ports = ports
        self._last = max(ports)

    def before(self, rank: int) -> None:
        if rank == self._last:
            self._await([r for r in self._ports if r != self._last], hold=0)

    def after(self, rank: int) -> None:
        if rank == self._last:
            self._await([self._last], hold=None)
            self._agent.send({"op": "resume", "rank": 0})

    def _await(self, ranks: list[int], hold: int | None) -> None:
        for rank in ranks:
            request = {"op": "await_listening", "rank": rank, "port": self._ports[rank], "hold": rank == hold}
            self._agent.send(request)
        listening, exits = self._agent.listening, self._agent.exits
        self._agent.wait_for(lambda: listening.issuperset(ranks) or bool(exits), self._WAIT_S)
