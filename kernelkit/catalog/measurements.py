"""Published figures of decoding, links and memory with their conditions, to be shown beside predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from kernelkit.catalog.files import check_figures
from kernelkit.catalog.listing import Listing
from kernelkit.catalog.own import merged
from kernelkit.catalog.words import amount, span
from kernelkit.units import format_bytes, format_seconds

# What was measured; each row has one of them.
_FIGURES = ("tokens_per_s", "latency_s", "bytes_per_s", "time_s", "weight_bytes")
_COLUMNS = ("key", "measured", "figure", "machines", "nodes", "link", "strategy", "engine", "marks", "source")


@dataclass(frozen=True)
class Measurement:
    """One published figure. What its source does not say is left empty.

    Attributes:
        key: names it alone.
        kind: `decode` (tokens per second of one sequence), `link`, `memory` (of a chip) or `size` (of a
            checkpoint).
        title: what was measured, as published.
        source: by whom, and where it is told.
        tokens_per_s, latency_s, bytes_per_s, time_s: lowest and highest; twice the same for one figure.
            Exactly one of these and `weight_bytes` is there.
        weight_bytes: of files.
        message_bytes: of a link's message; of several, the largest.
        operation: what of a link was timed: `all_sum`, `round trip`, or one message one way where it is
            empty.
        series: rows that differ in one condition only, most often the number of nodes, have the same.
        model: its key in the catalog.
        config: of a model that is not in the catalog, where it is known.
        quantization: by its name.
        on: the machines, as `parse_nodes` reads them; empty where they are not known well enough.
        hardware: the machines, as published.
        nodes: how many.
        link: its key in the catalog.
        strategy: `tensor` or `pipeline`.
        engine: the program.
        conditions: what else is said of them.
        marks: `chart` (read off one), `second-hand` (told by another), `own` (measured by kernelkit's
            developers).
        note: what else one must know.
    """

    name: ClassVar[str] = "measurement"

    key: str
    kind: Literal["decode", "link", "memory", "size"]
    title: str
    source: str
    tokens_per_s: tuple[float, float] | None = None
    latency_s: tuple[float, float] | None = None
    bytes_per_s: tuple[float, float] | None = None
    time_s: tuple[float, float] | None = None
    weight_bytes: int | None = None
    message_bytes: int | None = None
    operation: str = ""
    series: str = ""
    model: str = ""
    config: Mapping[str, Any] | None = None
    quantization: str = ""
    on: str = ""
    hardware: str = ""
    nodes: int | None = None
    link: str = ""
    strategy: str = ""
    engine: str = ""
    conditions: str = ""
    marks: tuple[Literal["chart", "second-hand", "own"], ...] = ()
    note: str = ""

    def check(self) -> None:
        """See that it has one figure, and a source.

        Raises:
            ValueError: it has not; the error names the field.
        """
        check_figures(self)
        if not self.source.strip():
            raise ValueError("source is empty")
        there = [name for name in _FIGURES if getattr(self, name) is not None]
        if len(there) != 1:
            raise ValueError(f"one of {', '.join(_FIGURES)} is wanted, not {' and '.join(there) or 'none'}")


@cache
def measurements() -> Listing[Measurement]:
    """All of them by key.

    Raises:
        KernelkitError: the file is not there, or not what it should be.
    """
    entries = merged("measurements", Measurement, ("measurements/published.json",))
    columns = (
        "key",
        "measured",
        "figure",
        "machines",
        "nodes",
        "link",
        "strategy",
        "engine",
        "marks",
        "source",
    )
    return Listing(Measurement.name, entries, columns, _row, call="measurements")


def _row(row: Measurement) -> tuple[str, ...]:
    return (
        row.key,
        " ".join(filter(None, (row.title, row.quantization))),
        _figure(row),
        row.hardware or row.on,
        "" if row.nodes is None else str(row.nodes),
        row.link,
        row.strategy,
        row.engine,
        ", ".join(row.marks),
        row.source,
    )


def _figure(row: Measurement) -> str:
    size = "" if row.message_bytes is None else f" at {format_bytes(row.message_bytes)}"
    if row.tokens_per_s is not None:
        return span(row.tokens_per_s, lambda value: f"{value:.4g} tokens/s")
    if row.bytes_per_s is not None:
        return span(row.bytes_per_s, lambda value: f"{amount(value, 'B')}/s") + size
    if row.weight_bytes is not None:
        return format_bytes(row.weight_bytes)
    return span(row.latency_s or row.time_s, format_seconds) + size
