"""The memory of each rank: weights, KV cache at a context that a slider sets, others' use, what is free."""

from __future__ import annotations

from operator import index
from typing import Any

from kernelkit.amounts import shown
from kernelkit.errors import ArgumentError
from kernelkit.outputs.text import runs_of
from kernelkit.perf.result import Plan
from kernelkit.sharding.memory import MemoryMap, RankMemory
from kernelkit.tables import text_table
from kernelkit.units import format_bytes
from kernelkit.views.picture import Picture

_COLUMNS = ("rank", "host", "weights", "KV at {}", "used by others", "free", "limit", "which is")
# Where nobody says how long a context the model was made for, the slider still has to end.
_LEAST_LONGEST, _MOST_LONGEST = 8192, 2**20
# As much as a model is loaded for.
_MOST_TOKENS = 10**9


def memory(memory_map: MemoryMap | Plan, context: int | None = None) -> Picture:
    """What fills each rank's memory, against what its device can hold.

    Args:
        memory_map: as `model.memory` gives it, or a plan.
        context: tokens of each sequence in the KV cache, at first; on the page a slider changes it. By
            default 4,096, or the plan's.

    Raises:
        ArgumentError: `context` is no integer or out of range, or `memory_map` is none.
    """
    first = 4096
    if isinstance(memory_map, Plan):
        first, memory_map = memory_map.context, memory_map.memory
    drawn = scene(memory_map, first if context is None else context)
    return Picture("memory", drawn, text(memory_map, drawn["context"]), alt(drawn))


def scene(memory_map: MemoryMap, context: int = 4096) -> dict[str, Any]:
    """All that the picture shows, for every context: of a rank's KV cache as `kv_bytes` reckons it.

    Raises:
        ArgumentError: `context` is no integer or out of range, or `memory_map` is none.
    """
    _check(memory_map)
    context = _tokens(context)
    known = all(rank.kv_bytes_per_token is not None for rank in memory_map.ranks)
    largest = memory_map.largest_context() if known else None
    # Of plans alone: stored pictures of clusters stay as they are.
    named = {"used_words": [memory_map.used_words]} if memory_map.used_words else {}
    return {
        **named,
        "title": f"Memory of {memory_map.model or 'the model'} on {_ranks(len(memory_map.ranks))}",
        "model": memory_map.model,
        "batch": memory_map.batch,
        "context": context,
        "max_context": memory_map.max_context,
        "longest_context": _longest(memory_map, context, largest),
        "largest_context": largest,
        "kv_known": known,
        "kv_words": "" if known else memory_map.kv_words or "nothing says what a token takes",
        "free_words": ["free"] if known else ["free", "before KV"],
        "fits_words": _fits(memory_map, largest) if known else "",
        "groups": [_group(memory_map, members) for members in _groups(memory_map)],
    }


def text(memory_map: MemoryMap, context: int = 4096) -> str:
    """The figures at one context as a table, and what does not fit."""
    drawn = scene(memory_map, context)
    columns = list(_COLUMNS)
    columns[3] = columns[3].format(f"{context:,} tokens")
    columns[4] = memory_map.used_words or columns[4]
    columns[5] = " ".join(drawn["free_words"])
    rows = [_row(memory_map, rank, context, known=drawn["kv_known"]) for rank in memory_map.ranks]
    words = [drawn["fits_words"] or f"KV cache not known: {drawn['kv_words']}", *lacking(drawn, context)]
    words += filter(None, [beyond(drawn, context)])
    return "\n".join([drawn["title"], text_table(columns, rows), *words])


def alt(drawn: dict[str, Any]) -> str:
    """What is full and what fits, in two sentences or three."""
    words = drawn["fits_words"] or f"KV cache not known: {drawn['kv_words']}."
    lacks = "; ".join(lacking(drawn, drawn["context"])) or "all fits"
    said = ", but ".join(filter(None, [lacks, beyond(drawn, drawn["context"])]))
    return f"{drawn['title']} at a context of {drawn['context']:,} tokens: {said}. {words}"


def beyond(drawn: dict[str, Any], context: int) -> str:
    """That the model was made for shorter contexts; empty where it was not."""
    longest = drawn.get("max_context")
    return f"beyond the model's {longest:,} tokens" if longest is not None and context > longest else ""


def kv_bytes(rank: dict[str, Any], context: int) -> int | None:
    """Of a rank of the scene: what grows with every token, windows up to their size, and states.

    None where it is not known.
    """
    if rank["kv_bytes_per_token"] is None:
        return None
    windows = sum(min(context, tokens) * size for tokens, size in rank.get("kv_windows", ()))
    return int(
        rank["kv_bytes_per_token"] * context + windows + (rank.get("kv_state_bytes", 0) if context else 0)
    )


def need_bytes(group: dict[str, Any], context: int) -> int:
    """What the ranks of a group and all others take of its limit; a KV cache not known counts as none."""
    ranks = group["ranks"]
    needs = [rank["weight_bytes"] + (kv_bytes(rank, context) or 0) for rank in ranks]
    return int((group["used_bytes"] or 0) + sum(needs))


