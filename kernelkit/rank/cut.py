"""Say whether a model can be cut over so many ranks, from its config and shapes alone.

Every rank has the same config, so every rank comes to the same answer without asking the others: no
rank waits in a collective for one that has refused.
"""

from __future__ import annotations

from math import gcd
from typing import Any, Literal

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.rank.pad import pad_llama

Strategy = Literal["tensor", "pipeline"]

# mlx-lm repeats a KV head of these where there are more ranks than KV heads.
_REPEATS_KV = {"mlx_lm.models.qwen3_5", "mlx_lm.models.qwen3_5_moe"}
# Counts that a tensor-parallel rank must hold a whole share of, where a config has them.
_COUNTS = (
    ("num_attention_heads", "attention heads"),
    ("num_key_value_heads", "KV heads"),
    ("linear_num_key_heads", "linear-attention key heads"),
    ("linear_num_value_heads", "linear-attention value heads"),
)


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's part of the config: models that also see nest it."""
    return {**config, **(config.get("text_config") or {})}


def cut(model: Module, config: dict[str, Any], strategy: Strategy, group: mx.distributed.Group) -> None:
    """Keep this rank's part of a lazily loaded model: nothing is read, no collective runs.

    Args:
        model: as mlx-lm loads it, unsharded and not evaluated; changed in place.
        config: its `config.json`.
        strategy: "tensor" cuts every layer, padding a llama where its heads or its MLP do not divide;
            "pipeline" gives each rank whole layers, rank 0 the last ones.
        group: the global group; with a size of 1 the model stays whole.

    Raises:
        ModelShardError: it cannot be done; every rank raises alike.
        ArgumentError: another strategy.
    """
    if strategy not in ("tensor", "pipeline"):
        raise ArgumentError(f"no such strategy: {strategy!r}", expected="tensor or pipeline")
    if group.size() == 1:
        return
    if strategy == "pipeline":
        _check_pipeline(model, config, group.size())
        model.model.pipeline(group)
        return
    _check_tensor(model, config, group.size())
    if type(model).__module__ == "mlx_lm.models.llama":
        pad_llama(model, group.size())
    try:
        model.shard(group)
    # mlx and mlx-lm refuse sizes that do not divide in these ways.
    except (ValueError, AssertionError) as error:
        raise ModelShardError(
            f"{config['model_type']} cannot be cut into {group.size()}",
            expected="layer sizes that divide by the number of ranks, in whole quantization groups",
            got=str(error),
            cure="another number of ranks",
        ) from error


def _can_pipeline(model: Module) -> bool:
    return hasattr(model, "model") and hasattr(model.model, "pipeline")


def _check_pipeline(model: Module, config: dict[str, Any], ranks: int) -> None:
    if not _can_pipeline(model):
        raise ModelShardError(
            f"mlx-lm cannot run {config['model_type']} as a pipeline",
            expected="an architecture with pipeline support, such as qwen2, qwen3_moe or deepseek_v3",
            got=config["model_type"],
            cure="--strategy tensor" if hasattr(model, "shard") else "%cluster connect 1",
        )
    layers = len(model.layers)
    if layers < ranks:
        raise ModelShardError(
            f"{layers} layers cannot be spread over {ranks} ranks",
            expected=f"at most {layers} ranks",
            got=f"{ranks} ranks",
            cure=f"%cluster connect {layers}",
        )


def _check_tensor(model: Module, config: dict[str, Any], ranks: int) -> None:
    if not hasattr(model, "shard"):
        raise ModelShardError(
            f"mlx-lm cannot cut the layers of {config['model_type']}",
            expected="an architecture with tensor parallelism, such as llama, qwen3 or deepseek_v3",
            got=config["model_type"],
            cure="--strategy pipeline" if _can_pipeline(model) else "%cluster connect 1",
        )
    architecture = type(model).__module__
    if architecture == "mlx_lm.models.llama":
        return  # pad_llama decides
    counts = _head_counts(architecture, text_config(config), ranks)
    if any(count % ranks for count in counts.values()):
        common = gcd(*counts.values())
        working = [str(n) for n in range(1, common + 1) if common % n == 0]
        raise ModelShardError(
            f"{config['model_type']} cannot be cut into {ranks}: its heads do not divide, "
            "and kernelkit pads llama only",
            expected=f"{' or '.join(working)} ranks",
            got=f"{', '.join(f'{count} {name}' for name, count in counts.items())}, {ranks} ranks",
            cure=f"%cluster connect {working[-1]}"
            + (", or --strategy pipeline" if _can_pipeline(model) else ""),
        )


def _head_counts(architecture: str, config: dict[str, Any], ranks: int) -> dict[str, int]:
    """The counts of this config that `ranks` must divide, by their name in words."""
    counts = {name: config[key] for key, name in _COUNTS if isinstance(config.get(key), int)}
    # Latent attention keeps one compressed KV for all heads, whole on each rank.
    latent = "kv_lora_rank" in config
    repeated = architecture in _REPEATS_KV and ranks % counts.get("KV heads", ranks) == 0
    if latent or repeated:
        counts.pop("KV heads", None)
    return counts
