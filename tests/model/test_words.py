"""A loaded model in words: what was done so that it divides."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from kernelkit.model.words import as_html, as_text
from kernelkit.sharding.padding import Change

PART: dict[str, Any] = {
    "model_type": "llama",
    "layers": 2,
    "layer_range": [0, 2],
    "heads_here": 2,
    "kv_heads_here": 1,
    "shares": [1, 1],
    "unquantized": 0,
    "quantization_in_memory": None,
    "dtype": "float32",
    "weight_bytes": 1000,
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([], None),
        ([Change("KV heads", 1, 2, times=2)], "So that all divides: 1 → 2 KV heads (each 2 times)"),
        (
            [Change("heads", 3, 4), Change("KV heads", 3, 8, times=2), Change("MLP rows", 100, 102)],
            "So that all divides: 3 → 4 heads (1 of zeros), 3 → 8 KV heads (each 2 times, 2 of zeros), "
            "100 → 102 MLP rows (2 of zeros)",
        ),
    ],
)
def test_it_says_what_was_padded_and_what_repeated(changes: list[Change], line: str | None) -> None:
    summaries = {rank: {**PART, "padding": [asdict(change) for change in changes]} for rank in range(2)}
    text = as_text("tiny", "tensor", summaries)
    assert text.splitlines()[-1] == line if line else "divides" not in text
    assert (line or "tiny (llama") in as_html("tiny", "tensor", summaries)


def test_it_names_the_rank_whose_heads_are_all_zeros_and_what_could_not_be_quantized() -> None:
    changes = [asdict(Change("heads", 1, 2))]
    part = {**PART, "padding": changes, "unquantized": 1, "quantization_in_memory": {"bits": 4}}
    text = as_text("tiny", "tensor", dict.fromkeys(range(2), part))
    assert "rank 1 holds heads of zeros alone: fewer ranks, or another --split" in text
    assert "not quantized: 1 matrix with rows of no multiple of 32" in text
    assert "4-bit, float32" in text
