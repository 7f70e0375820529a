"""What runs on a rank: products of several rows with matrices that no cache holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import mlx.core as mx

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 512)
_GROUP_SIZE = 64
# Of all matrices of one size: more than a GPU's cache holds.
_HELD_BYTES = 2**30
_MOST_MATRICES = 64


def products(kind: str, side: int, budget_s: float) -> list[dict[str, Any]]:
    """Seconds of one product in a graph of many, by the matrix's shape and the rows that go through it.

    Args:
        kind: `bf16` or `4bit`.
        side: of the largest square matrix; others have a half and a quarter of its columns, as half of a
            layer has on each of two ranks.
    """
    found = []
    for outputs, inputs in ((side, side), (side // 2, side // 2), (side // 2, side), (7 * side // 2, side)):
        matrix = mx.random.normal((outputs, inputs)).astype(mx.bfloat16)
        first = mx.quantize(matrix, _GROUP_SIZE, 4) if kind == "4bit" else (matrix,)
        size_bytes = sum(array.nbytes for array in first)
        count = max(2, min(_MOST_MATRICES, _HELD_BYTES // size_bytes))
        held = [tuple(array + 0 for array in first) for _ in range(count)]
        mx.eval(held)
        entry: dict[str, Any] = {"shape": [outputs, inputs], "size_bytes": size_bytes, "matrices": count}
        for rows in ROWS:
            x = mx.random.normal((rows, inputs)).astype(mx.bfloat16)
            mx.eval(x)
            entry[f"{rows} rows"] = _each_s(
                lambda x=x, held=held: [_product(x, one) for one in held], count, budget_s
            )
        found.append(entry)
        del held, matrix, first
        mx.clear_cache()
    return found


def _product(x: mx.array, arrays: tuple[mx.array, ...]) -> mx.array:
    if len(arrays) == 1:
        return x @ arrays[0].T
    weight, scales, biases = arrays
    return mx.quantized_matmul(x, weight, scales, biases, group_size=_GROUP_SIZE, bits=4)


def _each_s(build: Callable[[], list[mx.array]], count: int, budget_s: float) -> dict[str, float]:
    """`seconds` of each of `count`, evaluated together; `host_s`, until they are handed over."""
    for _ in range(2):  # a kernel is compiled when it is first used
        mx.eval(build())
    times_s: list[float] = []
    host_s: list[float] = []
    began_s = time.perf_counter()
    while len(times_s) < 5 or (time.perf_counter() - began_s < budget_s and len(times_s) < 50):
        started_s = time.perf_counter()
        out = build()
        mx.async_eval(out)
        host_s.append(time.perf_counter() - started_s)
        mx.eval(out)
        times_s.append(time.perf_counter() - started_s)
    return {
        "seconds": median(times_s) / count,
        "low_s": min(times_s) / count,
        "host_s": median(host_s) / count,
    }
