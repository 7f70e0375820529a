"""A cluster to be attacked, and what its controller knows of it: keys, processes, ports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kernelkit import Cluster, connect
from kernelkit.channel.connection import Keys
from tests.cluster.conftest import without_pytests_mark
from tests.ranks.leftovers import Leftovers, agent_of


@dataclass
class Target:
    """Two ranks.

    Attributes:
        keys: the ones that let a client in.
        pids: of the agent, then of the ranks.
        ports: on which each of these processes listens, where it does.
        started_s: time of day before there was anything of it.
    """

    cluster: Cluster
    keys: Keys
    pids: list[int]
    ports: dict[int, list[int]]
    started_s: float

    @property
    def all_ports(self) -> list[int]:
        return [port for ports in self.ports.values() for port in ports]

    def answers(self) -> bool:
        """Whether both ranks, and the collectives between them, give the right answer."""
        result = self.cluster.run("mx.distributed.all_sum(mx.array(rank + 1)).item()")
        return [result[rank].value_repr for rank in (0, 1)] == ["3", "3"]


@contextlib.contextmanager
def open_target() -> Iterator[Target]:
    started_s = time.time()
    left = Leftovers([])
    with remembered_keys() as made:
        cluster = connect(2)
    with cluster:
        ranks = [rank.pid for rank in cluster.status().ranks]
        agent = agent_of(ranks[0])
        left.record(agent)
        yield Target(cluster, made[-1], [agent, *ranks], left.listening(), started_s)


@contextlib.contextmanager
def remembered_keys() -> Iterator[list[Keys]]:
    """The keys that are made meanwhile, which no cluster shows."""
    made: list[Keys] = []
    new = Keys.new

    def remember() -> Keys:
        made.append(new())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch, without_pytests_mark():
        patch.setattr(Keys, "new", remember)
        yield made
