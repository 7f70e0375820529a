"""What goes wrong in a simulated run: slow ranks, computing that varies, and ranks that are lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kernelkit.errors import ArgumentError
from kernelkit.perf.schedules import Times
from kernelkit.units import format_seconds


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
        times_s = [time_s for one in self.lost for time_s in (one.at_s, one.detect_s, one.recover_s)]
        if not all(0 <= value < math.inf for value in (self.jitter, *times_s, *self.slow.values())):
            raise ArgumentError("a factor or time is below 0 or not finite")

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
