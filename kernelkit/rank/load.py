"""Load this rank's part of a model: build it without reading, cut it, then read only what is left."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.cut import Strategy, cut, text_config
from kernelkit.rank.locate import Progress
from kernelkit.rank.locate import resolve as resolve
from kernelkit.rank.precision import dtype_name, parameters, quantization, set_precision, weight_bytes

# What mlx-lm and transformers raise on files that are broken or do not belong together.
_BAD_FILES = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run on this rank.

    Attributes:
        model: mlx-lm's, cut to this rank's part and evaluated.
        tokenizer: mlx-lm's `TokenizerWrapper`.
        config: the model's `config.json`.
        summary: what was loaded, JSON-like, with the same keys on every rank.
    """

    model: Module
    tokenizer: Any
    config: dict[str, Any]
    summary: dict[str, Any]


def load(
    path: Path,
    *,
    strategy: Strategy,
    group: mx.distributed.Group,
    dtype: str = "auto",
    on_progress: Progress = lambda phase, fraction: None,
) -> Loaded:
    """Load the part of the model in `path` that is this rank's.

    No collective runs in here: a rank that fails leaves no other waiting. All refusals come before any
    weights are read, and at no time is more than one whole layer in memory beside this rank's part.

    Args:
        path: a folder as `resolve` gives it.
        strategy: "tensor" cuts every layer, "pipeline" gives each rank whole layers.
        group: the global group; with a size of 1 the model stays whole.
        dtype: "auto", what is fastest on this device; or a choice of `precision.set_precision`.
        on_progress: called with a phase ("reading", "sharding", "tokenizer", "weights") and the
            part done, 0 to 1.

    Raises:
        ModelNotFoundError: mlx-lm has no such architecture, or the files do not make a model.
        ModelShardError: the model cannot be cut that way over that many ranks; every rank says so.
        ArgumentError: another strategy or dtype.
    """
    start_s = time.perf_counter()
    on_progress("reading", 0.0)
    model, config = _build(path)
    on_progress("reading", 1.0)
    compute_dtype = set_precision(model, dtype)
    whole = {"layers": len(model.layers), "total_weight_bytes": weight_bytes(model)}
    on_progress("sharding", 0.0)
    cut(model, config, strategy, group)
    on_progress("sharding", 1.0)
    on_progress("tokenizer", 0.0)
    tokenizer = _load_tokenizer(path, config)  # after the refusals: it takes seconds
    on_progress("tokenizer", 1.0)
    _evaluate(model, on_progress)
    mx.clear_cache()

    summary = {
        **_describe(model, config, strategy, group.size()),
        **whole,
        "dtype": dtype_name(compute_dtype),
        "weight_bytes": weight_bytes(model),
        "load_s": time.perf_counter() - start_s,
    }
    return Loaded(model, tokenizer, config, summary)


def _build(path: Path) -> tuple[Module, dict[str, Any]]:
    """mlx-lm's model with its weights as promises: only the headers of the files are read."""
    # transformers tells every rank's user at import that there is no PyTorch.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from mlx_lm.utils import MODEL_REMAPPING, load_model

    try:
        kind = json.loads((path / "config.json").read_text(encoding="utf-8"))["model_type"]
        module = MODEL_REMAPPING.get(kind, kind)
        if "." in module or importlib.util.find_spec(f"mlx_lm.models.{module}") is None:
            raise ModelNotFoundError(
                f"mlx-lm has no architecture {kind!r}",
                expected="a model_type that `mlx_lm.models` knows",
                got=f"model_type {kind!r} in {path / 'config.json'}",
                cure="pip install --upgrade mlx-lm",
            )
        model, config = load_model(path, lazy=True)
    except _BAD_FILES as error:
        raise ModelNotFoundError(
            f"the files in {path} do not make a model",
            expected="config.json and weights that belong together, as mlx-lm reads them",
            got=_first_line(error),
            cure="download or convert the model again",
        ) from error
    return model, config


def _load_tokenizer(path: Path, config: dict[str, Any]) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from mlx_lm import utils

    read: Any = utils.load_tokenizer  # not annotated upstream
    try:
        return read(path, eos_token_ids=config.get("eos_token_id"))
    # transformers checks the whole config on the way to a tokenizer.
    except (*_BAD_FILES, StrictDataclassError) as error:
        raise ModelNotFoundError(f"the tokenizer in {path} cannot be read", got=_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _evaluate(model: Module, on_progress: Progress) -> None:
    """Read this rank's weights, one layer at a time; what a layer was cut from is let go of after it."""
    layers: dict[str, list[mx.array]] = {}
    for name, value in parameters(model):
        match = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
        layers.setdefault(match.group(1) if match else "", []).append(value)
    total, done = weight_bytes(model), 0
    on_progress("weights", 0.0)
    while layers:
        # Popped, so that nothing here keeps the promises of a layer once it is read.
        values = layers.pop(next(iter(layers)))
        mx.eval(values)
        done += sum(value.nbytes for value in values)
        on_progress("weights", done / total)


def _describe(model: Module, config: dict[str, Any], strategy: Strategy, ranks: int) -> dict[str, Any]:
    """The summary's facts about shapes: of the whole model, and of this rank's part."""
    text = text_config(config)
    heads = text.get("num_attention_heads")
    kv_heads = text.get("num_key_value_heads") or heads
    padded, padded_kv = heads, kv_heads
    if strategy == "tensor" and type(model).__module__ == "mlx_lm.models.llama":
        attention = model.layers[0].self_attn
        padded, padded_kv = attention.n_heads * ranks, attention.n_kv_heads * ranks
    stored = config.get("quantization")
    return {
        "model_type": config["model_type"],
        "strategy": strategy,
        "layer_range": _layer_range(model, strategy, ranks),
        "heads": heads,
        "kv_heads": kv_heads,
        "heads_padded": padded,
        "kv_heads_padded": padded_kv,
        "hidden_size": text.get("hidden_size"),
        "vocab_size": text.get("vocab_size"),
        # The settings of single layers are left out.
        "quantization_in_file": {k: v for k, v in stored.items() if not isinstance(v, dict)}
        if stored
        else None,
        "quantization_in_memory": quantization(model),
    }


def _layer_range(model: Module, strategy: Strategy, ranks: int) -> list[int]:
    """`[start, end)` of the layers that this rank runs."""
    if strategy == "pipeline" and ranks > 1:
        return [model.model.start_idx, model.model.end_idx]
    return [0, len(model.layers)]
