"""The models of the run: llamas of 8, 35 and 70 billion weights, and folders that hold all but these."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT_TOKENS, NEW_TOKENS = 512, 256
BATCHES = (1, 8)
_COMMON: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "head_dim": 128,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "eos_token_id": 95,
}
_LARGE = {"hidden_size": 8192, "intermediate_size": 28_672, "num_attention_heads": 64}
_SHAPES: dict[str, dict[str, Any]] = {
    "8B": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
    },
    "35B": {**_LARGE, "num_hidden_layers": 40},
    "70B": {**_LARGE, "num_hidden_layers": 80},
}
# For a rehearsal on processors.
_TINY = {
    "8B": {"hidden_size": 256, "num_hidden_layers": 2, "intermediate_size": 512, "num_attention_heads": 4},
    "35B": {"hidden_size": 512, "num_hidden_layers": 2, "intermediate_size": 512, "num_attention_heads": 4},
    "70B": {"hidden_size": 512, "num_hidden_layers": 3, "intermediate_size": 512, "num_attention_heads": 4},
}
_TINY_COMMON = {"vocab_size": 1024, "head_dim": 64, "num_key_value_heads": 2}
QUANTIZATIONS = {"bf16": 0, "4bit": 4}


@dataclass(frozen=True)
class Case:
    """One model on so many GPUs.

    Attributes:
        shape: one of `8B`, `35B`, `70B`.
        kind: of its weights, `bf16` or `4bit`.
        gpus: 1 or 2.
    """

    shape: str
    kind: str
    gpus: int

    @property
    def model(self) -> str:
        return f"{self.shape}-{self.kind}"

    def __str__(self) -> str:
        return f"{self.model} on {self.gpus} GPU{'s' if self.gpus > 1 else ''}"


# In the order of the run; 70 billion weights of 16 bits are more than one GPU holds, and are left out.
CASES = tuple(
    Case(shape, kind, gpus)
    for gpus in (2, 1)
    for shape, kind in (("8B", "bf16"), ("35B", "bf16"), ("8B", "4bit"), ("35B", "4bit"), ("70B", "4bit"))
)


def config(shape: str, kind: str, *, tiny: bool = False) -> dict[str, Any]:
    """As config.json has it."""
    base = {**_COMMON, **(_TINY_COMMON | _TINY[shape] if tiny else _SHAPES[shape])}
    bits = QUANTIZATIONS[kind]
    return {**base, "quantization": {"group_size": 64, "bits": bits}} if bits else base


def write(folder: Path, given: dict[str, Any]) -> Path:
    """A model's folder without its weights: each rank draws them itself, see `drawn`."""
    from tests.benchmarks.nccl.tokenizer import write_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(given))
    write_tokenizer(folder, given["vocab_size"])
    # Loading asks for a weight file before it asks what is in it: this one holds a single zero.
    header = b'{"none":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return folder


def prompt(number: int = 0) -> str:
    """A token per character; other texts for other numbers."""
    text = f"{number} quick brown foxes jump over {number + 7} lazy dogs, and none of them looks back. "
    return (text * PROMPT_TOKENS)[:PROMPT_TOKENS]
