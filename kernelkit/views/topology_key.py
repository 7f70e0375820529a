"""The static topology's key: what its lines mean, as far as it has such lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kernelkit.views.topology_ink import SOFT, Ink
from kernelkit.views.topology_places import SMALL, Measure

ROW = 13.0
_SAMPLES = (("100 MB/s", 1e8), ("1 GB/s", 1e9), ("10 GB/s", 1e10))
_PLAIN: dict[str, Any] = {"state": "measured", "in_use": True, "rate_bytes_per_s": 2e9}
_LINE, _AFTER = 24.0, 12.0


class Entry(NamedTuple):
    """Words with the line, if any, that they explain."""

    words: str
    link: Mapping[str, Any] | None = None
    halo: bool = False


def key_rows(scene: Mapping[str, Any], width: float, measure: Measure) -> list[list[Entry]]:
    """The entries, in rows no wider than `width`."""
    rows: list[list[Entry]] = []
    x = 0.0
    for entry in _entries(scene):
        wide = _width(entry, measure)
        if not rows or x + wide - _AFTER > width:
            rows.append([])
            x = 0.0
        rows[-1].append(entry)
        x += wide
    return rows


def draw_key(ink: Ink, rows: Sequence[Sequence[Entry]], y: float, measure: Measure) -> None:
    """Draw them from the height `y` down."""
    for row in rows:
        x = 0.0
        for entry in row:
            at = x
            if entry.link is not None:
                ink.link(entry.link, [((x, y - 3), (x + 20, y - 3))], halo=entry.halo, above=True)
                if entry.link["state"] == "low":
                    ink.sign(x + 10, y - 3)
                at += _LINE
            ink.text(at, y, entry.words, colour=SOFT)
            x += _width(entry, measure)
        y += ROW


def _width(entry: Entry, measure: Measure) -> float:
    after = _AFTER if entry.link is not None else _AFTER / 2
    return (_LINE if entry.link is not None else 0.0) + measure(entry.words, SMALL, False) + after


def _entries(scene: Mapping[str, Any]) -> Iterator[Entry]:
    states = {link["state"] for link in scene["links"]}
    used = {bool(link["in_use"]) for link in scene["links"]}
    if states & {"measured", "low"}:
        yield Entry("bandwidth, log scale:")
        for words, rate in _SAMPLES:
            yield Entry(words, {**_PLAIN, "rate_bytes_per_s": rate})
    if "nominal" in states:
        yield Entry("nominal, not measured", {**_PLAIN, "state": "nominal"})
    if states & {"low", "failed"}:
        yield Entry("far under nominal, or failed", {**_PLAIN, "state": "low"})
    if len(used) == 2:
        yield Entry(f"{scene['shape'] or 'links'} in use", _PLAIN, halo=True)
        yield Entry("not in use", {**_PLAIN, "in_use": False})
