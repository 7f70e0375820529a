"""What goes wrong in a simulated run: slow ranks, computing that varies, and ranks that are lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kernelkit.amounts import check_amount, check_whole
from kernelkit.errors import ArgumentError
from kernelkit.perf.schedules import Times
from kernelkit.units import format_seconds

_MOST_JITTER = 1.5


@dataclass(frozen=True)
class Lost:
    """A rank that dies. MLX's group is lost with it, so all ranks stop, and go on once there is a new group.

    Attributes:
        rank: which one.
        at_s: when, since the start of the run.
        detect_s: until the others know; they wait in a collective.
        recover_s: from then until a new group of as many ranks decodes the token that was begun: processes,
            model, cache.
    """

    rank: int
    at_s: float
    detect_s: float
    recover_s: float

    def __str__(self) -> str:
        return (
            f"rank {self.rank} is lost after {format_seconds(self.at_s)}, noticed "
            f"{format_seconds(self.detect_s)} later, recovered in {format_seconds(self.recover_s)}"
        )


@dataclass(frozen=True)
class Mishaps:
    """All of it; as the arguments of `simulate`, with losses in order of time."""

    slow: Mapping[int, float] = field(default_factory=dict)
    jitter: float = 0.0
    seed: int = 0
    lost: tuple[Lost, ...] = ()

    def check(self, world_size: int) -> None:
        """See that such ranks and times can be.

        Raises:
            ArgumentError: one cannot.
        """
        for rank in [*self.slow, *(one.rank for one in self.lost)]:
            if rank not in range(world_size):
                raise ArgumentError("there is no such rank", expected=f"0 to {world_size - 1}", got=str(rank))
        # Of a wider one most of what is drawn is next to nothing, and the few that make its mean are missed.
        check_amount("jitter", self.jitter, most=_MOST_JITTER)
        check_whole("seed", self.seed, least=0, most=2**64 - 1)
        for rank, factor in self.slow.items():
            check_amount(f"slow[{rank}]", factor)
        for one in self.lost:
            for name in ("at_s", "detect_s", "recover_s"):
                check_amount(f"{name} of a lost rank", getattr(one, name))

    def factors(self, world_size: int) -> Times:
        """By rank, of its computing."""
        return np.array([self.slow.get(rank, 1.0) for rank in range(world_size)])

    def words(self) -> list[str]:
        """A sentence for each."""
        said = []
        if self.slow:
            slow = ", ".join(f"rank {rank} by {self.slow[rank]:g}" for rank in sorted(self.slow))
            said.append(f"slow: {slow}")
        if self.jitter:
            said.append(f"computing varies: lognormal, sigma {self.jitter:g}, seed {self.seed}")
        return said + [str(one) for one in self.lost]
