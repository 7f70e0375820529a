"""Seconds of a step by cause."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kernelkit.perf.ranges import ZERO, Range


@dataclass(frozen=True)
class Cost:
    """Where the time of a step goes. Parts that run at the same time count once, as the longer one.

    Attributes:
        weights: read.
        kv: keys and values read.
        compute: of products and scores, where that takes longer than what they read.
        overhead: of each kernel beside what it reads.
        latency: of collectives, however small.
        transfer: of their bytes.
    """

    weights: Range = ZERO
    kv: Range = ZERO
    compute: Range = ZERO
    overhead: Range = ZERO
    latency: Range = ZERO
    transfer: Range = ZERO

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(self.parts(), other.parts(), strict=True)))

    def times(self, count: float) -> Cost:
        """So many of them."""
        return Cost(*(part.times(count) for part in self.parts()))

    def parts(self) -> tuple[Range, ...]:
        """In the order of the fields."""
        return (self.weights, self.kv, self.compute, self.overhead, self.latency, self.transfer)

    def named(self) -> tuple[tuple[str, Range], ...]:
        """By cause."""
        return tuple((field.name, getattr(self, field.name)) for field in fields(self))

    @property
    def total(self) -> Range:
        """All of it."""
        total = ZERO
        for part in self.parts():
            total += part
        return total


def roof(reading: Range, computing: Range) -> tuple[Range, Range]:
    """Of what is read and computed at the same time the longer part, and nothing of the other."""
    return (reading, ZERO) if reading.mid >= computing.mid else (ZERO, computing)
