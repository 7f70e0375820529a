"""Bytes on each rank, weights and caches, without a list of arrays: what a plan needs, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from kernelkit.sharding.anatomy import Anatomy, Layer, Matrix
from kernelkit.sharding.caching import Cache, layer_cache
from kernelkit.sharding.cutting import Packings, cut, padded_sizes
from kernelkit.sharding.layout import Layout
from kernelkit.sharding.padding import Shares
from kernelkit.sharding.quantization import Quantization, parse_quantization
from kernelkit.sharding.sizes import How, activation_bytes, alike, check_kv_bits


@dataclass(frozen=True)
class RankSizes:
    """What one rank holds.

    Attributes:
        weight_bytes: of its part of the model, padding included.
        cache: of one sequence.
        layers: so many it runs.
    """

    weight_bytes: int = 0
    cache: Cache = field(default_factory=Cache)
    layers: int = 0

    def bytes(self, tokens: int, batch: int = 1) -> int:
        """Weights and caches, once each of `batch` sequences has `tokens`."""
        return self.weight_bytes + batch * self.cache.bytes(tokens)


def rank_sizes(
    anatomy: Anatomy,
    dealt: Layout,
    quantization: How = None,
    kv_bits: int | None = None,
    kv_group_size: int = 64,
) -> tuple[RankSizes, ...]:
    """What each rank holds, in order.

    Args:
        dealt: as `layout` gives it.
        quantization: of the weights, as `parse_quantization` takes it; bfloat16 by default.
        kv_bits: of quantized keys and values, in groups of `kv_group_size`.

    Raises:
        ArgumentError: no such quantization.
        ModelShardError: the heads cannot be padded.
    """
    how = parse_quantization(quantization)
    if kv_bits is not None:
        check_kv_bits(anatomy, kv_bits, kv_group_size)
    found = [RankSizes(size) for size in _outside(anatomy, how, dealt)]
    for layer, path, places in alike(anatomy, how):
        packing = how.packings(f"{path}.")
        weights = _by_position(layer.matrices, packing, how, dealt.shares)
        caches = [
            layer_cache(layer.attentions, how.dtype, kv_bits, kv_group_size, part)
            for part in _parts(layer, packing, dealt.shares)
        ]
        for stage in dealt.stages:
            start, end = dealt.ranges[stage[0]]
            count = sum(start <= index < end for index in places)
            for rank, weight, cache in zip(stage, weights, caches, strict=True):
                held = found[rank]
                found[rank] = RankSizes(
                    held.weight_bytes + count * weight, held.cache + cache * count, held.layers + count
                )
    return tuple(replace(held, cache=held.cache.joined()) for held in found)


def needed_bytes(
    anatomy: Anatomy,
    sizes: Sequence[RankSizes],
    dealt: Layout,
    tokens: int,
    batch: int = 1,
    dtype: str = "bfloat16",
) -> list[int]:
    """Weights, caches and activations of each rank: what `%model load` holds against its memory."""
    parts = dealt.shares.parts if dealt.shares else 1
    work = batch * activation_bytes(anatomy, tokens, parts, dtype)
    return [held.bytes(tokens, batch) + work for held in sizes]


def _outside(anatomy: Anatomy, how: Quantization, dealt: Layout) -> Iterator[int]:
    sizes = _by_position(anatomy.outside, how.packings(""), how, dealt.shares)
    yield from sizes * (dealt.world_size // len(sizes))


def _by_position(
    matrices: Sequence[Matrix], packing: Packings, how: Quantization, shares: Shares | None
) -> list[int]:
    """Bytes of each rank of a stage."""
    found = [0] * (len(shares.by_rank) if shares else 1)
    for _, parts in cut(matrices, packing, how.dtype, shares):
        for position, part in enumerate(parts):
            found[position] += part.size_bytes
    return found


def _parts(layer: Layer, packing: Packings, shares: Shares | None) -> Iterable[Fraction]:
    """Which part of a layer's dealt caches each rank of a stage keeps, in zeros and copies too."""
    if shares is None:
        return [Fraction(1)]
    # Of keys and values the KV heads are dealt out, of states the heads.
    dealt = next((m for m in layer.matrices if m.deals == "kv_heads"), None)
    dealt = dealt or next((m for m in layer.matrices if m.conv and m.deals == "heads"), None)
    if dealt is None:
        return [Fraction(1)] * len(shares.by_rank)
    size, _ = padded_sizes(layer.matrices, packing, shares.parts)[f"{dealt.path}.{dealt.array}"]
    return [Fraction(size * share, shares.parts * dealt.outputs) for share in shares.by_rank]
