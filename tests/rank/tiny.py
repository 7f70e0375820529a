"""What tests of a rank share: tiny random models in the Hugging Face layout, and a group without peers.

The tokenizer has a token per character.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

RingRun = Callable[..., list[Any]]  # the fixture `ring_run`

END = "<end>"
CHAT_TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"

_COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 95,  # the characters; the model never says the end token, so a text has its full length
    "tie_word_embeddings": False,
}
# llama: shard, no pipeline. qwen2: both. gemma: neither.
_KINDS: dict[str, dict[str, Any]] = {"llama": {}, "qwen2": {}, "gemma": {"head_dim": 16}}


def build(
    folder: Path,
    kind: str = "llama",
    *,
    bits: int = 0,
    dtype: mx.Dtype = mx.float32,
    chat: bool = True,
    **changes: Any,
) -> Path:
    """Write a random model, the same at every call with the same arguments.

    Args:
        folder: made if it is not there.
        kind: "llama", "qwen2" or "gemma".
        bits: quantize the linear layers and embeddings to so many bits, in groups of 32.
        dtype: of the floats.
        chat: give the tokenizer a chat template.
        changes: entries of config.json that differ from the defaults.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": kind, **_COMMON, **_KINDS[kind], **changes}
    mx.random.seed(7)
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    model = module.Model(module.ModelArgs.from_dict(config))
    # Larger than mlx's initial weights, so that layers matter and the text is not one letter.
    model.update(tree_map(lambda value: value * 4 if value.ndim > 1 else value, model.parameters()))
    model.set_dtype(dtype)
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    write_tokenizer(folder, chat)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_tokenizer(folder: Path, chat: bool) -> None:
    """One token per ASCII character, so that each has text, and one that ends a text."""
    alphabet = [*map(chr, range(ord("!"), ord("~") + 1)), "Ġ"]
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    if chat:
        settings["chat_template"] = CHAT_TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@dataclass(frozen=True)
class CountedGroup:
    """A rank and a size, without peers: loading must need nothing else of a group."""

    rank_: int
    size_: int

    def rank(self) -> int:
        return self.rank_

    def size(self) -> int:
        return self.size_
