"""What a model's `config.json` says of its attention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.jsonfile import load_json

# Of what kind a field must be where it is there, and what to call that.
_KINDS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("model_type", str, "an architecture's name"),
    ("text_config", Mapping, "an object, the language model's config"),
    # A name stands there in configs of the catalog, whose checkpoints are known by name alone.
    ("quantization", (Mapping, str), 'an object such as {"bits": 4, "group_size": 64}'),
    ("quantization_config", Mapping, 'an object such as {"quant_method": "fp8"}'),
)


def read_config(config: Mapping[str, Any] | str | Path) -> tuple[dict[str, Any], str]:
    """A config and what its model is called, from the config itself, its file, or the model's folder.

    Raises:
        ArgumentError: there is no such file, or no config in it; or this is something else, or has a field
            that is.
    """
    name = ""
    found: Any = config
    if isinstance(config, str | Path):
        path = Path(config).expanduser()
        path = path / "config.json" if path.is_dir() else path
        found, name = load_json(path, "model's config"), path.resolve().parent.name
    if not isinstance(found, Mapping):
        raise ArgumentError(
            "this is no model's config",
            expected="what is in a config.json, or the path to it or to the model's folder",
            got=str(config) if isinstance(config, str | Path) else type(found).__name__,
        )
    _check(found)
    own = found.get("_name_or_path")
    return dict(found), name or (own if isinstance(own, str) else "")


def _check(config: Mapping[str, Any]) -> None:
    for name, kinds, expected in _KINDS:
        value = config.get(name)
        if value is not None and not isinstance(value, kinds):
            raise ArgumentError(
                f"the config's {name} is of another kind",
                expected=expected,
                got=repr(value)[:80],
                cure=f"mend {name} in config.json, or leave it out",
            )


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's part of the config: models that also see nest it."""
    return {**config, **(config.get("text_config") or {})}


def is_latent(config: dict[str, Any]) -> bool:
    """Whether its attention keeps one compressed vector per token, for all heads (MLA)."""
    return "kv_lora_rank" in text_config(config)


def attention_sizes(config: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    """`(heads, kv_heads, head_dim)`, each None where the config does not say it or there is no such thing."""
    text = text_config(config)
    heads, hidden = text.get("num_attention_heads"), text.get("hidden_size")
    if is_latent(config):
        return heads, None, None
    # mlx-lm's qwen2 goes by the hidden size, whatever else its config says.
    head_dim = None if text.get("model_type") == "qwen2" else text.get("head_dim")
    if head_dim is None and isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
        head_dim = hidden // heads
    return heads, text.get("num_key_value_heads") or heads, head_dim


def max_context(config: dict[str, Any]) -> int | None:
    """The longest context that the model was made for, in tokens; None where the config does not say it."""
    value = text_config(config).get("max_position_embeddings")
    return value if type(value) is int else None
