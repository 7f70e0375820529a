"""A loaded model in words: one row per rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.sharding.padding import Change
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes

_COLUMNS = ("rank", "layers", "heads", "KV heads", "dtype", "weights")

Summaries = Mapping[int, Mapping[str, Any]]


def as_text(name: str, strategy: str, summaries: Summaries) -> str:
    """A title, a table, and what was padded."""
    table = text_table(_COLUMNS, _rows(summaries))
    return "\n".join(filter(None, [_title(name, strategy, summaries), table, _padding(summaries)]))


def as_html(name: str, strategy: str, summaries: Summaries) -> str:
    """The same, as HTML."""
    captions = filter(None, [_title(name, strategy, summaries), _padding(summaries)])
    return html_table(_COLUMNS, _rows(summaries), *captions)


def _rows(summaries: Summaries) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for rank, part in summaries.items():
        start, end = part["layer_range"]
        rows.append(
            (
                str(rank),
                f"{start}-{end - 1}",
                _count(part["heads_here"]),
                _count(part["kv_heads_here"]),
                _kind(part),
                format_bytes(part["weight_bytes"]),
            )
        )
    return rows


def _kind(part: Mapping[str, Any]) -> str:
    """`float32`, or `4-bit, float32`: of quantized weights, and of what is computed in."""
    packing = part["quantization_in_memory"]
    return f"{packing['bits']}-bit, {part['dtype']}" if packing else str(part["dtype"])


def _count(heads: int | None) -> str:
    return "" if heads is None else str(heads)


def _title(name: str, strategy: str, summaries: Summaries) -> str:
    part = next(iter(summaries.values()))
    ranks = len(summaries)
    over = f"{strategy} parallel over {ranks} ranks" if ranks > 1 else "on one rank"
    return f"{name} ({part['model_type']}, {part['layers']} layers), {over}"


def _padding(summaries: Summaries) -> str:
    """What was done so that the model divides; empty where nothing was."""
    first = next(iter(summaries.values()))
    changes = [Change(**change) for change in first["padding"]]
    words = [f"So that all divides: {', '.join(map(_change, changes))}"] if changes else []
    if idle := _idle(changes, first["shares"]):
        who = f"ranks {', '.join(map(str, idle))} hold" if len(idle) > 1 else f"rank {idle[0]} holds"
        words.append(
            f"{who} heads of zeros alone: fewer ranks, or another --split, would use the memory better"
        )
    if first["unquantized"]:
        count = first["unquantized"]
        words.append(
            f"not quantized: {count} {'matrix' if count == 1 else 'matrices'} with rows of no multiple of 32"
        )
    return "; ".join(words)


def _idle(changes: Sequence[Change], shares: Sequence[int]) -> list[int]:
    """Ranks whose heads are all padding, which stands at the end."""
    heads = next((change for change in changes if change.what == "heads"), None)
    if heads is None or len(shares) < 2:
        return []
    one = heads.after // sum(shares)
    return [rank for rank in range(len(shares)) if sum(shares[:rank]) * one >= heads.before]


def _change(change: Change) -> str:
    """`"9 → 12 heads (3 of zeros)"`, or `"1 → 2 KV heads (each 2 times)"`."""
    zeros = change.after - change.before * change.times
    added = [f"each {change.times} times"] if change.times > 1 else []
    added += [f"{zeros} of zeros"] if zeros else []
    return f"{change.before} → {change.after} {change.what} ({', '.join(added)})"
