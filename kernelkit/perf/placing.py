"""Deal a model out to machines: evenly where that fits, else by what each machine's memory can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from kernelkit.catalog import Node
from kernelkit.perf.dealing import rank_works
from kernelkit.perf.result import PlannedRank, Strategy
from kernelkit.perf.work import RankWork
from kernelkit.sharding.anatomy import Anatomy
from kernelkit.sharding.capacity import longest
from kernelkit.sharding.layout import Layout, layout
from kernelkit.sharding.quantization import Quantization
from kernelkit.sharding.sizes import activation_bytes, check_kv_bits
from kernelkit.sharding.split import check_split, split_by_memory

# Shares are small whole numbers: each part of a rank is cut by itself.
MOST_SHARES = 8
# mlx-lm's own size of a group of quantized keys and values.
_KV_GROUP = 64


@dataclass(frozen=True, eq=False)  # one is made once for many plans, and what is dealt of it is kept by it
class Model:
    """What is dealt out.

    Attributes:
        anatomy: what it is made of.
        how: it is packed.
    """

    anatomy: Anatomy
    how: Quantization


@dataclass(frozen=True)
class Load:
    """What it is to be used for.

    Attributes:
        context: tokens in each sequence's caches.
        batch: sequences at once.
        kv_bits: of quantized keys and values.
    """

    context: int
    batch: int = 1
    kv_bits: int | None = None


@dataclass(frozen=True)
class Placing:
    """A model on machines.

    Attributes:
        layout: which rank has what.
        works: by rank.
        ranks: with their bytes.
        split: shares or layers, where they are not even.
    """

    layout: Layout
    works: tuple[RankWork, ...]
    ranks: tuple[PlannedRank, ...]
    split: tuple[int, ...] | None = None

    @property
    def fits(self) -> bool:
        """Whether every part fits its machine."""
        return all(rank.free_bytes >= 0 for rank in self.ranks)


def place(
    model: Model,
    nodes: Sequence[Node],
    strategy: Strategy,
    load: Load,
    split: Sequence[int] | None = None,
) -> Placing:
    """One rank on each machine.

    Args:
        split: shares of each layer, or layers, by rank; evenly by default, and by memory where that does not
            fit.

    Raises:
        ModelShardError, ArgumentError: it cannot be cut that way, or its cache not be quantized.
    """
    if load.kv_bits is not None:
        check_kv_bits(model.anatomy, load.kv_bits, _KV_GROUP)
    even = _placing(model, nodes, strategy, load, split)
    if split is not None or even.fits or len(nodes) == 1:
        return even
    by_memory = _by_memory(model, nodes, strategy, even)
    if by_memory is None or (strategy == "tensor" and model.anatomy.cuts == "even"):
        return even
    uneven = _placing(model, nodes, strategy, load, by_memory)
    return uneven if uneven.fits else even


def largest_context(model: Model, placing: Placing, load: Load) -> int:
    """The longest that fits on every rank, at most what the model was made for; 0 where nothing does."""
    # Of ranks with the same work the one with the least memory decides.
    tightest: dict[int, tuple[RankWork, int]] = {}
    for work, rank in zip(placing.works, placing.ranks, strict=True):
        _, least = tightest.get(id(work), (work, rank.limit_bytes))
        tightest[id(work)] = work, min(least, rank.limit_bytes)
    limits = [(work, limit_bytes - work.held_bytes) for work, limit_bytes in tightest.values()]

    def fits(context: int) -> bool:
        asked = replace(load, context=context)
        alive = _alive(model, placing.layout, asked)
        return all(_kept(model, work, asked) + alive <= room for work, room in limits)

    return longest(model.anatomy, fits)


def _placing(
    model: Model, nodes: Sequence[Node], strategy: Strategy, load: Load, split: Sequence[int] | None
) -> Placing:
    if split is not None:
        check_split(split)
    shares = None if split is None else tuple(split)
    dealt, works = _deal(model, len(nodes), strategy, shares)
    return Placing(dealt, works, _ranks(model, nodes, dealt, works, load), shares)


@lru_cache(maxsize=256)
def _deal(
    model: Model, ranks: int, strategy: Strategy, split: tuple[int, ...] | None
) -> tuple[Layout, tuple[RankWork, ...]]:
    dealt = layout(model.anatomy, ranks, strategy, split)
    return dealt, tuple(rank_works(model.anatomy, model.how, dealt))


def _ranks(
    model: Model, nodes: Sequence[Node], dealt: Layout, works: Sequence[RankWork], load: Load
) -> tuple[PlannedRank, ...]:
    alive = _alive(model, dealt, load)
    sizes: dict[int, tuple[int, int]] = {}
    for work in works:  # many ranks share one
        if id(work) not in sizes:
            sizes[id(work)] = work.held_bytes, _kept(model, work, load)
    kinds = {(node.chip.key, node.memory_bytes): node for node in nodes}
    limits = {kind: node.working_set_bytes for kind, node in kinds.items()}
    return tuple(
        PlannedRank(
            rank,
            node.name,
            dealt.ranges[rank],
            *sizes[id(works[rank])],
            alive,
            limits[node.chip.key, node.memory_bytes],
        )
        for rank, node in enumerate(nodes)
    )


def _alive(model: Model, dealt: Layout, load: Load) -> int:
    parts = dealt.shares.parts if dealt.shares else 1
    return load.batch * activation_bytes(model.anatomy, load.context, parts, model.how.dtype)


def _kept(model: Model, work: RankWork, load: Load) -> int:
    return int(load.batch * work.kv_bytes(load.context, model.how.dtype, load.kv_bits))


def _by_memory(
    model: Model, nodes: Sequence[Node], strategy: Strategy, even: Placing
) -> tuple[int, ...] | None:
    room = [node.working_set_bytes for node in nodes]
    outside = even.works[0].outside.held_bytes
    if strategy == "pipeline":
        return tuple(split_by_memory(len(model.anatomy.layers), outside, room))
    least = max(1, min(size - outside for size in room))
    shares = tuple(max(1, min(MOST_SHARES, round((size - outside) / least))) for size in room)
    return None if len(set(shares)) == 1 else shares
