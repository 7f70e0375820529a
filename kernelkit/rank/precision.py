"""Choose the numbers that a model computes in on this device, and bring all its weights to them.

One dtype for everything that is not quantized: where two meet, MLX promotes, and a pipeline's
receiver, which expects the dtype of its own weights, reads the sender's bytes as something else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten, tree_unflatten

from kernelkit.errors import ArgumentError

_NAMED = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
CHOICES = ("auto", "keep", *_NAMED)


def dtype_name(dtype: mx.Dtype) -> str:
    """`mx.float16 -> 'float16'`."""
    return str(dtype).rpartition(".")[2]


def set_precision(model: Module, choice: str) -> mx.Dtype:
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


def quantization(model: Module) -> dict[str, Any] | None:
    """The quantization that most layers of `model` have in memory; None when there is none."""
    layers: Any = model.named_modules  # not annotated upstream
    kinds = Counter(
        (layer.group_size, layer.bits, getattr(layer, "mode", "affine"))
        for _, layer in layers()
        if hasattr(layer, "bits") and hasattr(layer, "group_size")
    )
    if not kinds:
        return None
    group_size, bits, mode = kinds.most_common(1)[0][0]
    return {"group_size": group_size, "bits": bits, "mode": mode}


def parameters(model: Module) -> list[tuple[str, mx.array]]:
    """Every parameter of `model`, with its dotted path."""
    tree: Any = model.parameters  # not annotated upstream
    return cast("list[tuple[str, mx.array]]", tree_flatten(tree()))


def weight_bytes(model: Module) -> int:
    """Bytes of all parameters; known from their shapes alone, so it reads nothing."""
    return sum(value.nbytes for _, value in parameters(model))


def _main_dtype(model: Module) -> mx.Dtype:
    sizes: Counter[mx.Dtype] = Counter()
    for _, value in parameters(model):
        if mx.issubdtype(value.dtype, mx.floating):
            sizes[value.dtype] += value.size
    return sizes.most_common(1)[0][0]


def _cast(model: Module, dtype: mx.Dtype) -> None:
    # Some architectures name parameters that must keep their precision, such as a router's bias.
    wanted = getattr(model, "cast_predicate", lambda path: True)

    def convert(path: str, value: mx.array) -> mx.array:
        floating = mx.issubdtype(value.dtype, mx.floating)
        return value.astype(dtype) if floating and wanted(path) else value

    model.update(tree_unflatten([(path, convert(path, value)) for path, value in parameters(model)]))
