"""Published speeds of decoding beside what a plan predicts for the same conditions.

Nothing is fitted: a row is predicted by the same constants as any plan. What its source leaves out is assumed
as the row says, or the row is not predicted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from kernelkit.catalog import Measurement, measurements
from kernelkit.perf.planning import plan
from kernelkit.perf.ranges import Range
from kernelkit.tables import html_table, text_table

# Where a source does not say how long the context was: a prompt and half an answer of `mlx_lm.benchmark -p
# 2048 -g 128`, with which several of them measured.
CONTEXT_TOKENS = 2048 + 64
_COLUMNS = ("key", "engine", "conditions", "published", "predicted", "ratio", "note")
# Why a row is far off, as far as it is known.
WHY = {
    "rapid-mlx-qwen3.6-35b-a3b": "its experts have 512 rows, 9 MB in a product: too little to keep an "
    "Ultra's memory busy, whose rate was measured with products of 38 MB; and a fork of mlx-lm",
}


@dataclass(frozen=True)
class Compared:
    """One published row.

    Attributes:
        row: as published.
        predicted: tokens per second; None where there is no prediction.
        note: why not, what was assumed, or why it is far off.
    """

    row: Measurement
    predicted: Range | None
    note: str

    @property
    def published(self) -> float:
        """Tokens per second: the middle of what is published."""
        low, high = self.row.tokens_per_s or (0.0, 0.0)
        return (low + high) / 2

    @property
    def ratio(self) -> float | None:
        """Predicted over published."""
        return None if self.predicted is None else self.predicted.mid / self.published

    @property
    def error(self) -> float | None:
        """How far the prediction is from what is published, as a share of that."""
        return None if self.ratio is None else abs(self.ratio - 1)


@dataclass(frozen=True, repr=False)
class PublishedTable:
    """All published rows of decoding, as a table.

    Attributes:
        rows: in the catalog's order.
    """

    rows: tuple[Compared, ...]

    @property
    def predicted(self) -> tuple[Compared, ...]:
        """Those with a prediction."""
        return tuple(row for row in self.rows if row.predicted is not None)

    @property
    def median_error(self) -> float:
        """Of those."""
        return median(row.error or 0.0 for row in self.predicted)

    def pairs(self) -> Iterator[tuple[Compared, Compared, bool]]:
        """Rows that differ in their number of nodes, and whether faster and slower are told right."""
        for one, two in combinations(self.predicted, 2):
            if one.row.series and one.row.series == two.row.series and one.row.nodes != two.row.nodes:
                faster = two.published > one.published
                yield (
                    one,
                    two,
                    faster == ((two.ratio or 0) * two.published > (one.ratio or 0) * one.published),
                )

    def __repr__(self) -> str:
        return "\n".join([text_table(_COLUMNS, self._cells()), *self._sums()])

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, self._cells(), *self._sums())

    def _cells(self) -> list[tuple[str, ...]]:
        return [_cells(each) for each in self.rows]

    def _sums(self) -> list[str]:
        signs = [right for _, _, right in self.pairs()]
        return [
            f"{len(self.predicted)} of {len(self.rows)} rows predicted, median error {self.median_error:.0%}",
            f"faster or slower with more nodes is told right in {sum(signs)} of {len(signs)} pairs",
        ]


def published() -> PublishedTable:
    """Every published row of decoding, predicted where its source says enough."""
    rows = (row for row in measurements().values() if row.kind == "decode")
    return PublishedTable(tuple(_compare(row) for row in rows))


def _compare(row: Measurement) -> Compared:
    missing = list(_missing(row))
    if missing:
        return Compared(row, None, f"not stated: {', '.join(missing)}")
    several = (row.nodes or 1) > 1
    assumed = []
    link = row.link or None
    if several and link is None:
        link = "tb5"
        assumed.append("over TCP, Thunderbolt 5 assumed")
    # exo sets it for jaccl (its runner's bootstrap), and MLX's documents of that time told to.
    fast = link == "tb5-rdma"
    if several and fast:
        assumed.append(f"MLX_METAL_FAST_SYNCH=1{'' if row.engine == 'exo' else ' assumed'}")
    if "mlx-lm" not in row.engine:
        assumed.append("another program")
    made = plan(
        row.model or dict(row.config or {}),
        row.on,
        link=link if several else None,
        strategy="pipeline" if row.strategy == "pipeline" else "tensor",
        quantization=row.quantization,
        context=CONTEXT_TOKENS,
        fast_synch=fast,
    )
    if made.decode_tokens_per_s is None:
        return Compared(row, None, made.reasons[0])
    return Compared(row, made.decode_tokens_per_s, "; ".join([*assumed, *filter(None, [WHY.get(row.key)])]))


def _missing(row: Measurement) -> Iterator[str]:
    if not (row.model or row.config):
        yield "the model's config"
    if not row.on:
        yield "the machines"
    if not row.quantization:
        yield "quantization"


def _cells(each: Compared) -> tuple[str, ...]:
    row, figure = each.row, each.predicted
    low, high = row.tokens_per_s or (0.0, 0.0)
    return (
        row.key,
        row.engine,
        ", ".join(filter(None, [row.on or row.hardware, row.quantization, row.link, row.strategy])),
        f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}",
        "" if figure is None else f"{figure.mid:.3g} ({figure.low:.3g} to {figure.high:.3g})",
        "" if each.ratio is None else f"{each.ratio:.2f}",
        each.note,
    )
