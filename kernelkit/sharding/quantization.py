"""How each module of a model is packed: MLX's modes of quantization, and the ways to say which is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomy import Matrix

FLOAT_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_DTYPES = {**{name: name for name in FLOAT_BYTES}, "fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_BITS, _GROUP_SIZES = (2, 3, 4, 5, 6, 8), (32, 64, 128)
# By mode, its bits and group size (mlx_lm.utils.quantize_model); affine has a choice of both.
_FIXED = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
_OTHERS = ("compressed-tensors", "awq", "gptq", "fp8")
_ROUTER_GROUP = 64
_SPELLING = re.compile(r"(?P<bits>\d)-?bits?(?:-gs(?P<group>\d+))?")
_EXPERTS_APART = re.compile(r"mxfp4-q(?P<bits>\d)(?:-gs(?P<group>\d+))?")
SPELLINGS = "4bit, 8bit-gs32, mxfp4, mxfp8, nvfp4, mxfp4-q8 (experts, all else), bf16, fp16 or float32"


@dataclass(frozen=True)
class Packing:
    """One quantized module: codes of `bits`, and a scale for each `group_size` of them.

    In the mode `affine` scale and bias are floats of the model's dtype; in the others the scale has one byte
    and there is no bias (`mlx.core.quantize`).
    """

    bits: int
    group_size: int
    mode: str = "affine"

    @property
    def affine(self) -> bool:
        """Whether groups have biases, and floats for scales."""
        return self.mode == "affine"


@dataclass(frozen=True)
class Quantization:
    """Which modules are packed, and how; what is not packed is of `dtype`.

    Attributes:
        default: of all modules that can be packed; None where none is.
        experts: of the experts, in place of that.
        special: by module path, in place of both; None where one is left as it is.
        routers: whether routers are packed as their architecture wants it, as by mlx-lm's conversion.
        dtype: MLX's name.
    """

    default: Packing | None = None
    experts: Packing | None = None
    special: Mapping[str, Packing | None] = field(default_factory=dict)
    routers: bool = False
    dtype: str = "bfloat16"

    def of(self, path: str, matrix: Matrix) -> Packing | None:
        """How a module is packed; None where it is left as it is, as norms are and rows of broken groups."""
        if not matrix.quantizable or matrix.inputs is None:
            return None
        packing = self.default
        if matrix.experts > 1 and not matrix.by_head:
            packing = self.experts or packing
        if path in self.special:
            packing = self.special[path]
        elif self.routers and matrix.own_bits and packing and matrix.inputs % packing.group_size == 0:
            packing = Packing(matrix.own_bits, _ROUTER_GROUP)
        return packing if packing and matrix.inputs % packing.group_size == 0 else None

    def packings(self, path: str) -> Callable[[Matrix], Packing | None]:
        """How each module is packed that lies below `path`, which ends with a dot or is empty."""
        return lambda matrix: self.of(f"{path}{matrix.path}", matrix)


def parse_quantization(what: str | Mapping[str, Any] | Quantization | None) -> Quantization:
    """What is meant by the name of a quantization, or by settings as in a checkpoint's config.

    Args:
        what: a name, as at the end of many hub ids: `4bit` and the like are affine, in groups of 64 unless
            `-gs32` says otherwise, with routers as mlx-lm's conversion packs them; `fp8` is `mxfp8`, the one
            of 8 bits that MLX computes with; `mxfp4-q8` packs experts in `mxfp4` and all else in 8 bits. Or
            settings, `{"bits": 4, "group_size": 64}`, with entries by module path for those that differ (a
            mapping, or False). None packs nothing.

    Raises:
        ArgumentError: it is neither.
    """
    if what is None or isinstance(what, Quantization):
        return what or Quantization()
    if isinstance(what, Mapping):
        special = {
            path: _packing(value) if isinstance(value, Mapping) else None
            for path, value in what.items()
            if isinstance(value, Mapping) or value is False
        }
        return Quantization(_packing(what), special=special)
    if isinstance(what, str) and (found := _named(what.lower())) is not None:
        return found
    raise ArgumentError(
        "this is no quantization",
        expected=f'{SPELLINGS}, or settings such as {{"bits": 4, "group_size": 64}}',
        got=repr(what),
    )


def config_quantization(config: Mapping[str, Any]) -> Quantization:
    """How mlx-lm holds a checkpoint in memory, from what its own config says.

    Checkpoints of other makers that mlx-lm does not keep packed, such as DeepSeek's fp8 in blocks of 128, are
    bfloat16 there.

    Raises:
        ArgumentError: MLX has no such quantization.
    """
    # A name stands there in configs of the catalog, whose checkpoints are known by name alone.
    if isinstance(settings := config.get("quantization"), Mapping | str):
        return parse_quantization(settings)
    text = config.get("text_config")
    inner = text if isinstance(text, Mapping) else {}
    settings = config.get("quantization_config") or inner.get("quantization_config") or {}
    method = settings.get("quant_method")
    if method in _FIXED:  # of GPT-OSS and its like, whose experts alone are packed
        return Quantization(experts=Packing(*_FIXED[method], method))
    if method == "compressed-tensors":
        groups = list((settings.get("config_groups") or {}).values())
        weights = (groups[0].get("weights") or {}) if groups else {}
        return Quantization(experts=_packing({"bits": weights.get("num_bits"), **_group_size(weights)}))
    if method in ("awq", "gptq"):
        return Quantization(_packing({"bits": settings.get("bits"), **_group_size(settings)}))
    if method in (None, "fp8"):
        return Quantization()
    raise ArgumentError(
        f"there is no plan for the quantization {method!r}",
        expected=f"quantization_config of {', '.join((*_FIXED, *_OTHERS))}, or MLX's own quantization",
        got=repr(method),
        cure="say the quantization, such as 4bit",
    )


def _group_size(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"group_size": settings["group_size"]} if settings.get("group_size") else {}


def _named(name: str) -> Quantization | None:
    if name in _DTYPES:
        return Quantization(dtype=_DTYPES[name])
    name = "mxfp8" if name == "fp8" else name
    if name in _FIXED:
        return Quantization(Packing(*_FIXED[name], name), routers=True)
    apart = _EXPERTS_APART.fullmatch(name)
    found = apart or _SPELLING.fullmatch(name)
    if found is None:
        return None
    settings = {"bits": int(found["bits"]), "group_size": int(found["group"] or 64)}
    experts = Packing(*_FIXED["mxfp4"], "mxfp4") if apart else None
    return Quantization(_packing(settings), experts, routers=True)


def _packing(settings: Mapping[str, Any]) -> Packing:
    mode = settings.get("mode", "affine")
    # The defaults of mlx's own `to_quantized`.
    default_bits, default_group = _FIXED.get(mode, (4, 64)) if isinstance(mode, str) else (4, 64)
    bits, group_size = settings.get("bits", default_bits), settings.get("group_size", default_group)
    whole = type(bits) is type(group_size) is int
    known = whole and bits in _BITS and group_size in _GROUP_SIZES if mode == "affine" else False
    if not known and not (mode in _FIXED and whole and (bits, group_size) == _FIXED[mode]):
        fixed = ", ".join(f"{name} of {b} bits in groups of {g}" for name, (b, g) in _FIXED.items())
        raise ArgumentError(
            "there is no plan for this quantization",
            expected=f'"bits" of {_BITS}, "group_size" of {_GROUP_SIZES}, mode affine; or {fixed}',
            got=f"bits {bits!r}, group_size {group_size!r}, mode {mode!r}",
        )
    return Packing(bits, group_size, mode)
