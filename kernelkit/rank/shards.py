"""Say what this rank really holds of the model: every array, and what it was cut from."""

from __future__ import annotations

from math import prod
from typing import Any

from mlx.nn.layers import distributed
from mlx.nn.layers.base import Module

from kernelkit.errors import NoModelError
from kernelkit.rank import state
from kernelkit.rank.load import Loaded
from kernelkit.rank.precision import dtype_name, parameters
from kernelkit.rank.tensor import cut_axis
from kernelkit.sharding.config import attention_sizes
from kernelkit.sharding.padding import ONCE
from kernelkit.sharding.paths import layer_and_module, summed_with_experts
from kernelkit.sharding.pieces import COLUMN, REPLICATED, ROW, WHOLE

_COLUMN_PARALLEL = (distributed.AllToShardedLinear, distributed.QuantizedAllToShardedLinear)
_SUMMING = (distributed.ShardedToAllLinear, distributed.QuantizedShardedToAllLinear)
_CUTTING = ("tensor", "hybrid")
_PRODUCT = ("weight", "scales", "biases")


def shards() -> dict[str, Any]:
    """What this rank holds, JSON-like; `sharding.merge` puts the ranks' answers together.

    Raises:
        NoModelError: nothing is loaded here.
    """
    return describe(loaded_model(), state.rank, state.world_size)


def loaded_model() -> Loaded:
    """The model that is loaded here.

    Raises:
        NoModelError: there is none.
    """
    if state.loaded is None:
        raise NoModelError("no model is loaded on the ranks", cure="%model load PATH_OR_HF_ID")
    return state.loaded


def describe(loaded: Loaded, rank: int, ranks: int) -> dict[str, Any]:
    """The answer of `shards` for a model that was cut for `rank` of `ranks`; it reads and computes nothing.

    Returns:
        `model_type`, `strategy`, `world_size`, `layers`, `heads`, `kv_heads`, `head_dim`, `layer_range`, and
        `parameters`: of each array its `path`, `full` shape, `shape` here, `dtype`, `size_bytes` here, `cut`,
        `axis`, `padding`, `repeated`, `collective`, `bits` and `group_size`, as `sharding.pieces` explains.
    """
    heads, kv_heads, head_dim = attention_sizes(loaded.config)
    if loaded.cut.heads is not None:  # some architectures have names of their own for them in the config
        heads, kv_heads = loaded.cut.heads, loaded.cut.kv_heads
    named: Any = loaded.model.named_modules  # not annotated upstream
    modules: dict[str, Module] = dict(named())
    strategy = loaded.summary["strategy"]
    return {
        **{name: loaded.summary[name] for name in ("model_type", "strategy", "layers", "layer_range")},
        "world_size": ranks,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "parameters": [
            _array(loaded, path, value, modules, strategy if ranks > 1 else "none")
            for path, value in parameters(loaded.model)
        ],
    }


def _array(
    loaded: Loaded, path: str, value: Any, modules: dict[str, Module], strategy: str
) -> dict[str, Any]:
    parent, _, name = path.rpartition(".")
    module, layer = modules[parent], layer_and_module(path)[0]
    here = tuple(value.shape)
    full, shares = loaded.full_shapes.get(path, here), loaded.cut.shares
    padded = loaded.cut.padded.get(path, full)
    if path not in loaded.full_shapes and isinstance(module, _COLUMN_PARALLEL):  # the user has added it since
        full = padded = (here[0] * shares.parts, *here[1:])
    axis = cut_axis(padded, here) if strategy in _CUTTING else None
    if len(here) == 1 and len(full) > 1:  # some architectures flatten a vector when they cut it
        full, padded = (prod(full),), (prod(padded),)
    cut = _kind(name, axis, len(here), layer, strategy)
    padding = repeated = 0
    if axis is not None:
        repeat = loaded.cut.padding.repeats.get(parent, ONCE)
        sizes = loaded.cut.rank, padded[axis], full[axis] * repeat.times
        padding, repeated = shares.padding(*sizes), shares.repeated(*sizes, repeat)
    return {
        "path": path,
        "full": list(full),
        "shape": list(here),
        "dtype": dtype_name(value.dtype),
        "size_bytes": value.nbytes,
        "cut": cut,
        "axis": axis,
        "padding": padding,
        "repeated": repeated,
        "collective": _collective(parent, module, cut, layer),
        # A norm over groups has a group size too.
        **{name: getattr(module, name) if "scales" in module else None for name in ("bits", "group_size")},
    }


def _kind(name: str, axis: int | None, axes: int, layer: int | None, strategy: str) -> str:
    """How an array was cut: products by their last axis are cut by row, all else that is cut is by column."""
    if strategy not in _CUTTING:
        return WHOLE if layer is not None or strategy == "none" else REPLICATED
    if axis is None:
        return REPLICATED
    return ROW if axis == axes - 1 > 0 and name in _PRODUCT else COLUMN


def _collective(path: str, module: Module, cut: str, layer: int | None) -> str:
    """What mlx-lm's models call after the product with such an array."""
    if cut == ROW:
        return "" if summed_with_experts(path) and not isinstance(module, _SUMMING) else "all_sum"
    if cut == COLUMN and layer is None:
        return "all_gather"  # of a part of the vocabulary
    if cut == COLUMN and type(module).__name__ in ("ShardedRMSNorm", "SpreadRMSNorm"):
        return "all_sum"  # of the squares
    return ""
