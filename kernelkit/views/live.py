"""What a running cell shows while it runs, as HTML: pure functions of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from kernelkit.outputs import RankOutput
from kernelkit.outputs.fold import tokens_of
from kernelkit.places import NOWHERE, Places, awaited, sentence
from kernelkit.tables import NO_MATH
from kernelkit.units import format_seconds

_TAIL_LINES = 12
_TAIL_CHARS = 20_000
_LINE = (
    f'{NO_MATH} style="margin:0;font-family:var(--jp-code-font-family,monospace);'
    'font-size:var(--jp-code-font-size,13px);line-height:1.3;white-space:pre-wrap"'
)


def running_html(
    outputs: Mapping[int, RankOutput],
    running: Sequence[int],
    elapsed_s: float,
    places: Places = NOWHERE,
    ends: str = "",
) -> str:
    """The last lines of each rank, whether it still runs, and where it stands.

    Args:
        places: where the ranks stand, as far as that is known.
        ends: when a cell that hangs is ended; shown once a rank waits.
    """
    parts = []
    if any(awaited(place, places) and place.in_mlx for place in places.values()) and ends:
        parts.append(f"<div>{escape(ends)}</div>")
    for rank, output in sorted(outputs.items()):
        state = f"runs, {format_seconds(int(elapsed_s))}" if rank in running else "done"
        if rank in places and rank in running:
            state += f": {escape(sentence(places[rank], places))}"
        lines = last_lines(output)
        body = "".join(f"<div {_LINE}>{escape(line)}</div>" for line in lines)
        parts.append(f"<div><b>rank {rank}</b> {state}</div>{body}")
    return "".join(parts)


def running_text(
    outputs: Mapping[int, RankOutput],
    running: Sequence[int],
    elapsed_s: float,
    places: Places = NOWHERE,
) -> str:
    """The same in one line for a terminal: who runs, who waits where, and the lowest rank's newest line."""
    waits = [
        f"rank {rank} {sentence(place, places)}" for rank, place in places.items() if awaited(place, places)
    ]
    if waits:
        return f"{elapsed_s:.0f} s: {'; '.join(waits)}"
    newest = "".join(last_lines(outputs[min(outputs)])[-1:])
    return f"{len(running)} of {len(outputs)} ranks run, {elapsed_s:.0f} s: {newest}"


def last_lines(output: RankOutput) -> list[str]:
    """The newest lines of one rank; rich outputs stand as their kind."""
    tail = output.recent(_TAIL_CHARS)
    lines = [token.text if token.kind != "display" else "(rich output)" for token in tokens_of(tail)]
    return lines[-_TAIL_LINES:]


def text_html(text: str) -> str:
    """Text that grows, as it will look when it is done."""
    return f"<div {_LINE}>{escape(text)}</div>"


def progress_html(fractions: Mapping[int, tuple[str, float]]) -> str:
    """One bar per rank.

    Args:
        fractions: rank to what it is doing and how far it is, 0 to 1.
    """
    rows = []
    for rank, (phase, fraction) in sorted(fractions.items()):
        label = f"rank {rank}: {phase} {fraction:.0%}"
        bar = f'<progress value="{fraction:.3f}" max="1" aria-label="{escape(label)}"></progress>'
        rows.append(f"<div {_LINE}>{bar} {escape(label)}</div>")
    return "".join(rows)


def progress_text(fractions: Mapping[int, tuple[str, float]]) -> str:
    """The same as one line for a terminal."""
    return "  ".join(f"rank {rank}: {phase} {part:.0%}" for rank, (phase, part) in sorted(fractions.items()))
