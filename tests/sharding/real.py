"""The shard map of a real mlx-lm model with random weights, cut for each rank: what plans are held to.

Nothing is computed: shapes and dtypes are there without it.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

from kernelkit.rank.cut import cut
from kernelkit.rank.load import Loaded
from kernelkit.rank.precision import parameters
from kernelkit.rank.shards import describe
from kernelkit.sharding.merge import shard_map
from kernelkit.sharding.shardmap import ShardMap
from tests.rank.tiny import CountedGroup

COMMON: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "vocab_size": 96,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
ROPE = {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 512, "rope_theta": 1e4}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "ministral3": {"rope_parameters": {**ROPE, "rope_type": "default"}},
}


def config_of(kind: str, **changes: Any) -> dict[str, Any]:
    """A small config.json of that architecture."""
    return {"model_type": kind, **COMMON, **KINDS.get(kind, {}), **changes}


def build(config: dict[str, Any], quantization: dict[str, int] | None, dtype: str) -> Any:
    """mlx-lm's model of a config, random and whole."""
    from mlx_lm.utils import MODEL_REMAPPING

    kind = config["model_type"]
    module = importlib.import_module(f"mlx_lm.models.{MODEL_REMAPPING.get(kind, kind)}")
    model = module.Model(module.ModelArgs.from_dict(config))
    keep = getattr(model, "cast_predicate", lambda path: True)
    cast = getattr(mx, dtype)
    model.update(tree_map_with_path(lambda path, v: v.astype(cast) if keep(path) else v, model.parameters()))
    if quantization:
        group_size = quantization["group_size"]

        def fits(_: str, layer: Any) -> bool:  # as mlx_lm.utils.quantize_model chooses
            return hasattr(layer, "to_quantized") and layer.weight.shape[-1] % group_size == 0

        nn.quantize(model, **quantization, class_predicate=fits)
    return model


def describe_rank(
    config: dict[str, Any],
    rank: int,
    ranks: int,
    strategy: Any,
    quantization: Any = None,
    dtype: str = "float32",
    split: Any = None,
) -> dict[str, Any]:
    """What one rank would answer; through JSON, as it travels."""
    model = build(config, quantization, dtype)
    full_shapes = {path: tuple(value.shape) for path, value in parameters(model)}
    layers = len(model.layers)
    group: Any = CountedGroup(rank, ranks)
    made = cut(model, config, strategy, group, split, lambda: build(config, quantization, dtype))
    summary = {"model_type": config["model_type"], "strategy": strategy, "layers": layers}
    loaded = Loaded(
        model, None, config, {**summary, "layer_range": list(made.layer_range)}, full_shapes, made
    )
    answer: dict[str, Any] = json.loads(json.dumps(describe(loaded, rank, ranks)))
    return answer


def real_shards(config: dict[str, Any], ranks: int, strategy: Any = "tensor", **options: Any) -> ShardMap:
    """The map of all ranks."""
    answers = {rank: describe_rank(config, rank, ranks, strategy, **options) for rank in range(ranks)}
    return shard_map(answers, "")
