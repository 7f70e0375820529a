"""Use the pipelines that mlx-lm has of its own, where they can do what is asked."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from mlx.nn.layers.base import Module

from kernelkit.rank.place import Place
from kernelkit.sharding.split import Ranges, layer_ranges


def upstream_ranges(model: Module, split: Sequence[int] | None, ranks: int) -> Ranges | None:
    """How mlx-lm's own pipeline would deal out the layers; None where it has none, or cannot do that split.

    It is asked for every rank, since it may refuse on one alone.
    """
    # Where mlx-lm itself looks for it; some others hold one whose caches they do not cut.
    owner: Any = getattr(model, "model", None)
    if not hasattr(owner, "pipeline"):
        return None
    modules: Any = model.modules  # not annotated upstream
    holder = next(module for module in modules() if module.get("layers") is owner.layers)
    found = []
    for rank in range(ranks):
        layers, state = holder["layers"], dict(vars(holder))
        try:
            split_upstream(owner, split, Place(rank, ranks))
            found.append((owner.start_idx, owner.end_idx))
        except ValueError:
            return None
        finally:
            holder["layers"] = layers
            vars(holder).clear()
            vars(holder).update(state)
    ranges = tuple(found)
    return ranges if split is None or ranges == layer_ranges(len(owner.layers), ranks, split) else None


def split_upstream(owner: Any, split: Sequence[int] | None, group: Any) -> None:
    """Let mlx-lm keep one rank's layers."""
    if split is None or not _has_split(owner):
        owner.pipeline(group)
    else:
        owner.pipeline(group, list(split))


def takes_split(model: Module) -> bool:
    """Whether its own pipeline can be split unevenly."""
    return _has_split(model.model)


def _has_split(owner: Any) -> bool:
    return "split" in inspect.signature(owner.pipeline).parameters
