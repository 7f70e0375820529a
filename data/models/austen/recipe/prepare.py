"""From the novels to what training reads: a tokenizer, token ids to train on, and ids that are held out.

    python prepare.py [--package r-cran-janeaustenr_1.0.0-1_all.deb] [--out build]

writes `tokenizer.json`, `tokenizer_config.json`, `train.npy`, `heldout.npy` (uint16) and `data.json`. The
last chapters of each novel are held out: neither the tokenizer nor the model learns from them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from text import SHA256, URL, novels, package
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
HELD_OUT_SHARE = 0.04
# Between chapters: the one token that begins and ends a text.
BOUNDARY = "<|endoftext|>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--package", type=Path, help="the Debian package; by default it is downloaded")
    parser.add_argument("--out", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(prepare(arguments.package, arguments.out), indent=1))


def prepare(file: Path | None, out: Path) -> dict[str, Any]:
    """Write the files into the folder `out`; what `data.json` says."""
    books = novels(package(file))
    train, held_out = split(books)
    tokenizer = train_tokenizer(train)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(settings(), indent=1) + "\n", encoding="utf-8")
    ids = {"train": encode(tokenizer, train), "heldout": encode(tokenizer, held_out)}
    for name, tokens in ids.items():
        np.save(out / f"{name}.npy", tokens)
    text = "\n\n\n".join(chapter for chapters in books.values() for chapter in chapters)
    facts = {
        "source": URL,
        "package_sha256": SHA256,
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "characters": len(text),
        "chapters": {title: len(chapters) for title, chapters in books.items()},
        "held_out_chapters": len(held_out),
        "vocabulary": tokenizer.get_vocab_size(),
        "train_tokens": len(ids["train"]),
        "held_out_tokens": len(ids["heldout"]),
        "held_out_characters": sum(map(len, held_out)),
    }
    (out / "data.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def split(books: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """Chapters to train on, and the last ones of each novel, as many as come closest to the wanted share."""
    train, held_out = [], []
    for chapters in books.values():
        wanted = HELD_OUT_SHARE * sum(map(len, chapters))
        sizes = list(accumulate(len(chapter) for chapter in reversed(chapters)))
        count = 1 + min(range(len(sizes)), key=lambda index: abs(sizes[index] - wanted))
        train += chapters[:-count]
        held_out += chapters[-count:]
    return train, held_out


def train_tokenizer(chapters: list[str]) -> Tokenizer:
    """Byte-level BPE: any text can be encoded, and frequent words of these books are one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOUNDARY],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chapters, trainer)
    return tokenizer


def settings() -> dict[str, Any]:
    """`tokenizer_config.json`. No chat template: the model continues prose, and answers nobody."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOUNDARY,
        "eos_token": BOUNDARY,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
    }


def encode(tokenizer: Tokenizer, chapters: list[str]) -> np.ndarray:
    """All chapters in a row, each between two boundaries: `[tokens]`, uint16."""
    boundary = tokenizer.token_to_id(BOUNDARY)
    ids = [boundary]
    for encoding in tokenizer.encode_batch(chapters):
        ids += [*encoding.ids, boundary]
    return np.array(ids, dtype=np.uint16)


if __name__ == "__main__":
    main()
