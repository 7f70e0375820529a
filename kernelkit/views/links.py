"""The link matrix: rank by rank what every link carries, and of a chosen pair the curve over message size."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.hosts import linkwords
from kernelkit.hosts.linkreport import Flow, Link, LinkReport
from kernelkit.units import format_bytes, format_seconds
from kernelkit.views.links_cells import MEASURES, cells, measured_by, ranks_of, scales
from kernelkit.views.picture import Picture


def link_matrix(report: LinkReport, show: str = "bandwidth") -> Picture:
    """A heat map of what every link carries, and the curves behind it.

    Args:
        report: as `cluster.links()` gives it, or `LinkReport.load`.
        show: `bandwidth` or `latency`; on the page a button changes it.

    Raises:
        ArgumentError: `show` is neither, or `report` is none.
    """
    drawn = scene(report, show)
    return Picture("links", drawn, text(report), alt(drawn))


def text(report: LinkReport) -> str:
    """The report's own table and sentences."""
    return linkwords.as_text(report)


def scene(report: LinkReport, show: str = "bandwidth") -> dict[str, Any]:
    """All that the picture shows.

    Raises:
        ArgumentError: `show` is neither `bandwidth` nor `latency`, or `report` is no link report.
    """
    if not isinstance(report, LinkReport):
        raise ArgumentError(
            "a link matrix is drawn from a link report",
            expected="a LinkReport",
            got=type(report).__name__,
            cure="take cluster.links(), or LinkReport.load(path)",
        )
    if show not in MEASURES:
        raise ArgumentError("a link matrix cannot show that", expected=" or ".join(MEASURES), got=str(show))
    scale_of = scales(report)
    entries = list(cells(report, scale_of))
    by = measured_by(report)
    chosen = sorted(_comparable(entries, by), key=lambda cell: _speed(cell, by[0]))
    return {
        "title": f"Links between {len(ranks_of(report))} ranks, backend {report.backend}",
        "when": _when(report.time),
        "backend": report.backend,
        "show": show,
        "by": by,
        "ranks": ranks_of(report),
        "scales": scale_of,
        "cells": entries,
        "links": [_link(link) for link in report.links],
        "flows": [
            _flow(flow, i, means) for i, link in enumerate(report.links) for means, flow in _flows(link)
        ],
        "slowest": _pair(chosen[0]) if chosen else None,
        "fastest": _pair(chosen[-1]) if chosen else None,
        "sentences": report.sentences,
    }


def alt(drawn: dict[str, Any]) -> str:
    """What the heat map shows, in two sentences at most."""
    count = len(drawn["ranks"])
    measured = [cell for cell in drawn["cells"] if cell["figures"]]
    if not measured:
        return f"Link matrix of {count} ranks: no link between them was measured."
    ends = dict.fromkeys(_figure(drawn, *drawn[name]) for name in ("slowest", "fastest"))
    marked = sum(
        figure.get("low", False)
        for cell in measured
        for by_measure in cell["figures"].values()
        for figure in by_measure.values()
    )
    low = "marked as low" if drawn["show"] == "bandwidth" else "of low bandwidth"
    missing = len(drawn["cells"]) - len(measured)
    rest = [f"{marked} {low}" if marked else "", f"{missing} not measured" if missing else ""]
    said = f" Of {len(drawn['cells'])} directions {' and '.join(filter(None, rest))}." if any(rest) else ""
    return f"Heat map of {drawn['show']} between {count} ranks: {', '.join(filter(None, ends))}.{said}"


def _figure(drawn: dict[str, Any], sender: int, receiver: int) -> str:
    cell, show, means = cell_of(drawn, sender, receiver), drawn["show"], drawn["by"][0]
    figure = cell["figures"].get(means, {}).get(show) if cell else None
    return (
        f"{figure['text']} {drawn['scales'][show]['unit']} from rank {sender} to rank {receiver}"
        if figure
        else ""
    )


def cell_of(drawn: dict[str, Any], sender: int, receiver: int) -> dict[str, Any] | None:
    """The cell of that direction; None where there is none."""
    pair = (sender, receiver)
    return next((cell for cell in drawn["cells"] if (cell["sender"], cell["receiver"]) == pair), None)


def _comparable(entries: list[dict[str, Any]], by: list[str]) -> list[dict[str, Any]]:
    """Cells with a bandwidth by the means that is shown first; where none has one, those with some figure."""
    with_one = [cell for cell in entries if by and "bandwidth" in cell["figures"].get(by[0], {})]
    return with_one or [cell for cell in entries if cell["figures"]]


def _speed(cell: dict[str, Any], means: str) -> list[float]:
    """By bandwidth, then by latency."""
    figures = cell["figures"].get(means, {})
    return [figures.get(measure, {}).get("shade", -1.0) for measure in MEASURES]


def _pair(cell: dict[str, Any]) -> list[int]:
    return [cell["sender"], cell["receiver"]]


def _when(time: str) -> str:
    """`2026-01-02T03:04:05+00:00` as `2026-01-02 03:04 UTC`; what is no such time, as it is."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment.tzinfo else f"{moment:%Y-%m-%d %H:%M}"


def _link(link: Link) -> dict[str, Any]:
    nominal = link.way.nominal_bits_per_s
    return {
        "ranks": list(link.ranks),
        "title": link.way.title,
        "interfaces": [end.interface for end in link.ends],
        "in_use": link.in_use,
        "nominal_bytes_per_s": nominal / 8 if nominal else None,
        "error": link.error,
    }


def _flows(link: Link) -> list[tuple[str, Flow]]:
    return [*(("mlx", flow) for flow in link.mlx), *(("tcp", flow) for flow in link.tcp)]


def _flow(flow: Flow, link: int, means: str) -> dict[str, Any]:
    """The line through the points is the model of `hosts.linkfit` with the flow's two figures."""
    return {
        "link": link,
        "sender": flow.sender,
        "receiver": flow.receiver,
        "by": means,
        "latency_s": _round(flow.latency_s),
        "bandwidth_bytes_per_s": _round(flow.bandwidth_bytes_per_s),
        "formula": _formula(flow),
        # Per sample: bytes, then the seconds of its median, of its fastest, and of nine in ten.
        "samples": [
            [sample.size_bytes, _round(sample.seconds), _round(sample.low_s), _round(sample.p90_s)]
            for sample in flow.samples
            if min(sample.low_s, sample.seconds, sample.p90_s) > 0
        ],
        "skipped": [[skip.size_bytes, skip.reason] for skip in flow.skipped],
    }


def _formula(flow: Flow) -> str:
    """`30 µs + size / 6 GB/s`, or as much of it as was measured."""
    parts = []
    if flow.latency_s:
        parts.append(format_seconds(flow.latency_s))
    if flow.bandwidth_bytes_per_s:
        parts.append(f"size / {format_bytes(flow.bandwidth_bytes_per_s)}/s")
    return " + ".join(parts)


def _round(value: float | None) -> float | None:
    """Four digits are more than a picture shows, and a third of the bytes."""
    return None if value is None else float(f"{value:.4g}")
