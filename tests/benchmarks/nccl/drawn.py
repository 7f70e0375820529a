"""Random weights that each rank draws on its own GPU, by one seed: 140 GB on a disk are read for minutes.

`install` runs on kernelkit's ranks and changes where mlx-lm's models get their weights there, and nothing
else: kernelkit cuts, checks, reads and runs them as any other. The plain script draws the same.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.base import Module

_SEED = 7


def model_of(config: dict[str, Any]) -> Module:
    """mlx-lm's model with the weights that its layers draw at first, as promises: bfloat16 or quantized."""
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(_SEED)
    model: Module = module.Model(module.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if settings := config.get("quantization"):
        nn.quantize(model, group_size=settings["group_size"], bits=settings["bits"])
    return model


def install() -> None:
    """On a rank: models without files."""
    import mlx_lm.utils

    from kernelkit.rank import load

    def load_model(path: Path, **_: Any) -> tuple[Module, dict[str, Any]]:
        config = json.loads((path / "config.json").read_text())
        return model_of(config), config

    mlx_lm.utils.load_model = load_model
    # Nothing is in the files, so no part of a tensor can be read from them.
    load._recipes = lambda *_: None  # type: ignore[assignment]
