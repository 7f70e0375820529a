"""A record in words: its conditions by name, its figures with units, its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

from kernelkit.experiments.parts import Code, Figure, Host, Model, Written
from kernelkit.experiments.sheet import Fact, Row, Sheet, Strip
from kernelkit.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from kernelkit.experiments.record import Experiment
    from kernelkit.hosts.linkreport import LinkReport

# So many digits of a digest or a commit tell two apart for a reader; all are in the record.
DIGITS = 12
_SHOWN_CHARS = 70
_NAMED_FILES = 3


def sheet_of(record: Experiment) -> Sheet:
    """All that is shown of one record."""
    facts = [Fact(name, (value,)) for name, value in conditions(record)]
    rows = [
        Row(one.name, one.unit, chart, (one.values,), (figure_text(one),)) for chart, one in figures(record)
    ]
    strips = [Strip(one.name, (tuple(one.generation.tokens),), _text(one)) for one in record.texts]
    broken = (f"It broke off: {record.error}.",) if record.error else ()
    title = f"{record.name}: {clock(record.began)} UTC, {format_seconds(record.elapsed_s)}"
    return Sheet(title, ("",), tuple(rows), tuple(strips), tuple(facts), broken)


def conditions(record: Experiment) -> Iterator[tuple[str, str]]:
    """What the results may depend on, by name and in words: two records differ where these do."""
    for name, value in record.parameters.items():
        yield f"parameter {name}", json.dumps(value, ensure_ascii=False)
    for name, seed in record.seeds.items():
        if name not in record.parameters:
            yield f"seed of {name}", str(seed)
    for number, model in enumerate(record.models):
        which = f"model {number}" if len(record.models) > 1 else "model"
        yield which, _model(model)
        yield f"{which}, SHA-256", model.content[:DIGITS]
    yield from cluster_conditions(record)
    for name, version in record.versions.items():
        yield name, version
    code = record.code
    yield "git commit", code.commit[:DIGITS] or code.why
    if code.dirty:
        yield "changes since then", changes_text(code)


def cluster_conditions(record: Experiment) -> Iterator[tuple[str, str]]:
    """Those of the cluster alone."""
    if not record.places:
        yield "cluster", "none"
        return
    yield "cluster", f"{len(record.places)} rank{'s'[: len(record.places) > 1]}, backend {record.backend}"
    for place in record.places:
        blas = f", {place.blas}" if place.blas else ""
        yield f"rank {place.rank}", f"{place.host}, {place.device}{blas}"
    for number, host in enumerate(record.hosts):
        yield f"host {number}", _host(host)


def figures(record: Experiment) -> Iterator[tuple[str, Figure]]:
    """Each with the name of the chart that it belongs to."""
    for figure in _results(record):
        yield "plain numbers" if figure.unit == "1" else figure.unit, figure
    if record.links is not None:
        for figure in _links(record.links):
            yield f"links as measured, {figure.unit}", figure


def _results(record: Experiment) -> Iterator[Figure]:
    """The figures that were recorded, and the speeds of the texts."""
    yield from record.figures
    for one in record.texts:
        generation = one.generation
        if generation.tokens_per_s:
            yield Figure(f"{one.name}: decode", (generation.tokens_per_s,), "tokens/s")
        if generation.prompt_tokens_per_s:
            yield Figure(f"{one.name}: prompt", (generation.prompt_tokens_per_s,), "tokens/s")
        if generation.token_times_s:
            yield Figure(f"{one.name}: first token", (generation.time_to_first_token_s,), "s")


def figure_text(figure: Figure) -> str:
    """The median, and the range where it was measured several times."""
    middle = quantity(median(figure.values), figure.unit)
    if len(figure.values) == 1:
        return middle
    low, high = (quantity(value, figure.unit) for value in (min(figure.values), max(figure.values)))
    return f"{middle} ({low} to {high}, {len(figure.values)} values)"


def quantity(value: float, unit: str) -> str:
    """`(0.00215, 's') -> '2.15 ms'`; units that are not known stand as they are."""
    if unit == "s":
        return format_seconds(value)
    if unit == "B":
        return format_bytes(value)
    if unit == "B/s":
        return f"{format_bytes(value)}/s"
    if unit.endswith("/s") and abs(value) >= 0.001:
        return format_rate(value, unit.removesuffix("/s"))
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"


def clock(time: str) -> str:
    """`2026-11-27T02:16:08+00:00 -> 2026-11-27 02:16:08`."""
    return time[:19].replace("T", " ")


def changes_text(code: Code) -> str:
    """What the commit lacks of the code."""
    named = ", ".join(code.changed[:_NAMED_FILES]) + (", …" if len(code.changed) > _NAMED_FILES else "")
    files = f"{len(code.changed)} file{'s'[: len(code.changed) > 1]}"
    changed = f"{files} ({named}), SHA-256 {code.diff[:DIGITS]}" if code.changed else ""
    unknown = f"{code.untracked} not under version control" if code.untracked else ""
    return "; ".join(filter(None, (changed, unknown)))


def _model(model: Model) -> str:
    split = f", split {','.join(map(str, model.split))}" if model.split else ""
    stages = f", {model.stages} stages" if model.strategy == "hybrid" else ""
    bits = f", {model.quantize} bits" if model.quantize else ""
    context = f", context {model.context}" if model.context else ""
    asked = f", --dtype {model.asked_dtype}" if model.asked_dtype != "auto" else ""
    return f"{model.name}, {model.strategy}{split}{stages}, {model.dtype}{asked}{bits}{context}"


def _host(host: Host) -> str:
    memory = "" if host.memory_bytes is None else format_bytes(host.memory_bytes)
    versions = f"Python {host.python}, mlx {host.mlx}, mlx-lm {host.mlx_lm}"
    return ", ".join(filter(None, (host.name, host.chip, memory, host.os, versions)))


def _text(one: Written) -> str:
    generation = one.generation
    how = "greedy" if one.greedy else f"drawn at temperature {generation.temp:g} with seed {generation.seed}"
    line: Any = " ".join(generation.text.split())
    short = line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
    return f"{len(generation.tokens)}, {how}, ended by {generation.finish}: {short}"


def _links(report: LinkReport) -> Iterator[Figure]:
    pairs = {(flow.sender, flow.receiver) for link in report.links for flow in link.mlx}
    for sender, receiver in sorted(pairs):
        name = f"link {sender} > {receiver}"
        latency_s = report.latency_s(sender, receiver)
        bandwidth = report.bandwidth_bytes_per_s(sender, receiver)
        if latency_s is not None:
            yield Figure(f"{name}: latency", (latency_s,), "s")
        if bandwidth is not None:
            yield Figure(f"{name}: bandwidth", (bandwidth,), "B/s")
