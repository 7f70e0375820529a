"""Bytes of a whole model and of its KV cache, from its anatomy: before it is dealt out to ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomy import Anatomy, Layer
from kernelkit.sharding.caching import Cache, layer_cache
from kernelkit.sharding.quantization import FLOAT_BYTES, Packing, Quantization, parse_quantization
from kernelkit.sharding.stored import arrays

How = str | Mapping[str, Any] | Quantization | None
Special = tuple[tuple[str, Packing | None], ...]
_KV_BITS, _KV_GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)


def weight_bytes(anatomy: Anatomy, quantization: How = None) -> int:
    """Bytes of all its arrays, as MLX stores them.

    Args:
        quantization: as `parse_quantization` takes it; bfloat16 by default.

    Raises:
        ArgumentError: there is no such quantization.
    """
    how = parse_quantization(quantization)
    total = outside_bytes(anatomy, how)
    return total + sum(layer_bytes(layer, path, how) * len(at) for layer, path, at in alike(anatomy, how))


def outside_bytes(anatomy: Anatomy, how: Quantization) -> int:
    """Bytes of what lies outside the layers."""
    return sum(
        array.size_bytes
        for matrix in anatomy.outside
        for array in arrays(matrix, how.of(matrix.path, matrix), how.dtype)
    )


def layer_bytes(layer: Layer, path: str, how: Quantization) -> int:
    """Bytes of one layer that lies at `path`, such as `model.layers.0`."""
    return sum(
        array.size_bytes
        for matrix in layer.matrices
        for array in arrays(matrix, how.of(f"{path}.{matrix.path}", matrix), how.dtype)
    )


def alike(anatomy: Anatomy, how: Quantization) -> Iterator[tuple[Layer, str, list[int]]]:
    """Layers that are of one kind and packed in one way: one of them, its path, and which they are."""
    start = f"{anatomy.layers_path}."
    special: dict[int, list[tuple[str, Packing | None]]] = {}
    for path, packing in how.special.items():
        number, _, rest = path.removeprefix(start).partition(".")
        if path.startswith(start) and number.isdecimal():
            special.setdefault(int(number), []).append((rest, packing))
    for layer, places in anatomy.kinds():
        packed: dict[Special, list[int]] = {}
        for index in places:
            packed.setdefault(tuple(sorted(special.get(index, ()), key=_name)), []).append(index)
        for same in packed.values():
            yield layer, f"{start}{same[0]}", same


def _name(entry: tuple[str, Packing | None]) -> str:
    return entry[0]


def kv_bytes(
    anatomy: Anatomy,
    tokens: int,
    batch: int = 1,
    kv_bits: int | None = None,
    dtype: str = "bfloat16",
    kv_group_size: int = 64,
) -> int:
    """Bytes of the caches once each of `batch` sequences has `tokens`.

    Per token and layer `KV heads * (key + value dimension)` numbers of grouped-query attention, of the last
    `window` tokens where that slides, `rank + rotary` numbers of latent attention; a state is of one size.
    mlx-lm allocates keys and values in steps of 256 tokens, which is left out here, and a window that reads a
    long prompt holds a piece of it as well until the next token.

    Args:
        kv_bits: of quantized keys and values; each `kv_group_size` of them have a scale and a bias.
        dtype: of what is not quantized.

    Raises:
        ArgumentError: no such number of tokens, sequences or bits; or mlx-lm cannot quantize this cache.
    """
    if type(tokens) is not int or type(batch) is not int or tokens < 0 or batch < 1:
        raise ArgumentError("no such context", expected="whole numbers", got=f"{tokens!r}, {batch!r}")
    if dtype not in FLOAT_BYTES:
        raise ArgumentError(f"no such dtype: {dtype!r}", expected=", ".join(FLOAT_BYTES))
    if kv_bits is not None:
        check_kv_bits(anatomy, kv_bits, kv_group_size)
    cache = sum(
        (
            layer_cache(layer.attentions, dtype, kv_bits, kv_group_size) * len(at)
            for layer, at in anatomy.kinds()
        ),
        Cache(),
    )
    return batch * cache.bytes(tokens)


def check_kv_bits(anatomy: Anatomy, kv_bits: int, kv_group_size: int) -> None:
    """See that mlx-lm can quantize the KV cache of such a model.

    Raises:
        ArgumentError: it cannot, as with windows and latents, or there is no such quantization.
    """
    if kv_bits not in _KV_BITS or kv_group_size not in _KV_GROUPS:
        raise ArgumentError(
            "no such quantization of the KV cache",
            expected=f"bits of {_KV_BITS}, groups of {_KV_GROUPS}",
            got=f"{kv_bits!r} bits, groups of {kv_group_size!r}",
        )
    kept = [each for layer, _ in anatomy.kinds() for each in layer.attentions]
    kinds = {each.keeps for each in kept}
    broken = [d for each in kept for d in (each.key_dim, each.value_dim) if d % kv_group_size]
    if kinds & {"sliding", "latent"} or "full" not in kinds or broken:
        raise ArgumentError(
            f"the KV cache of {anatomy.model_type} cannot be quantized to {kv_bits} bits "
            f"in groups of {kv_group_size}",
            expected="layers that keep keys and values of all tokens, in whole groups",
            got=", ".join([*sorted(kinds), *(f"{size} numbers per head" for size in sorted(set(broken)))]),
            cure="leave kv_bits out",
        )


# Residual, its norm, the layer's result, and the three of an MLP or of attention, which are alive at once.
_LIVE_HIDDEN, _LIVE_WIDE = 4, 3
# mlx-lm reads a prompt in pieces of so many tokens (mlx_lm.generate.generate_step).
PREFILL_TOKENS = 2048


def activation_bytes(anatomy: Anatomy, context: int, parts: int = 1, dtype: str = "bfloat16") -> int:
    """An estimate of what a forward pass over a piece of the prompt has in memory at once, on a GPU.

    `tokens * (4 * hidden + 3 * widest output of a layer here) * bytes of a number`, the estimate by which
    `%model load` decides: attention is computed in tiles there, so no scores are counted.

    Args:
        parts: ranks among which each layer is cut.
    """
    widest = max(
        (
            -(-matrix.outputs // (parts if matrix.cut == "column" and not matrix.by_head else 1))
            for layer, _ in anatomy.kinds()
            for matrix in layer.matrices
            if matrix.inputs is not None
        ),
        default=0,
    )
    tokens = min(PREFILL_TOKENS, context)
    numbers = _LIVE_HIDDEN * anatomy.hidden + _LIVE_WIDE * max(widest, anatomy.hidden)
    return tokens * numbers * FLOAT_BYTES[dtype]
