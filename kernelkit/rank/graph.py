"""What MLX's own drawing of an array tells: whether it is computed, and from what, without waiting for it."""

from __future__ import annotations

import io
import re

import mlx.core as mx

_COLLECTIVE = re.compile(r'label ="[^"]*(AllReduce|AllGather|ReduceScatter|Send|Recv)')


def is_lazy(array: mx.array) -> bool:
    """Whether the array is still a node of a graph: the drawing of one that is computed has no operation."""
    return "label" in _drawing(array)


def holds_collective(array: mx.array) -> bool:
    """Whether the array is lazy, and a collective is part of what it waits for."""
    return _COLLECTIVE.search(_drawing(array)) is not None


def _drawing(*arrays: mx.array) -> str:
    text = io.StringIO()
    mx.export_to_dot(text, *arrays)
    return text.getvalue()


def is_same(one: mx.array, other: mx.array) -> bool:
    """Whether two handles stand for one computed array: then its drawing has one node and no operation."""
    drawing = _drawing(one, other)
    return "label" not in drawing and drawing.count("rank=source") == 1
