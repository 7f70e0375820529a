"""What a rank says of the model it has loaded: facts about shapes, of the whole and of its part."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlx.nn.layers.base import Module

from kernelkit.rank.cut import Cut
from kernelkit.rank.pad import head_counts
from kernelkit.sharding.config import attention_sizes, text_config


def describe(model: Module, config: dict[str, Any], strategy: str, made: Cut) -> dict[str, Any]:
    """JSON-like, with the same keys on every rank.

    Returns:
        `heads` and `kv_heads` of the first attention of the whole model, `heads_here` and `kv_heads_here` of
        the first on this rank, or what the config says where mlx-lm's layers do not tell; None where there
        are none; `padding`, the `sharding.padding.Change` that were made so that all divides; `layer_range`;
        `shares`; and what the config says of sizes and of the quantization in the file.
    """
    text = text_config(config)
    heads, kv_heads = (made.heads, made.kv_heads) if made.heads is not None else attention_sizes(config)[:2]
    here, kv_here = head_counts(model)
    stored = config.get("quantization")
    return {
        "model_type": config["model_type"],
        "strategy": strategy,
        "layer_range": list(made.layer_range),
        "heads": heads,
        "kv_heads": kv_heads,
        "heads_here": heads if here is None else here,
        "kv_heads_here": kv_heads if here is None else kv_here,
        "padding": [asdict(change) for change in made.padding.changes],
        "shares": list(made.shares.by_rank),
        "hidden_size": text.get("hidden_size"),
        "vocab_size": text.get("vocab_size"),
        # The settings of single layers are left out.
        "quantization_in_file": {k: v for k, v in stored.items() if not isinstance(v, dict)}
        if stored
        else None,
    }
