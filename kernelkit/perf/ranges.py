"""Figures with their uncertainty: the least, the likely and the most; and named ones with a source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A figure: at the least `low`, likely `mid`, at the most `high`."""

    low: float
    mid: float
    high: float

    @classmethod
    def of(cls, value: float) -> Range:
        """One that is known."""
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        if not any(other.parts):  # nothing, as most causes of a cost are
            return self
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float | Range) -> Range:
        """By a number, or by another figure that is at its least when this one is."""
        if not any(self.parts):
            return self
        other = factor if isinstance(factor, Range) else Range.of(factor)
        return Range(self.low * other.low, self.mid * other.mid, self.high * other.high)

    def of_amount(self, amount: float) -> Range:
        """What an amount takes at this rate: its most where the rate is at its least."""
        return Range(amount / self.high, amount / self.mid, amount / self.low)

    def beyond(self, other: Range) -> Range:
        """By how much it is more, part by part; nothing where it is less."""
        if not any(self.parts):
            return self
        return Range(*(max(0.0, mine - theirs) for mine, theirs in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[float, float, float]:
        """All three."""
        return self.low, self.mid, self.high


ZERO = Range.of(0.0)


@dataclass(frozen=True)
class Constant:
    """A figure that predictions rest on: from physics, a data sheet, or a measurement of something else.

    Attributes:
        name: what it is.
        value: of it.
        unit: of the value.
        source: who measured it, where and how.
    """

    name: str
    value: Range
    unit: str
    source: str
