"""Padding with zero heads: the plan's counts, and logits that stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ModelShardError
from kernelkit.rank.pad import pad_llama, padded_heads, padded_mlp
from tests.rank import tiny

LLAMA_9_3 = {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 288, "head_dim": 32}


@pytest.mark.parametrize(
    ("heads", "kv_heads", "ranks", "expected"),
    [
        (9, 3, 1, (9, 3)),
        (9, 3, 2, (12, 4)),
        (9, 3, 3, (9, 3)),
        (9, 3, 4, (12, 4)),
        (9, 3, 9, (27, 9)),
        (32, 8, 8, (32, 8)),
        (4, 1, 2, (8, 2)),
    ],
)
def test_padded_heads(heads: int, kv_heads: int, ranks: int, expected: tuple[int, int]) -> None:
    assert padded_heads(heads, kv_heads, ranks) == expected


@given(kv_heads=st.integers(1, 64), ratio=st.integers(1, 16), ranks=st.integers(1, 64))
def test_padded_heads_divide_and_keep_their_ratio(kv_heads: int, ratio: int, ranks: int) -> None:
    heads = kv_heads * ratio
    if ranks > heads:
        with pytest.raises(ModelShardError, match="cannot be spread"):
            padded_heads(heads, kv_heads, ranks)
        return
    more, more_kv = padded_heads(heads, kv_heads, ranks)
    assert more % ranks == more_kv % ranks == 0
    assert more == more_kv * ratio
    assert kv_heads <= more_kv < kv_heads + ranks


def test_heads_without_a_whole_ratio_are_refused() -> None:
    with pytest.raises(ModelShardError, match="cannot be padded"):
        padded_heads(9, 2, 3)


@pytest.mark.parametrize(
    ("size", "ranks", "group_size", "expected"),
    [(1536, 2, 32, 1536), (1536, 5, 32, 1600), (100, 3, 1, 102)],
)
def test_padded_mlp(size: int, ranks: int, group_size: int, expected: int) -> None:
    assert padded_mlp(size, ranks, group_size) == expected


@pytest.mark.parametrize("bits", [0, 4, 8])
@pytest.mark.parametrize("ranks", [2, 4, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_padded_model_computes_the_same(tmp_path: Path, bits: int, ranks: int, bias: bool) -> None:
    changes = {"attention_bias": bias, "mlp_bias": bias, "num_hidden_layers": 2}
    model = _load(tiny.build(tmp_path, bits=bits, **LLAMA_9_3, **changes))
    tokens = mx.array([[5, 9, 80, 31, 7]])
    before = model(tokens)
    pad_llama(model, ranks)

    attention, mlp = model.layers[0].self_attn, model.layers[0].mlp
    assert (attention.n_heads, attention.n_kv_heads) == padded_heads(9, 3, ranks)
    assert attention.q_proj.weight.shape[0] == attention.n_heads * 32
    assert attention.k_proj.weight.shape[0] == attention.n_kv_heads * 32
    assert mlp.gate_proj.weight.shape[0] == padded_mlp(128, ranks, 32 if bits else 1)
    assert mx.allclose(model(tokens), before, rtol=1e-4, atol=1e-5)


def test_model_that_divides_is_left_alone(tmp_path: Path) -> None:
    model = _load(tiny.build(tmp_path))
    before = model.layers[0].self_attn.q_proj.weight
    pad_llama(model, 2)
    assert model.layers[0].self_attn.q_proj.weight is before


def test_heads_that_split_a_quantization_group_are_refused(tmp_path: Path) -> None:
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
    model = _load(tiny.build(tmp_path, bits=4, **sizes))
    pad_llama(model, 2)  # 32 columns per rank: one group
    with pytest.raises(ModelShardError, match="quantized attention") as caught:
        pad_llama(model, 4)  # 16 columns per rank: half a group
    assert "another number of ranks" in caught.value.cure


def _load(folder: Path) -> Any:
    from mlx_lm.utils import load_model

    return load_model(folder)[0]
