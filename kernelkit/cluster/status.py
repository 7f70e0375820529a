"""What every rank is and does, as plain data that shows itself as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kernelkit.cluster.bringup import Members
from kernelkit.cluster.follow import ASK_TIMEOUT_S
from kernelkit.cluster.observe import place_of
from kernelkit.units import format_bytes
from kernelkit.views.table import html_table, text_table

_COLUMNS = ("rank", "host", "pid", "device", "BLAS", "mlx", "memory", "doing")


@dataclass(frozen=True)
class RankStatus:
    """One rank.

    Attributes:
        memory_bytes: resident memory of its process; None where it does not answer.
        mlx_bytes: what MLX's allocator holds of it.
        doing: `idle`, a line of the running cell, or how the process ended.
    """

    rank: int
    host: str
    pid: int
    device: str
    blas: str
    mlx: str
    memory_bytes: int | None
    mlx_bytes: int | None
    doing: str

    def cells(self) -> tuple[str, ...]:
        memory = "" if self.memory_bytes is None else format_bytes(self.memory_bytes)
        return (
            str(self.rank),
            self.host,
            str(self.pid),
            self.device,
            self.blas,
            self.mlx,
            memory,
            self.doing,
        )


@dataclass(frozen=True)
class ClusterStatus:
    """All ranks, and the state of the whole."""

    state: str
    backend: str
    ranks: tuple[RankStatus, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ClusterStatus:
        return cls(data["state"], data["backend"], tuple(RankStatus(**rank) for rank in data["ranks"]))

    def _title(self) -> str:
        count = len(self.ranks)
        return f"{count} rank{'s' if count != 1 else ''}, backend {self.backend}: {self.state}"

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(_COLUMNS, [rank.cells() for rank in self.ranks])}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        table = html_table(_COLUMNS, [rank.cells() for rank in self.ranks], self._title())
        return {"text/plain": repr(self), "text/html": table}


def look(members: Members, state: str, backend: str) -> ClusterStatus:
    """Ask every rank beside what it is doing; one that is gone or cannot answer says so in its row."""
    exits = members.agent.exits
    living = [rank for rank in members.facts if rank not in exits]
    live = members.channel.ask(living, "status", {}, ASK_TIMEOUT_S) if members.agent.alive else {}
    ranks = []
    for rank, facts in members.facts.items():
        now = live.get(rank, {})
        stands = place_of(rank, "running" if now else "silent", now).stands
        doing = f"gone ({exits[rank]})" if rank in exits else stands
        fixed = {name: facts[name] for name in ("rank", "host", "pid", "device", "blas", "mlx")}
        memory = {name: now.get(name) for name in ("memory_bytes", "mlx_bytes")}
        ranks.append(RankStatus(**fixed, **memory, doing=doing))
    return ClusterStatus(state, backend, tuple(ranks))
