"""A cluster without ranks: it answers operations as a test says, and keeps what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelkit.model.operator import OnEvent

Answer = Callable[[int, str, Mapping[str, Any]], Any]


class FakeOperator:
    """Implements `Operator`.

    Attributes:
        asked: rank, operation and arguments of every request, in order.
    """

    def __init__(self, rank_hosts: Sequence[str], answer: Answer) -> None:
        self.rank_hosts = list(rank_hosts)
        self.world_size = len(rank_hosts)
        self.backend = "ring"
        self.asked: list[tuple[int, str, dict[str, Any]]] = []
        self._answer = answer

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        on_event: OnEvent = lambda rank, event: None,
        on_interrupt: Callable[[], bool] | None = None,
    ) -> dict[int, Any]:
        self.asked += [(rank, name, dict(arguments)) for rank, (name, arguments) in requests.items()]
        return {rank: self._answer(rank, name, arguments) for rank, (name, arguments) in requests.items()}

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        return self.operate(dict.fromkeys(range(self.world_size), (operation, arguments)))
