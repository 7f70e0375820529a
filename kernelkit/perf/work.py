"""What a rank holds, reads and computes of a model's layers: bytes and operations, no seconds."""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.perf.launches import OUTSIDE, Launches
from kernelkit.sharding.anatomy import Attention
from kernelkit.sharding.caching import cache_bytes
from kernelkit.sharding.quantization import FLOAT_BYTES


@dataclass(frozen=True)
class Experts:
    """Stacks of matrices, of which a token uses some.

    Attributes:
        size_bytes: of all of them, here.
        numbers: of weights in them, here.
        count: so many there are.
        used: of which one token takes so many, on average.
    """

    size_bytes: int
    numbers: int
    count: int
    used: float

    def share(self, tokens: int) -> float:
        """Of the stack that so many tokens read, if they choose at random.

        `1 - (1 - used / count) ** tokens`, the part of distinct experts that is expected.
        """
        return 1.0 - (1.0 - self.used / self.count) ** tokens


@dataclass(frozen=True)
class Cache:
    """What one attention of a layer keeps on a rank.

    Attributes:
        attention: over all heads.
        kept: the share of its KV heads here.
        heads: the share of its query heads here.
    """

    attention: Attention
    kept: float
    heads: float


@dataclass(frozen=True)
class Work:
    """A rank's part of one layer, or of what is outside the layers.

    Attributes:
        held_bytes: of weights.
        read_bytes: of weights that every step reads whole.
        numbers: of weights that each token is multiplied with, but for experts.
        passed: numbers per token that go into products and come out of them.
        experts: stacks.
        caches: of its attentions.
        launches: kernels.
        reduces, small_reduces: all_sums of `hidden` numbers per token, and of one.
    """

    held_bytes: int
    read_bytes: int
    numbers: int
    passed: int
    experts: tuple[Experts, ...] = ()
    caches: tuple[Cache, ...] = ()
    launches: Launches = OUTSIDE
    reduces: int = 0
    small_reduces: int = 0

    def expert_bytes(self, tokens: int) -> float:
        """Of experts that so many tokens read, once each."""
        return sum(stack.size_bytes * stack.share(tokens) for stack in self.experts)

    def product_flop(self) -> float:
        """Of one token but for experts: a product and a sum for each weight."""
        return 2.0 * self.numbers

    def expert_flop(self) -> float:
        """Of one token."""
        return sum(2.0 * stack.numbers * stack.used / stack.count for stack in self.experts)

    def score_flop(self, tokens: int, before: int) -> float:
        """Of attention, while `tokens` are read after `before` others.

        Each token looks at all before it, itself, and, of a piece of a prompt, at half of the piece.
        """
        return sum(_score_flop(cache, tokens, before) for cache in self.caches)

    def kv_held_bytes(self, context: int, dtype: str, kv_bits: int | None) -> float:
        """Of one sequence's caches."""
        return sum(
            each.kept * cache_bytes((each.attention,), context, kv_bits, dtype) for each in self.caches
        )

    def kv_read_bytes(self, context: int, dtype: str, kv_bits: int | None) -> float:
        """Of them, while one token is decoded; a state is read and written."""
        total = 0.0
        for each in self.caches:
            limit = each.attention.indexed
            tokens = min(context, limit) if limit else context
            times = 2 if each.attention.keeps == "state" else 1
            total += times * each.kept * cache_bytes((each.attention,), tokens, kv_bits, dtype)
        return total


@dataclass(frozen=True)
class RankWork:
    """All that one rank has.

    Attributes:
        layers: its part of one layer of each kind, and how many of them it runs.
        outside: embeddings, last norm, head.
    """

    layers: tuple[tuple[Work, int], ...]
    outside: Work

    @property
    def held_bytes(self) -> int:
        """Of weights."""
        return self.outside.held_bytes + sum(work.held_bytes * count for work, count in self.layers)

    def kv_bytes(self, context: int, dtype: str, kv_bits: int | None) -> float:
        """Of one sequence."""
        return sum(work.kv_held_bytes(context, dtype, kv_bits) * count for work, count in self.layers)


def _score_flop(cache: Cache, tokens: int, before: int) -> float:
    attention = cache.attention
    if attention.keeps == "state":
        return 4.0 * cache.heads * attention.state_numbers * tokens
    sizes = attention.score_dim, attention.value_score_dim
    if tokens > 1 and attention.unfolded:
        sizes = attention.unfolded
    seen = min(before, attention.window) if attention.window else before
    if attention.indexed:
        seen = min(seen, attention.indexed)
    pairs = tokens * (seen + (tokens + 1) / 2)
    return 2.0 * cache.heads * attention.heads * sum(sizes) * pairs


def item_bytes(dtype: str) -> int:
    """Of one number of the activations."""
    return FLOAT_BYTES[dtype]
