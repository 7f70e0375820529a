"""Bandwidth of an interface by `tc tbf`, a token bucket: what leaves it leaves at that rate."""

from __future__ import annotations

import re

_RATE = re.compile(r"(\d+(?:\.\d+)?)([kmg]?)bit")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

# The bucket holds what the rate lets through in a millisecond, so that no more than that goes out
# unshaped, and at least a few large packets, below which the rate is not reached.
_BUCKET_S = 1e-3
_SMALLEST_BUCKET_BYTES = 16 * 1024
# What does not fit waits, for this long at most, as in a switch; the rest is dropped.
_QUEUE_MS = 50


def bits_per_s(rate: str) -> float:
    """The number behind a rate as `tc` writes it: 100mbit, 1gbit, 2.5gbit."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"a rate like 100mbit or 1gbit, not {rate!r}")
    return float(match[1]) * _SCALES[match[2]]


def shaping(device: str, rate: str) -> str:
    """The command of `tc` that limits what leaves a device."""
    bucket_bytes = max(_SMALLEST_BUCKET_BYTES, round(bits_per_s(rate) / 8 * _BUCKET_S))
    return f"qdisc replace dev {device} root tbf rate {rate} burst {bucket_bytes}b latency {_QUEUE_MS}ms"
