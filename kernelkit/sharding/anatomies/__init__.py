"""The anatomy of a model, from its config alone, by architecture as mlx-lm builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.anatomies import dense, experts, gemma, latent, nemotron, states, step
from kernelkit.sharding.anatomies.fields import Fields
from kernelkit.sharding.anatomy import Anatomy
from kernelkit.sharding.config import read_config

_BUILDERS: dict[str, Callable[[Fields], Anatomy]] = {
    "llama": dense.llama,
    "ministral3": dense.ministral3,
    "smollm3": dense.smollm3,
    "seed_oss": dense.seed_oss,
    "phi3": dense.phi3,
    "glm4": dense.glm4,
    "qwen2": dense.qwen2,
    "qwen3": dense.qwen3,
    "qwen3_moe": experts.qwen3_moe,
    "gpt_oss": experts.gpt_oss,
    "mixtral": experts.mixtral,
    "qwen2_moe": experts.qwen2_moe,
    "glm4_moe": experts.glm4_moe,
    "solar_open": experts.glm4_moe,
    "minimax": experts.minimax,
    "deepseek_v3": latent.deepseek_v3,
    "deepseek_v32": latent.deepseek_v32,
    "glm_moe_dsa": latent.deepseek_v32,
    "glm4_moe_lite": latent.glm4_moe_lite,
    "mistral4": latent.mistral4,
    "longcat_flash": latent.longcat_flash,
    "qwen3_next": states.qwen3_next,
    "qwen3_5": states.qwen3_5,
    "nemotron_h": nemotron.nemotron_h,
    "gemma3_text": gemma.gemma3_text,
    "gemma4_text": gemma.gemma4_text,
    "step3p5": step.step3p5,
}
# mlx-lm reads these as another one (mlx_lm.utils.MODEL_REMAPPING).
_AS = {
    "mistral": "llama",
    "iquestcoder": "llama",
    "xverse": "llama",
    "kimi_k2": "deepseek_v3",
    "joyai_llm_flash": "deepseek_v3",
    "minimax_m2": "minimax",
    "llava": "mistral3",
    "qwen2_5_vl": "qwen2_vl",
    "gemma4_unified": "gemma4",
}
# Models that also see or hear keep a language model inside: of which architecture, unless its own config
# says another, and whether its head is tied where that does not say it.
_WRAPPED: dict[str, tuple[str, bool | None]] = {
    "mistral3": ("llama", False),
    "pixtral": ("llama", None),
    "kimi_k25": ("deepseek_v3", None),
    "qwen2_vl": ("qwen2", None),
    "qwen3_vl": ("qwen3", None),
    "qwen3_vl_moe": ("qwen3_moe", None),
    "qwen3_5": ("qwen3_5", None),
    "gemma3": ("gemma3_text", None),
    "gemma4": ("gemma4_text", None),
    "qwen3_5_moe": ("qwen3_5", None),
}
# mlx-lm gives their layers caches of all tokens, also those with a window.
_WITHOUT_WINDOWS = ("mistral3", "pixtral")
# Whose vocabulary the whole model's config says, or else has this size.
_VOCABULARY = {"gemma3": 262208, "gemma4": 262144}
_AHEAD = ("num_nextn_predict_layers", "mtp_num_hidden_layers")
_SEES = ("vision_config", "audio_config")
KNOWN = tuple(sorted({*_BUILDERS, *_AS, *_WRAPPED}))


def anatomy(config: Mapping[str, Any] | str | Path) -> Anatomy:
    """What a model is made of, as mlx-lm builds it.

    Args:
        config: what the model's `config.json` holds, or the path to it or to the model's folder.

    Raises:
        ModelShardError: the architecture is not known here.
        ArgumentError: the config cannot be read, lacks a size, or has one that is no whole number above 0.
    """
    found, _ = read_config(config)
    kind = found.get("model_type")
    name = _AS.get(str(kind), str(kind))
    fields = Fields(found, left_out=_left_out(found))
    if name in _WRAPPED:
        name, fields = _unwrap(name, found)
    if name not in _BUILDERS:
        raise ModelShardError(
            f"there is no plan for {kind!r} yet",
            expected=f"a model_type of {', '.join(KNOWN)}",
            got=repr(kind),
            cure="%model load it, and look at model.shards",
        )
    return _BUILDERS[name](fields)


def _unwrap(name: str, config: dict[str, Any]) -> tuple[str, Fields]:
    inner, tied = _WRAPPED[name]
    text = config.get("text_config", config)
    if not isinstance(text, Mapping):
        raise ArgumentError("the config has no text_config", expected="a mapping", got=repr(text)[:80])
    if name == "mistral3" and text.get("model_type") not in (None, "llama", "mistral"):
        inner = str(text["model_type"])
    text = {**({} if tied is None else {"tie_word_embeddings": tied}), **text}
    if name in _VOCABULARY:
        heads = {"num_attention_heads": 8, "num_key_value_heads": 4 if name == "gemma3" else 1}
        text = {**heads, **text, "vocab_size": config.get("vocab_size", _VOCABULARY[name])}
    if name in _WITHOUT_WINDOWS:
        text["layer_types"] = None
    left_out = (*_left_out(text), *(name for name in _left_out(config) if name not in _left_out(text)))
    return inner, Fields({**text, "model_type": config["model_type"]}, "language_model.", left_out)


def _left_out(config: Mapping[str, Any]) -> tuple[str, ...]:
    sees = tuple(name.replace("_config", " tower") for name in _SEES if config.get(name))
    ahead = any(config.get(name) for name in _AHEAD)
    return (*sees, *(("layers for more than one next token",) if ahead else ()))
