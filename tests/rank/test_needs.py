"""What a model will need, foretold by a trace: held against what its caches and weights really take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from kernelkit.rank import ledger, needs
from kernelkit.rank.load import load
from tests.architectures import tiny
from tests.rank.tiny import CountedGroup, build


def _load(folder: Path, **options: Any) -> Any:
    group: Any = CountedGroup(0, 1)
    return load(folder, strategy="tensor", group=group, **options).model


# Plain keys and values; windows; latents; states.
@pytest.mark.parametrize("name", ["llama", "gemma3_text", "deepseek_v3", "mamba2", "qwen3_5"])
@pytest.mark.parametrize("length", [5, 300])
def test_the_traced_cache_is_as_large_as_the_real_one(tmp_path: Path, name: str, length: int) -> None:
    from mlx_lm.models.cache import make_prompt_cache

    model = _load(tiny.build(tmp_path, name))
    before = ledger.count
    foretold = needs.kv_bytes(model, length)
    assert ledger.count == before
    caches = make_prompt_cache(model)
    mx.eval(model(mx.zeros((1, length), dtype=mx.int32), cache=caches))
    real = [value for cache in caches for _, value in tree_flatten(cache.state)]
    assert foretold == sum(value.nbytes for value in real if isinstance(value, mx.array))
    assert foretold > 0


def test_bits_count_scales_and_biases(tmp_path: Path) -> None:
    folder = build(tmp_path)
    assert needs.bits(_load(folder)) == 32
    # Norms stay float32; codes of 8 bits, a scale and a bias of 32 bits for each 64.
    assert needs.bits(_load(folder, quantize=8)) == pytest.approx(9, rel=0.01)


def test_activations_grow_with_the_piece_of_the_prompt_and_end_there(tmp_path: Path) -> None:
    model = _load(build(tmp_path))
    short, piece, long = (needs.activation_bytes(model, tokens) for tokens in (10, 2048, 4096))
    assert 0 < short < piece <= long
