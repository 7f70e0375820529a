"""Choose the numbers that a model computes in on this device, and bring all its weights to them.

One dtype for everything that is not quantized: where two meet, MLX promotes, and a pipeline's
receiver, which expects the dtype of its own weights, reads the sender's bytes as something else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path

from kernelkit.errors import ArgumentError

_NAMED = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
CHOICES = ("auto", "keep", *_NAMED)


def dtype_name(dtype: mx.Dtype) -> str:
    """`mx.float16 -> 'float16'`."""
    return str(dtype).rpartition(".")[2]


def set_precision(model: nn.Module, choice: str) -> mx.Dtype:
    """Bring the weights to one floating dtype, lazily: nothing is read from the disk.

    Args:
        choice: "auto" is "float32" on a CPU, where 16-bit and quantized products are slow, and
            "keep" on a GPU. "keep" leaves quantized layers quantized and casts the rest to the dtype
            that most of the file's weights have. A dtype's name dequantizes and casts to it.

    Returns:
        The dtype of every floating parameter, less those that the architecture wants kept.

    Raises:
        ArgumentError: another `choice`.
    """
    if choice not in CHOICES:
        raise ArgumentError(f"no such dtype: {choice!r}", expected=", ".join(CHOICES))
    if choice == "auto":
        choice = "keep" if mx.default_device() == mx.Device(mx.gpu) else "float32"
    dtype = _main_dtype(model) if choice == "keep" else _NAMED[choice]
    _cast(model, dtype)
    if choice != "keep":
        from mlx_lm.utils import dequantize_model

        # Scales were cast first, so that codes * scales + biases is rounded once, to the final dtype.
        dequantize_model(model)
        # mxfp4 and its kin come out as bfloat16.
        _cast(model, dtype)
    return dtype


def quantization(model: nn.Module) -> dict[str, Any] | None:
    """The quantization that most layers of `model` have in memory; None when there is none."""
    kinds = Counter(
        (layer.group_size, layer.bits, getattr(layer, "mode", "affine"))
        for _, layer in tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
        if hasattr(layer, "bits") and hasattr(layer, "group_size")
    )
    if not kinds:
        return None
    group_size, bits, mode = kinds.most_common(1)[0][0]
    return {"group_size": group_size, "bits": bits, "mode": mode}


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters; known from their shapes alone, so it reads nothing."""
    return sum(value.nbytes for _, value in tree_flatten(model.parameters()))


def _main_dtype(model: nn.Module) -> mx.Dtype:
    sizes: Counter[mx.Dtype] = Counter()
    for _, value in tree_flatten(model.parameters()):
        if mx.issubdtype(value.dtype, mx.floating):
            sizes[value.dtype] += value.size
    return sizes.most_common(1)[0][0]


def _cast(model: nn.Module, dtype: mx.Dtype) -> None:
    # Some architectures name parameters that must keep their precision, such as a router's bias.
    wanted = getattr(model, "cast_predicate", lambda path: True)

    def cast(path: str, value: mx.array) -> mx.array:
        floating = mx.issubdtype(value.dtype, mx.floating)
        return value.astype(dtype) if floating and wanted(path) else value

    model.update(tree_map_with_path(cast, model.parameters()))
