"""What every rank is and does, and what its host has, as plain data that shows itself as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.fields import build
from kernelkit.hosts.clustermap import RankState
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes

_COLUMNS = ("rank", "host", "pid", "device", "BLAS", "mlx", "memory", "doing")
_GPU_COLUMNS = (*_COLUMNS[:-1], "GPU memory", _COLUMNS[-1])


@dataclass(frozen=True)
class RankStatus:
    """One rank.

    Attributes:
        memory_bytes: resident memory of its process; None where it does not answer.
        mlx_bytes: what MLX's allocator holds of it.
        doing: `idle`, a line of the running cell, or how the process ended.
        state: the same in a word. `waiting` takes two looks and is told while a cell runs only.
        gpu_memory_bytes: of a GPU with memory of its own; None elsewhere, or where it does not answer.
        gpu_used_bytes: of it, by all programs.
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
    state: RankState = "idle"
    gpu_memory_bytes: int | None = None
    gpu_used_bytes: int | None = None

    def cells(self, *, with_gpu: bool = False) -> tuple[str, ...]:
        memory = "" if self.memory_bytes is None else format_bytes(self.memory_bytes)
        return (
            str(self.rank),
            self.host,
            str(self.pid),
            self.device,
            self.blas,
            self.mlx,
            memory,
            *([self._gpu_memory()] if with_gpu else []),
            self.doing,
        )

    def _gpu_memory(self) -> str:
        if self.gpu_memory_bytes is None or self.gpu_used_bytes is None:
            return ""
        return f"{format_bytes(self.gpu_used_bytes)} of {format_bytes(self.gpu_memory_bytes)}"


@dataclass(frozen=True)
class HostStatus:
    """One host that ranks are on.

    Attributes:
        chip: such as `Apple M3 Ultra`, or on Linux the processor and its cores, and GPUs where MLX has one.
        memory_bytes: of the machine; None where no rank there has said.
        used_bytes: of it, by all programs: what is not available to another one.
    """

    name: str
    chip: str = ""
    memory_bytes: int | None = None
    used_bytes: int | None = None

    def __str__(self) -> str:
        memory = ""
        if self.memory_bytes is not None and self.used_bytes is not None:
            memory = f"{format_bytes(self.used_bytes)} of {format_bytes(self.memory_bytes)} used"
        facts = ", ".join(filter(None, (self.chip, memory)))
        return f"{self.name}: {facts}" if facts else self.name


@dataclass(frozen=True)
class ClusterStatus:
    """All ranks, the state of the whole, and the hosts in the order of their lowest ranks."""

    state: str
    backend: str
    ranks: tuple[RankStatus, ...]
    hosts: tuple[HostStatus, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ClusterStatus:
        """What `to_dict` gave.

        Raises:
            ArgumentError: it is not that.
        """
        try:
            return build(cls, data)
        except ValueError as error:
            raise ArgumentError("this is no status of a cluster", got=str(error)) from error

    def _title(self) -> str:
        count = len(self.ranks)
        return f"{count} rank{'s' if count != 1 else ''}, backend {self.backend}: {self.state}"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Columns and rows; GPUs have a column where some rank's memory is a GPU's own."""
        with_gpu = any(rank.gpu_memory_bytes is not None for rank in self.ranks)
        rows = [rank.cells(with_gpu=with_gpu) for rank in self.ranks]
        return _GPU_COLUMNS if with_gpu else _COLUMNS, rows

    def __repr__(self) -> str:
        table = text_table(*self._table())
        return "\n".join([self._title(), table, *map(str, self.hosts)])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        columns, rows = self._table()
        table = html_table(columns, rows, self._title(), *map(str, self.hosts))
        return {"text/plain": repr(self), "text/html": table}
