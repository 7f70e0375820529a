"""What a rank's host takes to hand a token's kernels over: plain data, in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelkit.units import format_seconds

# Low, likely and high: nine in ten of the readings lie above the low, nine in ten below the high.
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Dispatch:
    """Of a host whose GPU may wait for it; each figure low, likely and high.

    Attributes:
        kernel_s: of a kernel of a token's graph, built and handed over.
        product_s: of a product of several rows.
        sum_s: by how much more a token of a sharded model takes for each all_sum; None of a single rank.
    """

    kernel_s: Triple
    product_s: Triple
    sum_s: Triple | None = None

    @classmethod
    def of(cls, found: Mapping[str, Sequence[float]] | None) -> Dispatch | None:
        """From what a rank measured; None where it measured none."""
        if found is None:
            return None
        return cls(**{name: (low, likely, high) for name, (low, likely, high) in found.items()})

    def check(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: it says what.
        """
        for name, triple in self.named():
            low, likely, high = triple
            # An all_sum may take so little that it is lost among the readings.
            if not (0 <= low <= likely <= high < math.inf) or (low == 0 and name != "sum_s"):
                raise ValueError(f"{name} of {triple}")

    @property
    def words(self) -> str:
        """The likely figures, in a line."""
        kernel, product = format_seconds(self.kernel_s[1]), format_seconds(self.product_s[1])
        said = f"{kernel} a kernel, {product} a product of several rows"
        return said + (f", {format_seconds(self.sum_s[1])} more for an all_sum" if self.sum_s else "")

    def named(self) -> Iterator[tuple[str, Triple]]:
        """What was measured, with its name."""
        yield "kernel_s", self.kernel_s
        yield "product_s", self.product_s
        if self.sum_s is not None:
            yield "sum_s", self.sum_s
