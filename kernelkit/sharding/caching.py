"""How a KV cache grows with the context: with every token, up to a window, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from kernelkit.sharding.anatomy import Attention
from kernelkit.sharding.quantization import FLOAT_BYTES

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Cache:
    """Bytes of the caches of one sequence.

    Attributes:
        per_token: of layers that keep all tokens.
        windows: `(tokens, bytes per token)` of layers that keep the last so many.
        state_bytes: of layers that keep a state of one size.
    """

    per_token: int = 0
    windows: tuple[tuple[int, int], ...] = ()
    state_bytes: int = 0

    def bytes(self, tokens: int) -> int:
        """Once the sequence has so many tokens."""
        windows = sum(min(tokens, most) * size for most, size in self.windows)
        return self.per_token * tokens + windows + (self.state_bytes if tokens else 0)

    def __add__(self, other: Cache) -> Cache:
        state = self.state_bytes + other.state_bytes
        return Cache(self.per_token + other.per_token, self.windows + other.windows, state)

    def __mul__(self, times: int) -> Cache:
        windows = tuple((most, size * times) for most, size in self.windows if times)
        return Cache(self.per_token * times, windows, self.state_bytes * times)

    def joined(self) -> Cache:
        """The same with one entry for each size of a window."""
        found: dict[int, int] = {}
        for most, size in self.windows:
            found[most] = found.get(most, 0) + size
        return Cache(self.per_token, tuple(sorted(found.items())), self.state_bytes)


def layer_cache(
    attentions: Iterable[Attention],
    dtype: str,
    kv_bits: int | None = None,
    kv_group_size: int = 64,
    part: Fraction = Fraction(1),
) -> Cache:
    """Of one layer.

    Args:
        dtype: of what is not quantized.
        kv_bits: of quantized keys and values; each `kv_group_size` of them have a scale and a bias.
        part: of what tensor-parallel ranks deal out among themselves, so much is kept here.
    """
    total, item_bytes = Cache(), FLOAT_BYTES[dtype]
    for each in attentions:
        here = Fraction(1) if each.shared else part
        if each.keeps == "state":
            numbers = each.state_numbers * item_bytes + each.float32_numbers * (_FLOAT32_BYTES - item_bytes)
            total += Cache(state_bytes=int(numbers * here))
            continue
        numbers = int(each.cached_numbers(1) * here)
        size_bytes = numbers * item_bytes
        if kv_bits is not None and each.keeps == "full":
            size_bytes = numbers * kv_bits // 8 + 2 * (numbers // kv_group_size) * item_bytes
        if each.window:
            total += Cache(windows=((each.window, size_bytes),))
        else:
            total += Cache(size_bytes)
    return total


def cache_bytes(
    attentions: Iterable[Attention], tokens: int, kv_bits: int | None, dtype: str, kv_group_size: int = 64
) -> int:
    """Of one layer's caches of one sequence of `tokens`, over all heads."""
    return layer_cache(attentions, dtype, kv_bits, kv_group_size).bytes(tokens)
