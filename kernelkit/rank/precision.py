"""Choose the numbers that a model computes in on this device, and bring all its weights to them.

One dtype for everything that is not quantized: where two meet, MLX promotes, and a pipeline's
receiver, which expects the dtype of its own weights, reads the sender's bytes as something else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.quantized import quantize as quantize_modules
from mlx.utils import tree_flatten, tree_unflatten

from kernelkit.errors import ArgumentError
from kernelkit.settings import DTYPES

_NAMED = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
BITS = (4, 8)
# Codes that share a scale and a bias; the smaller where the rows of a matrix are no multiple of the first.
_GROUP_SIZES = (64, 32)


def dtype_name(dtype: mx.Dtype) -> str:
    """`mx.float16 -> 'float16'`."""
    return str(dtype).rpartition(".")[2]


def set_precision(model: Module, choice: str, bits: int | None = None) -> mx.Dtype:
    """Bring the weights to one floating dtype, lazily: nothing is read from the disk.

    Args:
        choice: "auto" is "float32" on a CPU, where 16-bit and quantized products are slow, and
            "keep" on a GPU. "keep" leaves quantized layers quantized and casts the rest to the dtype
            that most of the file's weights have. A dtype's name dequantizes and casts to it.
        bits: quantize what can be to so many, after that; whatever the file has is dequantized first.

    Returns:
        The dtype of every floating parameter, less those that the architecture wants kept.

    Raises:
        ArgumentError: another `choice`, or no such number of bits.
    """
    if bits is not None and bits not in BITS:
        raise ArgumentError(
            "no such quantization", expected=f"--quantize {' or '.join(map(str, BITS))}", got=str(bits)
        )
    if choice not in DTYPES:
        raise ArgumentError(f"no such dtype: {choice!r}", expected=", ".join(DTYPES))
    if choice == "auto":
        choice = "keep" if mx.default_device() == mx.Device(mx.gpu) else "float32"
    dtype = _main_dtype(model) if choice == "keep" else _NAMED[choice]
    _cast(model, dtype)
    if choice != "keep" or bits is not None:
        from mlx_lm.utils import dequantize_model

        # Scales were cast first, so that codes * scales + biases is rounded once, to the final dtype.
        dequantize_model(model)
        # mxfp4 and its kin come out as bfloat16.
        _cast(model, dtype)
    if bits is not None:
        _quantize(model, bits)
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


def _quantize(model: Module, bits: int) -> None:
    """Quantize what can be, less what the architecture wants spared; lazily, a layer when it is read."""
    wanted: Any = getattr(model, "quant_predicate", None)

    def choose(path: str, module: Module) -> bool | dict[str, Any]:
        size = group_size(module) if hasattr(module, "to_quantized") else 0
        asked = bool(size) if wanted is None else wanted(path, module)
        if not size or not asked:
            return False
        how = asked if isinstance(asked, dict) else {}
        return {"group_size": size, "bits": bits} | (how if size == _GROUP_SIZES[0] else {})

    quantize: Any = quantize_modules  # not annotated upstream
    quantize(model, group_size=_GROUP_SIZES[0], bits=bits, class_predicate=choose)


def group_size(module: Module) -> int:
    """The largest group that the rows of a module's weight can be quantized in; 0 where none divides them."""
    return next((size for size in _GROUP_SIZES if module["weight"].shape[-1] % size == 0), 0)


def unquantized(model: Module) -> int:
    """How many modules could be quantized but for the length of their rows."""
    layers: Any = model.named_modules  # not annotated upstream
    return sum(hasattr(layer, "to_quantized") and not group_size(layer) for _, layer in layers())


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
