"""What runs on the ranks: MLX's collectives beside numpy, their speed, and where the time of one goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import mlx.core as mx
import numpy as np

KIB = 1024
SIZES_BYTES = [8, 64, 512, *(KIB << shift for shift in range(0, 19, 2))]
_DTYPES = (mx.float32, mx.bfloat16)
_CHAIN = 64
_SMALL_BYTES = 8 * KIB


def against_numpy(group: Any) -> dict[str, Any]:
    """By dtype and collective the largest error, relative to the largest value; 0 is exact.

    Every rank draws the other's numbers too, so that numpy computes on what MLX was given.
    """
    rank, size = group.rank(), group.size()
    found: dict[str, Any] = {}
    for dtype in _DTYPES:
        drawn = [
            mx.random.normal((257, 129), key=mx.random.key(number)).astype(dtype) for number in range(size)
        ]
        plain = [np.array(one.astype(mx.float32)) for one in drawn]
        mine = drawn[rank]
        expected = {
            "all_sum": np.sum(plain, axis=0, dtype=np.float64),
            "all_max": np.max(plain, axis=0),
            "all_min": np.min(plain, axis=0),
            "all_gather": np.concatenate(plain),
        }
        for name, wanted in expected.items():
            got = np.array(getattr(mx.distributed, name)(mine, group=group).astype(mx.float32))
            if dtype == mx.bfloat16:  # what the sum of two is, once rounded to it
                wanted = np.array(mx.array(wanted.astype(np.float32)).astype(dtype).astype(mx.float32))
            error = float(np.abs(got - wanted).max() / np.abs(wanted).max())
            found[f"{name}, {str(dtype).removeprefix('mlx.core.')}"] = error
    return found


def sums(group: Any, most_bytes: int, budget_s: float) -> list[dict[str, Any]]:
    """An all_sum of float32 in an eval of its own, by size: seconds, and bytes per second each way."""
    found = []
    for size_bytes in [size for size in SIZES_BYTES if size <= most_bytes]:
        message = mx.ones((size_bytes // 4,))
        mx.eval(message)
        times_s = _times_s(lambda message=message: mx.eval(_sum(message, group)), group, budget_s / 12)
        typical_s = median(times_s)
        found.append(
            {
                "size_bytes": size_bytes,
                "seconds": typical_s,
                "low_s": min(times_s),
                "repeats": len(times_s),
                "bytes_per_s": size_bytes / typical_s,
            }
        )
    return found


def anatomy(group: Any) -> dict[str, Any]:
    """Seconds of 8 KiB's all_sum and of what lies around it; of chains, for each all_sum in them."""
    vector = mx.ones((_SMALL_BYTES // 4,))
    mx.eval(vector)

    def add(x: mx.array) -> mx.array:
        return x * 0.5

    def chain(step: Callable[[mx.array], mx.array]) -> mx.array:
        out = vector
        for _ in range(_CHAIN):
            out = step(out)
        return out

    def summed(x: mx.array) -> mx.array:
        return _sum(x, group)

    def mixed(x: mx.array) -> mx.array:
        return _sum(x * 0.5, group)

    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "one small kernel, an eval": (1, lambda: mx.eval(add(vector))),
        "one all_sum, an eval": (1, lambda: mx.eval(summed(vector))),
        "64 small kernels, one eval": (_CHAIN, lambda: mx.eval(chain(add))),
        "64 all_sums, one eval": (_CHAIN, lambda: mx.eval(chain(summed))),
        "64 all_sums and small kernels, one eval": (_CHAIN, lambda: mx.eval(chain(mixed))),
        "64 all_sums that do not wait for each other, one eval": (
            _CHAIN,
            lambda: mx.eval([_sum(vector, group) for _ in range(_CHAIN)]),
        ),
        "building the graph of 64 all_sums, no eval": (_CHAIN, lambda: chain(summed)),
        "handing over 64 all_sums, async_eval, without the wait": (
            _CHAIN,
            lambda: mx.async_eval(chain(summed)),
        ),
        "64 all_sums, an eval each": (_CHAIN, lambda: _each(summed, vector)),
        "64 all_sums, an async_eval each": (_CHAIN, lambda: _each_async(summed, vector)),
    }
    found: dict[str, Any] = {}
    for name, (count, work) in ways.items():
        found[name] = _per_sum(work, count, group)
    for name, step in (("64 all_sums", summed), ("64 all_sums and small kernels", mixed)):
        try:
            compiled = mx.compile(lambda x, step=step: _folded(step, x))
            found[f"{name}, compiled, one eval"] = _per_sum(
                lambda f=compiled: mx.eval(f(vector)), _CHAIN, group
            )
        except (RuntimeError, ValueError) as error:  # MLX's own
            found[f"{name}, compiled, one eval"] = {"error": str(error)}
    return found


def _folded(step: Callable[[mx.array], mx.array], x: mx.array) -> mx.array:
    for _ in range(_CHAIN):
        x = step(x)
    return x


def _each(step: Callable[[mx.array], mx.array], x: mx.array) -> None:
    for _ in range(_CHAIN):
        x = step(x)
        mx.eval(x)


def _each_async(step: Callable[[mx.array], mx.array], x: mx.array) -> None:
    for _ in range(_CHAIN):
        x = step(x)
        mx.async_eval(x)
    mx.eval(x)


def _per_sum(work: Callable[[], Any], count: int, group: Any) -> dict[str, float]:
    times_s = _times_s(work, group, 0.4)
    return {"seconds": median(times_s) / count, "low_s": min(times_s) / count, "repeats": len(times_s)}


def _times_s(work: Callable[[], Any], group: Any, budget_s: float) -> list[float]:
    """As many on every rank: the slowest rank's first time says how many."""
    for _ in range(3):
        first_s = _seconds(work)
    repeats = max(5, min(200, int(budget_s / max(_slowest(first_s, group), 1e-6))))
    return [_seconds(work) for _ in range(repeats)]


def _seconds(work: Callable[[], Any]) -> float:
    mx.synchronize()
    began_s = time.perf_counter()
    work()
    took_s = time.perf_counter() - began_s
    mx.synchronize()
    return took_s


def _slowest(time_s: float, group: Any) -> float:
    return max(mx.distributed.all_gather(mx.array([time_s]), group=group).tolist())  # type: ignore[arg-type, type-var]


def _sum(message: mx.array, group: Any) -> mx.array:
    """MLX's own, without kernelkit's record of it."""
    own: Any = mx.distributed.all_sum
    return getattr(own, "__wrapped__", own)(message, group=group)  # type: ignore[no-any-return]
