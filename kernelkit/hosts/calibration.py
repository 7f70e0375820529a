"""What each rank's device really does: plain data, measured in seconds, that predictions are made from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.hosts.dispatch import Dispatch
from kernelkit.jsonfile import Stored
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes, format_seconds

_SMALL_BYTES = 64 * 1024
# Of a figure, from its low to its high: on a machine that does nothing else most stay far below.
_DISTURBED = 0.5
# Of its readings nine in ten are above the low, and nine in ten below the high.
Span = tuple[float, float]


@dataclass(frozen=True)
class KindSpeed:
    """Products with weights of one kind.

    Attributes:
        kind: a dtype (`float32`), or `4bit`, `8bit` in groups of 64.
        read_bytes_per_s: of weights, as one token's products go through them: matrix times vector, of more
            weights than a cache holds. On a device that computes slower than it reads it is that speed.
        flops_per_s: of matrix times matrix, as a prompt is read; a product and a sum count as two.
        read_span_bytes_per_s, flops_span_per_s: how far the readings of these lay apart, from the tenth of a
            hundred to the ninetieth; None where that was not kept.
    """

    kind: str
    read_bytes_per_s: float
    flops_per_s: float
    read_span_bytes_per_s: Span | None = None
    flops_span_per_s: Span | None = None


@dataclass(frozen=True)
class RankSpeed:
    """One rank's device, measured while all other ranks measured the same.

    Attributes:
        op_s: of one small operation within an evaluated graph, started and ended.
        kinds: what it multiplies.
        op_span_s: of the operation's readings.
        dispatch: what its host takes for a token's kernels; None where a device does not wait for its host.
    """

    rank: int
    host: str
    device: str
    op_s: float
    kinds: tuple[KindSpeed, ...]
    op_span_s: Span | None = None
    dispatch: Dispatch | None = None

    def of(self, kind: str) -> KindSpeed | None:
        """The speed for weights of that kind; None where it was not measured."""
        return next((speed for speed in self.kinds if speed.kind == kind), None)


@dataclass(frozen=True)
class SumTime:
    """An all_sum over all ranks.

    Attributes:
        size_bytes: of the array, on each rank.
        time_s: of one of many that depend on each other in one graph, as a model's do.
        alone_s: of one that is evaluated by itself.
        span_s: of the readings of `time_s`.
    """

    size_bytes: int
    time_s: float
    alone_s: float
    span_s: Span | None = None

    @property
    def triple(self) -> tuple[float, float, float]:
        """Low, likely and high of `time_s`; thrice the same where no span was kept."""
        low, high = self.span_s or (self.time_s, self.time_s)
        return low, self.time_s, high


@dataclass(frozen=True)
class Calibration(Stored):
    """All ranks of a cluster.

    Attributes:
        time: when it was measured, ISO 8601, UTC.
        backend: MLX's, that the all_sums went over.
        mlx: its version.
        ranks: in order.
        sums: by size; none of a single rank.
    """

    _key = "kernelkit_calibration"
    _name = "calibration"

    time: str
    backend: str
    mlx: str
    ranks: tuple[RankSpeed, ...]
    sums: tuple[SumTime, ...] = ()

    @classmethod
    def of(cls, time: str, backend: str, facts: Mapping[int, Mapping[str, Any]]) -> Calibration:
        """From what the operation `calibrate` gave on each rank; of the all_sums the slowest rank counts."""
        ranks = tuple(
            RankSpeed(
                rank,
                found["host"],
                found["device"],
                found["op_s"],
                _kinds(found["kinds"]),
                _span(found.get("op_span_s")),
                Dispatch.of(found.get("dispatch")),
            )
            for rank, found in sorted(facts.items())
        )
        columns = zip(*(found["sums"] for found in facts.values()), strict=True)
        sums = tuple(
            SumTime(
                same[0]["size_bytes"],
                max(one["time_s"] for one in same),
                max(one["alone_s"] for one in same),
                _latest([one.get("span_s") for one in same]),
            )
            for same in columns
        )
        return cls(time, backend, facts[0]["mlx"], ranks, sums)

    @property
    def sum_latency_s(self) -> float | None:
        """Of the smallest all_sum within a graph; None of a single rank."""
        return self.sums[0].time_s if self.sums else None

    @property
    def sum_bytes_per_s(self) -> float | None:
        """Of the largest all_sum: bytes of the array over its time; None of a single rank."""
        return self.sums[-1].size_bytes / self.sums[-1].time_s if self.sums else None

    def sum_s(self, size_bytes: float) -> float:
        """Seconds of one all_sum within a graph: measured sizes, and straight lines between them.

        Beyond the largest size its rate goes on. Of a single rank it is nothing.
        """
        return self.sum_span_s(size_bytes)[1]

    def sum_span_s(self, size_bytes: float) -> tuple[float, float, float]:
        """The same at the least, likely and at the most, by the spans of the readings."""
        if not self.sums:
            return 0.0, 0.0, 0.0
        if size_bytes <= self.sums[0].size_bytes:
            return self.sums[0].triple
        for small, large in zip(self.sums, self.sums[1:], strict=False):
            if size_bytes <= large.size_bytes:
                share = (size_bytes - small.size_bytes) / (large.size_bytes - small.size_bytes)
                low, mid, high = (
                    less + share * (more - less)
                    for less, more in zip(small.triple, large.triple, strict=True)
                )
                return low, mid, high
        times = size_bytes / self.sums[-1].size_bytes
        low, mid, high = (value * times for value in self.sums[-1].triple)
        return low, mid, high

    @property
    def disturbed(self) -> tuple[str, ...]:
        """Figures whose readings lay far apart, in words; none where the machines were calm."""
        return tuple(
            f"{name} ({form(span[0])} to {form(span[1])})"
            for name, value, span, form in self._spans()
            if span is not None and span[1] - span[0] > _DISTURBED * value
        )

    def _spans(self) -> Iterator[tuple[str, float, Span | None, Callable[[float], str]]]:
        for rank in self.ranks:
            yield f"rank {rank.rank}'s small operations", rank.op_s, rank.op_span_s, format_seconds
            if rank.dispatch is not None:
                low_s, kernel_s, high_s = rank.dispatch.kernel_s
                yield f"rank {rank.rank}'s host, a kernel", kernel_s, (low_s, high_s), format_seconds
            for speed in rank.kinds:
                name = f"rank {rank.rank}'s {speed.kind}"
                yield f"{name} read", speed.read_bytes_per_s, speed.read_span_bytes_per_s, _rate
                yield f"{name} multiplied", speed.flops_per_s, speed.flops_span_per_s, _flops
        for one in self.sums:
            yield f"all_sum of {format_bytes(one.size_bytes)}", one.time_s, one.span_s, format_seconds

    def check(self) -> None:
        """Refuse what no measurement gives.

        Raises:
            ValueError: it says what.
        """
        if [rank.rank for rank in self.ranks] != list(range(len(self.ranks))) or not self.ranks:
            raise ValueError(f"ranks {[rank.rank for rank in self.ranks]}")
        for rank in self.ranks:
            kinds = [speed.kind for speed in rank.kinds]
            if not kinds or len(set(kinds)) < len(kinds):
                raise ValueError(f"rank {rank.rank} with weights of {', '.join(kinds) or 'no kind'}")
            if rank.dispatch is not None:
                rank.dispatch.check()
        if len(self.ranks) > 1 and not self.sums:
            raise ValueError(f"{len(self.ranks)} ranks and no all_sum")
        figures = [rank.op_s for rank in self.ranks]
        figures += [speed.read_bytes_per_s for rank in self.ranks for speed in rank.kinds]
        figures += [speed.flops_per_s for rank in self.ranks for speed in rank.kinds]
        figures += [value for one in self.sums for value in (one.time_s, one.alone_s)]
        for name, value, span, _ in self._spans():
            if span is not None and not 0 < span[0] <= value <= span[1] < math.inf:
                raise ValueError(f"{name}: {value} is not within {span}")
        if not all(0 < value < math.inf for value in figures):
            raise ValueError("a figure is not above 0, or not finite")
        sizes = [one.size_bytes for one in self.sums]
        if sizes != sorted(set(sizes)) or any(size < 1 for size in sizes):
            raise ValueError(f"all_sums of {sizes} bytes")

    def __repr__(self) -> str:
        return "\n".join([self._title, text_table(*self._table()), *self._lines(), *self._warning()])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = html_table(*self._table(), self._title, *self._lines(), *self._warning())
        return {"text/plain": repr(self), "text/html": html}

    @property
    def _title(self) -> str:
        return f"measured on all ranks at once, backend {self.backend}, mlx {self.mlx}, {self.time}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        kinds = [speed.kind for speed in self.ranks[0].kinds]
        heads = [f"{kind} {what}" for kind in kinds for what in ("read", "multiplied")]
        return ["rank", "host", "device", *heads, "a small operation"], [
            [str(rank.rank), rank.host, rank.device, *_cells(rank, kinds), format_seconds(rank.op_s)]
            for rank in self.ranks
        ]

    def _lines(self) -> list[str]:
        hosts = [f"rank {r.rank}'s host, for one token: {r.dispatch.words}" for r in self.ranks if r.dispatch]
        return hosts + [
            f"all_sum of {format_bytes(one.size_bytes)}: {format_seconds(one.time_s)} in a graph, "
            f"{format_seconds(one.alone_s)} alone"
            + ("" if one.size_bytes < _SMALL_BYTES else f", {_rate(one.size_bytes / one.time_s)}")
            for one in self.sums
        ]

    def _warning(self) -> list[str]:
        if not self.disturbed:
            return []
        return [
            f"Disturbed while it was measured: {', '.join(self.disturbed)}. Something else uses these "
            "machines or their links; calibrate again when it is done."
        ]


def _kinds(found: Mapping[str, Mapping[str, Any]]) -> tuple[KindSpeed, ...]:
    return tuple(
        KindSpeed(
            kind,
            speeds["read_bytes_per_s"],
            speeds["flops_per_s"],
            _span(speeds.get("read_span_bytes_per_s")),
            _span(speeds.get("flops_span_per_s")),
        )
        for kind, speeds in found.items()
    )


def _span(found: Sequence[float] | None) -> Span | None:
    return None if found is None else (found[0], found[1])


def _latest(found: Sequence[Sequence[float] | None]) -> Span | None:
    """Of the slowest rank, end by end."""
    spans = [span for span in found if span is not None]
    return (max(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def _cells(rank: RankSpeed, kinds: list[str]) -> list[str]:
    cells = []
    for kind in kinds:
        speed = rank.of(kind)
        read = _rate(speed.read_bytes_per_s) if speed else ""
        cells += [read, _flops(speed.flops_per_s) if speed else ""]
    return cells


def _flops(flops_per_s: float) -> str:
    return f"{flops_per_s / 1e9:.3g} GFLOP/s"


def _rate(bytes_per_s: float) -> str:
    return f"{format_bytes(bytes_per_s)}/s"
