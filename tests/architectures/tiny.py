"""Tiny random models of every architecture that the installed mlx-lm has, in the Hugging Face layout.

A config is found field by field: `common.VALUES` by the field's name, then the architecture's own.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import json
import math
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models
from mlx.utils import tree_flatten

from tests.architectures.common import VALUES
from tests.architectures.dense import DENSE
from tests.architectures.experts import EXPERTS
from tests.architectures.mixed import MIXED
from tests.architectures.wrapped import TEXT, WRAPPED
from tests.rank.tiny import write_tokenizer

_CONFIGS: dict[str, dict[str, Any]] = {**DENSE, **EXPERTS, **MIXED, **WRAPPED}
_FULL_VOCABULARY = 10_000
_MOST_PARAMETERS = 4_000_000
# Another one where the text with 7 would be one letter.
_SEEDS = {"olmo3": 8, "gemma3n": 8}
_SEED = 7
# Each matrix as if its inputs were independent: outputs a little larger than inputs, so that layers matter.
_GAIN = 1.5
_NOISE = 0.1
# Small, or tied embeddings would make of each token itself.
_EMBEDDING = 0.2
_PACKED_SCALE = 0.1


@cache
def names() -> tuple[str, ...]:
    """The modules of `mlx_lm.models` that define `Model` and `ModelArgs`, sorted; none is imported for it."""
    folder = Path(mlx_lm.models.__path__[0])
    return tuple(sorted(path.stem for path in folder.glob("*.py") if {"Model", "ModelArgs"} <= _bound(path)))


def _bound(path: Path) -> set[str]:
    """The names of the classes and imports at the top of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


def config(name: str) -> dict[str, Any]:
    """The tiny `config.json` of an architecture.

    Raises:
        SystemExit, ImportError: the module does not import.
    """
    # Architectures write into what they are given.
    return copy.deepcopy(_fill(name, _module(name).ModelArgs, _CONFIGS.get(name, {})))


def build(folder: Path, name: str) -> Path:
    """Write config, float32 weights and a tokenizer, the same at every call.

    Args:
        folder: made if it is not there.
        name: one of `names()`.

    Raises:
        What upstream raises where it cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = config(name)
    _, weights = create(name, settings)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    write_tokenizer(folder, chat=False)
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    return folder


def create(name: str, settings: dict[str, Any]) -> tuple[Any, dict[str, mx.array]]:
    """The model that the folder holds, and its weights by the names in the file."""
    module = _module(name)
    mx.random.seed(_SEEDS.get(name, _SEED))
    model = module.Model(module.ModelArgs.from_dict(copy.deepcopy(settings)))
    size = sum(value.size for _, value in tree_flatten(model.parameters()))
    if size > _MOST_PARAMETERS:  # before any of them is computed
        raise ValueError(f"{name} is not tiny: {size:,} parameters; its config has a default of full size")
    before = dict(tree_flatten(model.parameters()))
    kinds = {path: type(module) for path, module in model.named_modules()}
    weights = {path: _random(path, value, before, kinds) for path, value in before.items()}
    if hasattr(model, "sanitize"):
        # Some bring weights into a form, such as rows of length 1: what has it already, keeps it.
        weights = model.sanitize(dict(weights))
    model.load_weights(list(weights.items()))
    mx.eval(model.parameters())
    model.eval()
    return model, dict(weights)


def _module(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.models.{name}")


def _fill(name: str, args: type, own: dict[str, Any]) -> dict[str, Any]:
    """Values for the fields of a config, from the common ones and the architecture's own."""
    fields = [field.name for field in dataclasses.fields(args)]
    filled = {field: VALUES[field] for field in fields if field in VALUES}
    if "text_config" in fields:
        source, inner, differing = TEXT[name]
        filled["text_config"] = _fill(
            source, getattr(_module(source), inner), {**_CONFIGS.get(source, {}), **differing}
        )
    return {**filled, "model_type": name, **own}


def _random(
    path: str, value: mx.array, siblings: Container[str], kinds: Mapping[str, type[nn.Module]]
) -> mx.array:
    """Matrices anew, by their number of inputs; vectors keep their value, with some noise around it."""
    base, _, leaf = path.rpartition(".")
    if f"{base}.scales" in siblings and (packed := _random_packed(leaf, value)) is not None:
        return packed
    if not mx.issubdtype(value.dtype, mx.floating):
        return value
    noise = mx.random.normal(value.shape, dtype=mx.float32)
    if value.ndim < 2:
        return value.astype(mx.float32) + _NOISE * noise
    if issubclass(kinds[base], nn.Embedding):
        # A vocabulary of full size: a token without a letter has a logit of 0 and is never the likeliest.
        known = len(value) if len(value) < _FULL_VOCABULARY else VALUES["vocab_size"]
        return mx.where((mx.arange(len(value)) < known)[:, None], _EMBEDDING * noise, 0.0)
    inputs = math.prod(value.shape[1:]) if value.ndim == 2 else value.shape[-1]
    return noise * (_GAIN / math.sqrt(inputs))


def _random_packed(leaf: str, value: mx.array) -> mx.array | None:
    """Two-bit codes, and a scale and a bias that make numbers around 0 of them; signs."""
    if leaf == "weight":
        return mx.random.randint(0, 2**31 - 1, value.shape).astype(mx.uint32)
    if leaf == "signs":
        return mx.where(mx.random.uniform(shape=value.shape) < 0.5, -1.0, 1.0)
    constants = {"scales": _PACKED_SCALE, "biases": -1.5 * _PACKED_SCALE}
    return mx.full(value.shape, constants[leaf]) if leaf in constants else None
