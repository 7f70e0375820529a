"""What fits a given memory: the longest context on a layout, and the fewest machines for a context."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.anatomy import Anatomy
from kernelkit.sharding.layout import Layout, Strategy, layout
from kernelkit.sharding.quantization import Quantization, parse_quantization
from kernelkit.sharding.ranksizes import needed_bytes, rank_sizes
from kernelkit.sharding.sizes import How, outside_bytes, weight_bytes
from kernelkit.sharding.split import split_by_memory

# Where a config does not say how long a context its model was made for.
_MOST_TOKENS = 2**24
_MOST_NODES = 64


@dataclass(frozen=True)
class Smallest:
    """The fewest machines.

    Attributes:
        nodes: so many, those with most memory first.
        strategy: by which it fits there, tensor parallelism first.
        split: layers per rank, of a pipeline over machines of different memory.
        needed_bytes: of each.
    """

    nodes: int
    strategy: Strategy
    split: tuple[int, ...] | None
    needed_bytes: tuple[int, ...]


def largest_context(
    anatomy: Anatomy,
    dealt: Layout,
    available_bytes: Sequence[int],
    quantization: How = None,
    batch: int = 1,
    kv_bits: int | None = None,
) -> int:
    """The longest context that fits on every rank, at most what the model was made for; 0 where none does.

    Args:
        dealt: as `layout` gives it.
        available_bytes: by rank, for weights, caches and activations.
        quantization, kv_bits: as `rank_sizes` takes them.
        batch: sequences at once.

    Raises:
        ArgumentError: not one memory per rank, or no such quantization.
    """
    if len(available_bytes) != dealt.world_size:
        expected = f"{dealt.world_size} numbers of bytes"
        raise ArgumentError("every rank needs a memory", expected=expected, got=str(len(available_bytes)))
    how = parse_quantization(quantization)
    sizes = rank_sizes(anatomy, dealt, how, kv_bits)

    def fits(tokens: int) -> bool:
        needed = needed_bytes(anatomy, sizes, dealt, tokens, batch, how.dtype)
        return all(need <= has for need, has in zip(needed, available_bytes, strict=True))

    return longest(anatomy, fits)


def longest(anatomy: Anatomy, fits: Callable[[int], bool]) -> int:
    """The last number of tokens that fits, at most what the model was made for; 0 where none does."""
    most = anatomy.max_context or _MOST_TOKENS
    return max(0, bisect(range(most + 1), False, key=lambda tokens: not fits(tokens)) - 1)


def smallest_cluster(
    anatomy: Anatomy,
    available_bytes: int | Sequence[int],
    context: int,
    quantization: How = None,
    batch: int = 1,
    kv_bits: int | None = None,
    strategies: Sequence[Strategy] = ("tensor", "pipeline"),
) -> Smallest | None:
    """The fewest machines that hold a model and its caches at a context; None where not even all of them do.

    Args:
        available_bytes: of each of up to 64 machines that are alike, or of those that there are.
        context: tokens of each of `batch` sequences.
        strategies: that may be taken.

    Raises:
        ArgumentError: there is no machine, or no such quantization.
    """
    each = [available_bytes] * _MOST_NODES if isinstance(available_bytes, int) else available_bytes
    room, how = sorted(each, reverse=True), parse_quantization(quantization)
    if not room or min(room) < 1:
        raise ArgumentError("there is no machine", expected="numbers of bytes above 0", got=repr(room[:4]))
    least = weight_bytes(anatomy, how)
    for nodes in range(1, len(room) + 1):
        if sum(room[:nodes]) < least:
            continue
        for strategy, split in _ways(anatomy, room[:nodes], how):
            if nodes > 1 and strategy not in strategies:
                continue
            try:
                dealt = layout(anatomy, nodes, strategy, split)
                sizes = rank_sizes(anatomy, dealt, how, kv_bits)
            except ModelShardError:  # it cannot be cut so
                continue
            needed = needed_bytes(anatomy, sizes, dealt, context, batch, how.dtype)
            if all(need <= has for need, has in zip(needed, room, strict=False)):
                return Smallest(nodes, strategy, split, tuple(needed))
    return None


def _ways(
    anatomy: Anatomy, room: Sequence[int], how: Quantization
) -> Iterator[tuple[Strategy, tuple[int, ...] | None]]:
    yield "tensor", None
    layers = len(anatomy.layers)
    if 1 < len(room) <= layers:
        alike = min(room) == max(room)
        yield "pipeline", None if alike else tuple(split_by_memory(layers, outside_bytes(anatomy, how), room))
