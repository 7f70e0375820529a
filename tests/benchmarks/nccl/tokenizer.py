"""A tokenizer with as many tokens as a model's vocabulary, of which the first are the characters."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

END = "<end>"


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Files that transformers reads."""
    characters = [*map(chr, range(ord("!"), ord("~") + 1)), "Ġ", END]
    names = [*characters, *(f"w{number}" for number in range(len(characters), vocabulary))]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
