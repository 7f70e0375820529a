"""Speed over the number of machines, a line for each link and strategy: where more of them stop to help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.perf.result import Plan
from kernelkit.perf.sweeping import Sweep, compare
from kernelkit.units import format_rate
from kernelkit.views.picture import Picture


def speeds(comparison: Sweep | Sequence[Plan]) -> Picture:
    """Decoded tokens per second over the number of machines, from the least to the most that is expected.

    A still picture, the same on every page. Where a plan does not fit, its line has a gap with a cross under
    it; where more machines are slower, the fastest is ringed.

    Args:
        comparison: as `kernelkit.perf.sweep` gives it, or plans of one model.

    Raises:
        ArgumentError: there is no plan in it, or of several models.
    """
    swept = comparison if isinstance(comparison, Sweep) else compare(comparison)
    if not all(isinstance(each, Plan) for each in swept.plans):
        raise ArgumentError("speeds are drawn of plans", expected="a Sweep, or plans")
    models = sorted({each.model for each in swept.plans})
    if len(models) != 1:
        got = ", ".join(models) or "none"
        raise ArgumentError("speeds are compared of one model", expected="plans of one model", got=got)
    drawn = scene(swept)
    return Picture("speeds", drawn, repr(swept), alt(drawn))


def scene(swept: Sweep) -> dict[str, Any]:
    """All that the picture shows; a point without speeds does not fit, or is not known."""
    named = swept.lines() or {("", ""): swept.plans}
    return {
        "title": swept.title,
        "lines": [_line(link, strategy, plans) for (link, strategy), plans in named.items()],
        "sentences": list(swept.sentences),
    }


def alt(drawn: dict[str, Any]) -> str:
    """The picture in a few sentences."""
    names = ", ".join(line["name"] for line in drawn["lines"])
    return " ".join([f"Speed over machines, {drawn['title']}: {names}.", *drawn["sentences"]])


def _line(link: str, strategy: str, plans: Sequence[Plan]) -> dict[str, Any]:
    points = [_point(each) for each in plans]
    known = [point for point in points if point["tokens_per_s"]]
    best = max(known, key=lambda point: point["tokens_per_s"][1], default=None)
    turns = best is not None and any(point["nodes"] > best["nodes"] for point in known)
    return {
        "name": f"{strategy} over {link}" if link else "one machine",
        "strategy": strategy,
        "points": points,
        # From here on more machines are slower.
        "turn": best["nodes"] if best is not None and turns else None,
        "best": "" if best is None else format_rate(best["tokens_per_s"][1], "tokens"),
    }


def _point(each: Plan) -> dict[str, Any]:
    speed = each.decode_tokens_per_s
    return {
        "nodes": each.nodes,
        "fits": each.fits,
        "tokens_per_s": None if speed is None else list(speed.parts),
    }
