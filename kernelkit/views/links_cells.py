"""The cells of the link matrix: a figure for each two ranks, its place on a scale, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from math import log
from statistics import median
from typing import Any

from kernelkit.hosts.linkreport import LinkReport
from kernelkit.hosts.linkwords import sentences

MEASURES = ("bandwidth", "latency")
MEANS = ("mlx", "tcp")
# A scale spans at least this, or the noise between equal links would look like a finding.
_LEAST_SPAN = 4.0
_RATE_UNITS = ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "KB/s"), (1.0, "B/s"))
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def ranks_of(report: LinkReport) -> list[dict[str, Any]]:
    """Every rank that some link touches, with its host, by number."""
    hosts = {end.rank: end.host for link in report.links for end in link.ends}
    return [{"rank": rank, "host": hosts[rank]} for rank in sorted(hosts)]


def measured_by(report: LinkReport) -> list[str]:
    """`mlx`, `tcp` or both, as far as there are figures."""
    ways = {
        "mlx": [f for link in report.links for f in link.mlx],
        "tcp": [f for link in report.links for f in link.tcp],
    }
    return [means for means in MEANS if any(f.latency_s or f.bandwidth_bytes_per_s for f in ways[means])]


def scales(report: LinkReport) -> dict[str, Any]:
    """For each measure its unit and its ends: the same for MLX and TCP, so that the two can be compared."""
    pairs = list(permutations([entry["rank"] for entry in ranks_of(report)], 2))
    found: dict[str, Any] = {}
    for measure in MEASURES:
        values = [
            value
            for means in MEANS
            for a, b in pairs
            if (value := _value(report, measure, means, a, b)) is not None
        ]
        if values:
            found[measure] = _scale(measure, values)
    return found


def _scale(measure: str, values: Sequence[float]) -> dict[str, Any]:
    units = _RATE_UNITS if measure == "bandwidth" else _TIME_UNITS
    middle = median(values)
    size, unit = next((entry for entry in units if middle >= 0.9995 * entry[0]), units[-1])
    low, high = min(values), max(values)
    # Where all are much alike, all take the good end of the scale.
    if measure == "bandwidth":
        low = min(low, high / _LEAST_SPAN)
    else:
        high = max(high, low * _LEAST_SPAN)
    scale = {"unit": unit, "unit_size": size, "low": low, "high": high}
    points = (low, (low * high) ** 0.5, high)
    return {
        **scale,
        "ticks": [{"text": _text(value, size), "shade": _shade(measure, scale, value)} for value in points],
    }


def _shade(measure: str, scale: dict[str, Any], value: float) -> float:
    """0 (slow) to 1 (fast), by ratio: bright is good, in bandwidth as in latency."""
    at = log(value / scale["low"]) / log(scale["high"] / scale["low"])
    return round(at if measure == "bandwidth" else 1 - at, 3)


def _text(value: float, unit_size: float) -> str:
    """Three digits, below a tenth two: it must fit a cell. Zeros at the end stay, so that columns line up."""
    number = value / unit_size
    if number >= 99.95:
        return f"{number:,.0f}"
    if number >= 0.0995:
        return f"{number:#.3g}"
    return f"{number:#.2g}" if number >= 1e-4 else f"{number:.6f}"


def cells(report: LinkReport, scale_of: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each ordered pair of different ranks."""
    ranks = ranks_of(report)
    hosts = {entry["rank"]: entry["host"] for entry in ranks}
    for sender, receiver in permutations(hosts, 2):
        figures: dict[str, Any] = {}
        for means in MEANS:
            for measure, scale in scale_of.items():
                value = _value(report, measure, means, sender, receiver)
                if value is not None:
                    shade, text = _shade(measure, scale, value), _text(value, scale["unit_size"])
                    figures.setdefault(means, {})[measure] = {"text": text, "shade": shade}
        if "bandwidth" in figures.get("mlx", {}) and _marking(report, sender, receiver):
            figures["mlx"]["bandwidth"]["low"] = True
        said = list(_said(report, sender, receiver))
        if not figures and not said:
            said = list(_measured_elsewhere(report, hosts, sender, receiver))
        yield {
            "sender": sender,
            "receiver": receiver,
            "figures": figures,
            "words": said,
        }


def _value(report: LinkReport, measure: str, means: str, sender: int, receiver: int) -> float | None:
    ask = report.bandwidth_bytes_per_s if measure == "bandwidth" else report.latency_s
    value = ask(sender, receiver, tcp=means == "tcp")
    return value if value else None


def _between(report: LinkReport, sender: int, receiver: int) -> LinkReport:
    links = tuple(link for link in report.links if set(link.ranks) == {sender, receiver})
    return replace(report, links=links)


def _said(report: LinkReport, sender: int, receiver: int) -> Iterator[str]:
    """The report's sentences on this pair; one that names a direction is said of that direction alone."""
    return _this_way(sentences(_between(report, sender, receiver)), sender, receiver)


def _marking(report: LinkReport, sender: int, receiver: int) -> list[str]:
    """What is said of the bandwidth by MLX in the cell: the one figure that sentences call low.

    A weak spare link marks no cell; and that something could not be measured is no figure.
    """
    between = _between(report, sender, receiver)
    pair = replace(between, links=tuple(replace(link, error="") for link in between.links))
    spare = [link for link in pair.links if not link.in_use]
    if len(spare) == len(pair.links):
        spare = []
    aside = {text for link in spare for text in sentences(replace(report, links=(link,)))}
    return [text for text in _said(pair, sender, receiver) if text not in aside]


def _this_way(texts: Iterable[str], sender: int, receiver: int) -> Iterator[str]:
    other_way = f": from rank {receiver} to rank {sender} "
    return (text for text in texts if other_way not in text)


def _measured_elsewhere(
    report: LinkReport, hosts: dict[int, str], sender: int, receiver: int
) -> Iterator[str]:
    """Of two hosts with several ranks, one pair of ranks is measured: say which."""
    for link in report.links:
        first, second = link.ranks
        if {hosts[first], hosts[second]} == {hosts[sender], hosts[receiver]} and hosts[first] != hosts[
            second
        ]:
            yield (
                f"between {hosts[sender]} and {hosts[receiver]}, rank {first} and rank {second} were"
                " measured: the link is the same"
            )
            return
