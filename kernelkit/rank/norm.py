"""A norm over values that lie on many ranks, not alike many on each, and with zeros among them."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module


class SpreadRMSNorm(Module):
    """`x * rsqrt(mean(x^2) + eps) * weight`, the mean over all ranks' real values.

    mlx-lm's own, of minimax, divides by the number of values on a rank times the ranks.

    Args:
        weight: `[values here]`.
        eps: as in the norm that it stands for.
        values: how many real values all ranks have, copies counted each time.
        group: the ranks.
    """

    def __init__(self, weight: mx.array, eps: float, values: int, group: mx.distributed.Group) -> None:
        start: Any = super().__init__  # not annotated upstream
        start()
        self.weight = weight
        self.eps = eps
        self.count = values
        self.group = group

    def __call__(self, x: mx.array) -> mx.array:
        """`x` is `[..., values here]`; the result has its shape and dtype, and is computed in float32."""
        wide = x.astype(mx.float32)
        squares = mx.distributed.all_sum(wide.square().sum(-1, keepdims=True), group=self.group)
        return (wide * mx.rsqrt(squares / self.count + self.eps) * self.weight).astype(x.dtype)
