"""Two local ranks that count as two hosts: each has a home and a cache of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelkit import Cluster
from kernelkit.model import Layout, ShardedModel
from kernelkit.model.operator import OnEvent
from kernelkit.model.pushing import Pushed, push_model

NAME = "~/models/m"


@dataclass
class TwoHosts:
    """A local cluster whose ranks count as hosts `a` and `b`."""

    cluster: Cluster
    homes: list[Path]
    rank_hosts = ("a", "b")
    world_size = 2

    @classmethod
    def of(cls, cluster: Cluster, homes: list[Path]) -> TwoHosts:
        """With these folders as the ranks' homes."""
        cluster.push(homes=[str(home) for home in homes])
        cluster.run("import os; os.environ['HOME'] = homes[rank]")
        return cls(cluster, homes)

    @property
    def backend(self) -> str:
        return self.cluster.backend

    def operate(self, requests: Mapping[int, tuple[str, Mapping[str, Any]]], **how: Any) -> dict[int, Any]:
        return self.cluster.operate(requests, **how)

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        return self.cluster.ask(operation, arguments)

    def push(self, name: str = NAME, on_event: OnEvent = lambda rank, event: None, **how: Any) -> Pushed:
        return push_model(self, name, how.get("to"), how.get("source"), on_event)

    def load(self, name: str = NAME) -> ShardedModel:
        return ShardedModel.load(self, name, Layout(), lambda rank, event: None, lambda: None)

    def in_step(self) -> bool:
        """Whether the ranks still understand each other."""
        summed = self.cluster.run("int(mx.distributed.all_sum(mx.array(rank + 1)).item())")
        return summed[0].value_repr == summed[1].value_repr == "3"
