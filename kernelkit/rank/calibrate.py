"""Measure what this rank's device does for a model: read weights, multiply, start operations, sum over ranks.

All ranks measure the same at the same time, since those of one machine share its memory: an all_sum
before each part starts them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import mlx.core as mx

from kernelkit.hosts.naming import own_name
from kernelkit.rank import state
from kernelkit.rank.chip import is_cuda
from kernelkit.rank.group import device_name
from kernelkit.rank.progress import Throttled
from kernelkit.rank.readings import PART_S, Times, seconds, slowest, together

# Rows and columns of the matrices: of the size that a layer of an 8B model has.
_SIDE = 4096
_GROUP_SIZE = 64
# Weights that are gone through in a round: more than a cache holds, and enough to keep a GPU busy.
_CPU_BYTES, _GPU_BYTES = 128 * 2**20, 1024 * 2**20
_MOST_TOKENS = 2048
_SMALL_OPS = 200
_SUM_BYTES = (4 * 2**10, 64 * 2**10, 2**20, 16 * 2**20)
_SUMS_IN_GRAPH = 16
_LONG_SUM_S = 0.05


def calibrate() -> dict[str, Any]:
    """On all ranks at once, some seconds.

    Returns:
        `host`, `device`, `mlx`; `op_s`; `kinds`, for each `read_bytes_per_s` and `flops_per_s`; `sums`, for
        each size `size_bytes`, `time_s` and `alone_s`; on CUDA `dispatch`, as `dispatch.measure` gives it.
        Beside them how far the readings lay apart: `op_span_s`, `read_span_bytes_per_s`, `flops_span_per_s`,
        `span_s`, each low and high.
    """
    on_gpu = mx.default_device() == mx.Device(mx.gpu)
    floats = ("float16", "bfloat16") if on_gpu else ("float32",)
    kinds = (*floats, "4bit", "8bit")
    progress, parts = Throttled("calibrate"), 2 + len(kinds) + is_cuda()
    progress.tell("small operations", 0)
    op = _small_op()
    found: dict[str, dict[str, Any]] = {}
    for number, kind in enumerate(kinds, start=1):
        compiled = ", which CUDA compiles at first" if _bits(kind) and is_cuda() else ""
        progress.tell(f"products of {kind}{compiled}", number / parts)
        found[kind] = _products(kind, _GPU_BYTES if on_gpu else _CPU_BYTES)
        mx.clear_cache()
    host = None
    if is_cuda():  # such a GPU may wait for its host; what Metal's hosts take shows in its small operations
        from kernelkit.rank import dispatch  # with what counts kernels, which nothing else on a rank needs

        progress.tell("what the host takes for a token", (parts - 2) / parts)
        host = dispatch.measure()
    progress.tell("all_sum", (parts - 1) / parts)
    sums = _sums() if state.world_size > 1 else []
    progress.tell("all_sum", 1)
    return {
        "host": own_name(),
        "device": device_name(),
        "mlx": version("mlx"),
        "op_s": op.median_s,
        "op_span_s": [op.low_s, op.high_s],
        "kinds": found,
        "sums": sums,
        "dispatch": host,
    }


def _products(kind: str, size_bytes: int) -> dict[str, Any]:
    """Matrix times vector over `size_bytes` of weights, and matrix times matrix with one of them."""
    weights = list(_weights(kind, size_bytes))
    one = mx.random.normal((1, _SIDE)).astype(_activations(kind))
    mx.eval(weights, one)
    held_bytes = sum(array.nbytes for arrays in weights for array in arrays)
    read = together(lambda: mx.eval([_product(kind, one, arrays) for arrays in weights]))
    read_bytes_per_s, read_span = read.rates(held_bytes)
    flops_per_s, flops_span = _flops_per_s(kind, weights[0])
    return {
        "read_bytes_per_s": read_bytes_per_s,
        "flops_per_s": flops_per_s,
        "read_span_bytes_per_s": read_span,
        "flops_span_per_s": flops_span,
    }


def _flops_per_s(kind: str, arrays: tuple[mx.array, ...]) -> tuple[float, list[float]]:
    """With as many tokens as one part's time allows: a slow device needs few to be busy, a fast one many.

    CUDA has other kernels of quantized weights for other numbers of tokens, and compiles each for long when
    it is first needed. So there it is the largest number at once, which keeps every GPU busy.
    """
    tokens = _MOST_TOKENS if is_cuda() else 8
    while True:
        several = mx.random.normal((tokens, _SIDE)).astype(_activations(kind))
        mx.eval(several)
        for _ in range(2):  # the first time CUDA compiles the kernel, and that may take seconds
            product_s = seconds(lambda several=several: mx.eval(_product(kind, several, arrays)))  # type: ignore[misc]
        # The same on all ranks: the slowest one's time decides.
        if slowest(product_s) * 4 > PART_S or tokens * 4 > _MOST_TOKENS:
            break
        tokens *= 4
    product = together(lambda: mx.eval(_product(kind, several, arrays)))
    return product.rates(2 * tokens * _SIDE * _SIDE)


def _weights(kind: str, size_bytes: int) -> Iterator[tuple[mx.array, ...]]:
    """Matrices of that kind; quantized ones as MLX's three arrays. One is drawn, the others are copies."""
    matrix = mx.random.normal((_SIDE, _SIDE)).astype(_activations(kind))
    first = mx.quantize(matrix, _GROUP_SIZE, _bits(kind)) if _bits(kind) else (matrix,)
    for _ in range(-(-size_bytes // sum(array.nbytes for array in first))):
        yield tuple(array + 0 for array in first)


def _product(kind: str, left: mx.array, arrays: tuple[mx.array, ...]) -> mx.array:
    if bits := _bits(kind):
        weight, scales, biases = arrays
        return mx.quantized_matmul(left, weight, scales, biases, group_size=_GROUP_SIZE, bits=bits)
    return left @ arrays[0].T


def _bits(kind: str) -> int:
    return int(kind.removesuffix("bit")) if kind.endswith("bit") else 0


def _activations(kind: str) -> mx.Dtype:
    """What a model with such weights computes in: as `precision` chooses."""
    dtype: mx.Dtype
    if _bits(kind):
        dtype = mx.bfloat16 if mx.default_device() == mx.Device(mx.gpu) else mx.float32
    else:
        dtype = getattr(mx, kind)
    return dtype


def _small_op() -> Times:
    """One of many small operations that depend on each other, as between a model's products."""
    ones = mx.ones((1, 1, 512))
    mx.eval(ones)

    def chain() -> None:
        out = ones
        for _ in range(_SMALL_OPS // 2):
            out = mx.fast.rms_norm(out, None, 1e-5) + ones
        mx.eval(out)

    return together(chain).each(_SMALL_OPS)


def _sums() -> list[dict[str, Any]]:
    """All sizes, up to one that takes so long that the next would cost seconds: then the rate is known."""
    found: list[dict[str, Any]] = []
    for size_bytes in _SUM_BYTES:
        found.append(_sum(size_bytes))
        if slowest(found[-1]["alone_s"]) > _LONG_SUM_S:  # the same on all ranks
            break
    return found


def _sum(size_bytes: int) -> dict[str, Any]:
    """An all_sum of float32, in a graph with others, and alone."""
    ones = mx.ones((size_bytes // 4,))
    mx.eval(ones)

    def several(count: int) -> None:
        out = ones
        for _ in range(count):
            # Scaled, so that it stays finite; each needs the one before.
            out = mx.distributed.all_sum(out, group=state.group) / state.world_size
        mx.eval(out)

    count = max(2, min(_SUMS_IN_GRAPH, 2**24 // size_bytes))
    one = together(lambda: several(count)).each(count)
    alone = together(lambda: several(1))
    return {
        "size_bytes": size_bytes,
        "time_s": one.median_s,
        "alone_s": alone.median_s,
        "span_s": [one.low_s, one.high_s],
    }