def lacking(drawn: dict[str, Any], context: int) -> list[str]:
    """`rank 2 lacks 3.1 GB`, for each limit that is exceeded at this context."""
    found = []
    for group in drawn["groups"]:
        missing = need_bytes(group, context) - group["limit_bytes"]
        if missing > 0:
            verb = "lacks" if len(group["ranks"]) == 1 else "together lack"
            found.append(
                f"{rank_names([rank['rank'] for rank in group['ranks']])} {verb} {format_bytes(missing)}"
            )
    return found


def limit_words(drawn: dict[str, Any]) -> str:
    """What sets the limits: once where all have the same, else of which ranks."""
    ranks: dict[str, list[int]] = {}
    for group in drawn["groups"]:
        ranks.setdefault(group["limit"], []).extend(rank["rank"] for rank in group["ranks"])
    several = len(ranks) > 1
    named = [f"{limit} ({rank_names(sorted(mine))})" if several else limit for limit, mine in ranks.items()]
    return f"limit: {', '.join(named)}"


def _check(memory_map: MemoryMap) -> None:
    """Refuse what is none, such as the model itself."""
    if not isinstance(memory_map, MemoryMap):
        raise ArgumentError(
            "a memory picture is drawn from a memory map",
            expected="a MemoryMap",
            got=type(memory_map).__name__,
            cure="take model.memory, a plan, or MemoryMap.load(path)",
        )


def _tokens(context: int) -> int:
    """The context as an integer.

    Raises:
        ArgumentError: it is none, or out of range.
    """
    count = -1 if isinstance(context, bool) or not hasattr(context, "__index__") else index(context)
    if not 0 <= count <= _MOST_TOKENS:
        expected = f"an integer from 0 to {_MOST_TOKENS:,}"
        raise ArgumentError("a context is a number of tokens", expected=expected, got=shown(context)[:50])
    return count


def _groups(memory_map: MemoryMap) -> list[list[RankMemory]]:
    """Ranks by the limit that they share, which `MemoryMap` tells by the host and by how many share it."""
    found: dict[tuple[str, int, int], list[RankMemory]] = {}
    for rank in memory_map.ranks:
        own = rank.rank if rank.shared_by == 1 else -1
        found.setdefault((rank.host, rank.shared_by, own), []).append(rank)
    return list(found.values())


def _group(memory_map: MemoryMap, members: list[RankMemory]) -> dict[str, Any]:
    first = members[0]
    return {
        "host": first.host,
        "limit_bytes": first.limit_bytes,
        "limit": first.limit,
        "used_bytes": first.used_bytes,
        "ranks": [_rank(rank, memory_map.batch) for rank in members],
    }


def _rank(rank: RankMemory, batch: int) -> dict[str, Any]:
    per_token = rank.kv_bytes_per_token
    drawn: dict[str, Any] = {
        "rank": rank.rank,
        "weight_bytes": rank.weight_bytes,
        "kv_bytes_per_token": None if per_token is None else per_token * batch,
    }
    # Few models have these, and stored pictures of the others stay as they are.
    if rank.windows:
        drawn["kv_windows"] = [[tokens, size * batch] for tokens, size in rank.windows]
    if rank.state_bytes:
        drawn["kv_state_bytes"] = rank.state_bytes * batch
    return drawn


def _longest(memory_map: MemoryMap, context: int, largest: int | None) -> int:
    """Where the slider ends."""
    if memory_map.max_context is not None:
        return max(memory_map.max_context, context)
    enough = max(context, 2 * (largest or 0), _LEAST_LONGEST)
    return max(context, min(_MOST_LONGEST, 1 << (enough - 1).bit_length()))


def _fits(memory_map: MemoryMap, largest: int | None) -> str:
    """One sentence on the longest context that fits, and on what ends it."""
    several = f" in each of {memory_map.batch} sequences" if memory_map.batch > 1 else ""
    if largest is None:
        return "A context of any length fits."
    full = [
        rank.rank for rank in memory_map.ranks if (memory_map.free_bytes(rank.rank, largest + 1) or 0) < 0
    ]
    if largest == 0 and any((memory_map.free_bytes(rank, 0) or 0) < 0 for rank in full):
        return "The weights alone do not fit."
    if largest == memory_map.max_context:
        return f"The model's whole context of {largest:,} tokens fits{several}."
    is_full = "is full" if len(full) == 1 else "are full"
    return f"A context of up to {largest:,} tokens fits{several}: then {rank_names(full)} {is_full}."


def _row(memory_map: MemoryMap, rank: RankMemory, context: int, *, known: bool) -> tuple[str, ...]:
    shared = f", shared by {_ranks(rank.shared_by)}" if rank.shared_by > 1 else ""
    return (
        str(rank.rank),
        rank.host,
        format_bytes(rank.weight_bytes),
        _known(memory_map.kv_bytes(rank.rank, context)),
        _known(rank.used_bytes),
        _known(memory_map.free_bytes(rank.rank, context if known else 0)),
        format_bytes(rank.limit_bytes),
        f"{rank.limit}{shared}",
    )


def _known(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else format_bytes(size_bytes)


def _ranks(count: int) -> str:
    return f"{count} rank{'s' if count != 1 else ''}"


def rank_names(ranks: list[int]) -> str:
    """`rank 2`, `ranks 0 and 1`, `ranks 0-3 and 6`."""
    runs = runs_of(ranks)
    parts = [part for run in runs for part in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run))]
    listed = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"rank{'s' if len(ranks) > 1 else ''} {listed}"
