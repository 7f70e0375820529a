"""What a model needs of the cluster that holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

OnEvent = Callable[[int, dict[str, Any]], None]


class Operator(Protocol):
    """Runs the ranks' own operations."""

    @property
    def world_size(self) -> int: ...

    @property
    def backend(self) -> str: ...

    @property
    def rank_hosts(self) -> Sequence[str]:
        """The host of each rank, by the name that the hostfile has for it."""
        ...

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        on_event: OnEvent = ...,
        on_interrupt: Callable[[], bool] | None = ...,
    ) -> dict[int, Any]:
        """Run one operation on each rank named, and gather the answers."""
        ...

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        """Run an operation on all ranks beside what they are doing; those that answered in time."""
        ...


def ask_all(cluster: Operator, operation: str, arguments: Mapping[str, Any] | None = None) -> dict[int, Any]:
    """The same operation on every rank."""
    return cluster.operate(dict.fromkeys(range(cluster.world_size), (operation, dict(arguments or {}))))


def one_per_host(cluster: Operator) -> dict[str, int]:
    """The lowest rank on each host, rank 0's host first."""
    hosts = cluster.rank_hosts
    return {host: hosts.index(host) for host in dict.fromkeys(hosts)}
