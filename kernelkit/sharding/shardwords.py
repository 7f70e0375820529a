"""A shard map in words: one row per rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelkit.sharding.pieces import REPLICATED
from kernelkit.tables import text_table
from kernelkit.units import format_bytes

if TYPE_CHECKING:
    from kernelkit.sharding.heads import Share
    from kernelkit.sharding.shardmap import ShardMap

_COLUMNS = ("rank", "layers", "heads", "KV heads", "its own", "on every rank", "padding")


def as_text(shards: ShardMap) -> str:
    """A title and a table; what is repeated has a column where anything is."""
    repeated = [shards.repeated_bytes(rank) for rank in range(shards.world_size)]
    rows = []
    for rank, size_bytes in enumerate(repeated):
        told = [format_bytes(size_bytes)] if any(repeated) else []
        rows.append((*_row(shards, rank), *told, format_bytes(shards.size_bytes(rank))))
    columns = (*_COLUMNS, *(["repeated"] if any(repeated) else []), "weights")
    return f"{title(shards)}\n{text_table(columns, rows)}"


def title(shards: ShardMap) -> str:
    """`SmolLM2 (llama, 30 layers, 4-bit in groups of 32), tensor parallel over 2 ranks, planned`."""
    layers = f"{shards.layers} layer{'s' if shards.layers != 1 else ''}"
    kind = [shards.model_type, layers, *_quantization(shards)]
    over = f"{shards.strategy} parallel over {shards.world_size} ranks"
    ranks = over if shards.world_size > 1 else "on one rank"
    name = f"{shards.model} ({', '.join(kind)})" if shards.model else ", ".join(kind)
    return f"{name}, {ranks}{', planned' if shards.planned else ''}"


def _quantization(shards: ShardMap) -> list[str]:
    kinds = {(p.bits, p.group_size) for p in shards.parameters if p.bits is not None}
    return [f"{bits}-bit in groups of {group_size}" for bits, group_size in sorted(kinds, key=str)]


def _row(shards: ShardMap, rank: int) -> tuple[str, ...]:
    start, end = shards.layer_ranges[rank]
    common = sum(piece.size_bytes for p, piece in shards.held_by(rank) if p.cut == REPLICATED)
    return (
        str(rank),
        _span(start, end),
        _heads(shards.heads_of(rank)),
        _heads(shards.kv_heads_of(rank)),
        format_bytes(shards.size_bytes(rank) - common),
        format_bytes(common),
        format_bytes(shards.padding_bytes(rank)),
    )


def _span(start: int, end: int) -> str:
    return "none" if end <= start else str(start) if end == start + 1 else f"{start}-{end - 1}"


def _heads(held: Share | None) -> str:
    if held is None:
        return ""
    added = f" + {held.padded} of zeros" if held.padded else ""
    return _span(held.start, held.end) + repeated_words(held) + added


def repeated_words(held: Share) -> str:
    """`" (repeated)"`, or `" (1 of 2 repeated)"` of the heads of a rank; empty where none is."""
    if not held.repeated:
        return ""
    return " (repeated)" if held.repeated == held.held else f" ({held.repeated} of {held.held} repeated)"
