"""Carry values between notebook and ranks as JSON plus raw buffers, never as pickle.

A value becomes a tree that `json` can write and a list of buffers. Scalars stand for themselves;
everything else is a list whose first entry is a tag, so that no user's dict can be mistaken for
one of ours. NumPy and MLX arrays keep dtype and shape; MLX is only touched where the process has
loaded it already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from kernelkit.errors import TransferError

Buffer = bytes | memoryview

# What a rank's own messages to the notebook are called among its outputs.
EVENT_MIME = "application/vnd.kernelkit.event+json"

MAX_DEPTH = 100
_CARRIED = "None, bool, int, float, complex, str, bytes, list, tuple, dict, NumPy and MLX arrays"


def encode(value: Any, name: str = "value") -> tuple[Any, list[Buffer]]:
    """Split `value` into a JSON-like tree and the buffers it refers to.

    Args:
        value: nested lists, tuples and dicts of scalars, bytes, NumPy and MLX arrays.
        name: what to call the value in an error.

    Raises:
        TransferError: something inside is of another kind; the message says where.
    """
    buffers: list[Buffer] = []
    return _encode(value, name, buffers, 0), buffers


def _encode(value: Any, path: str, buffers: list[Buffer], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise TransferError(f"{path[:80]}… is nested deeper than {MAX_DEPTH} levels, or holds itself")
    if isinstance(value, np.ndarray | np.generic):
        return _encode_numpy(value, path, buffers)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | float):  # a subclass, such as a StrEnum, arrives as the plain value
        return str(value) if isinstance(value, str) else float(value)
    if isinstance(value, int):
        # JSON readers give up on very long decimals; hexadecimals have no limit
        return int(value) if abs(value) < 2**63 else ["int", hex(value)]
    if is_mlx_array(value):
        return _encode_mlx(value, buffers)
    if isinstance(value, bytes | bytearray):
        buffers.append(bytes(value))
        return ["bytes", len(buffers) - 1]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, list | tuple):
        tag = "list" if isinstance(value, list) else "tuple"
        return [tag, [_encode(v, f"{path}[{i}]", buffers, depth + 1) for i, v in enumerate(value)]]
    if isinstance(value, dict):
        pairs = []
        for key, item in value.items():
            if is_mlx_array(key):  # it would arrive as NumPy, which cannot be a key
                raise TransferError(f"{path} has an array as a key", got=repr(key)[:80])
            inner = f"{path}[{key!r}]"
            pairs.append([_encode(key, inner, buffers, depth + 1), _encode(item, inner, buffers, depth + 1)])
        return ["dict", pairs]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TransferError(
        f"{path} cannot be carried between notebook and ranks",
        expected=_CARRIED,
        got=kind,
        cure="convert it first, or create it on the ranks in a %%sharded cell",
    )


def _encode_numpy(value: np.ndarray[Any, Any] | np.generic, path: str, buffers: list[Buffer]) -> Any:
    if isinstance(value, np.ma.MaskedArray):
        raise TransferError(f"{path} is a masked array, and its mask would be lost", cure=".filled(...)")
    kind = "numpy" if isinstance(value, np.ndarray) else "scalar"
    array = np.asarray(value)
    if array.dtype == bfloat16:
        dtype, raw = "bfloat16", array.view(np.uint16)
    elif array.dtype.kind in "biufcSUmM":
        dtype, raw = array.dtype.str, array
    else:
        raise TransferError(
            f"{path} has dtype {array.dtype}, which has no plain bytes",
            expected="bool, integer, float, complex, bfloat16, fixed-length string or date",
            cure="convert it with .astype(...)",
        )
    # tobytes also lays out what a transposed or sliced view holds; one copy is the price.
    buffers.append(raw.tobytes())
    return ["array", len(buffers) - 1, kind, dtype, list(array.shape)]


def is_mlx_array(value: Any) -> bool:
    """Whether `value` is an `mlx.core.array`, without importing mlx to find out."""
    mx = sys.modules.get("mlx.core")
    return mx is not None and isinstance(value, mx.array)


def _encode_mlx(value: Any, buffers: list[Buffer]) -> Any:
    array = mlx_to_numpy(value)
    dtype = "bfloat16" if array.dtype == bfloat16 else array.dtype.str
    buffers.append(array.tobytes())
    return ["array", len(buffers) - 1, "mlx", dtype, list(array.shape)]


def mlx_to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """An MLX array's numbers as NumPy; bfloat16 stays bfloat16 (the dtype of `ml_dtypes`)."""
    mx = sys.modules["mlx.core"]
    if value.dtype == mx.bfloat16:
        # NumPy's buffer protocol has no bfloat16: go through the same bits as uint16.
        bits = np.array(value.reshape(-1).view(mx.uint16))
        shaped: np.ndarray[Any, Any] = bits.view(bfloat16).reshape(value.shape)
        return shaped
    array: np.ndarray[Any, Any] = np.array(value)
    return array


def numpy_to_mlx(array: np.ndarray[Any, Any]) -> Any:
    """The MLX array of the same numbers; the process must have loaded mlx."""
    mx = sys.modules["mlx.core"]
    if array.dtype == bfloat16:
        return mx.array(array.reshape(-1).view(np.uint16)).view(mx.bfloat16).reshape(array.shape)
    # mlx makes float32 of float64 unless it is told
    return mx.array(array, dtype=mx.float64) if array.dtype == np.float64 else mx.array(array)


def decode(
    tree: Any, buffers: Sequence[Buffer], to_mlx: Callable[[np.ndarray[Any, Any]], Any] | None = None
) -> Any:
    """Undo `encode`.

    Args:
        tree: what `encode` returned, after any number of trips through JSON.
        buffers: its buffers, in order.
        to_mlx: makes an MLX array (a rank gives `numpy_to_mlx`); without it MLX arrays arrive as NumPy.
    """
    if not isinstance(tree, list):
        return tree
    tag, *rest = tree
    if tag == "list":
        return [decode(item, buffers, to_mlx) for item in rest[0]]
    if tag == "tuple":
        return tuple(decode(item, buffers, to_mlx) for item in rest[0])
    if tag == "dict":
        return {decode(k, buffers, to_mlx): decode(v, buffers, to_mlx) for k, v in rest[0]}
    if tag == "bytes":
        return bytes(buffers[rest[0]])
    if tag == "int":
        return int(rest[0], 16)
    if tag == "complex":
        return complex(*rest)
    index, kind, dtype, shape = rest
    real = bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    # The buffer belongs to the message: copy, so that the array can be written to and outlives it.
    array = np.frombuffer(bytearray(buffers[index]), dtype=real).reshape(shape)
    if kind == "scalar":
        return array[()]
    return to_mlx(array) if kind == "mlx" and to_mlx else array


def shifted(tree: Any, by: int) -> Any:
    """An encoded tree whose buffers follow `by` others."""
    if not isinstance(tree, list):
        return tree
    tag, *rest = tree
    if tag in ("list", "tuple"):
        return [tag, [shifted(item, by) for item in rest[0]]]
    if tag == "dict":
        return [tag, [[shifted(key, by), shifted(value, by)] for key, value in rest[0]]]
    if tag in ("bytes", "array"):
        return [tag, rest[0] + by, *rest[1:]]
    return tree
