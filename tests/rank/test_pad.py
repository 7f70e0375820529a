"""Padding with zero heads and repeating KV heads: logits that stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from kernelkit.rank.pad import Padding, pad
from kernelkit.sharding.padding import ONCE, Change, padded_mlp, plan_heads
from tests.rank import tiny

LLAMA_9_3 = {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 288, "head_dim": 32}


@pytest.mark.parametrize("bits", [0, 4, 8])
@pytest.mark.parametrize("parts", [2, 4, 5, 9])
@pytest.mark.parametrize("bias", [False, True])
def test_padded_model_computes_the_same(tmp_path: Path, bits: int, parts: int, bias: bool) -> None:
    changes = {"attention_bias": bias, "mlp_bias": bias, "num_hidden_layers": 2}
    model = _load(tiny.build(tmp_path, bits=bits, **LLAMA_9_3, **changes))
    tokens = mx.array([[5, 9, 80, 31, 7]])
    before = model(tokens)
    done = pad(model, parts)

    attention, mlp = model.layers[0].self_attn, model.layers[0].mlp
    plan = plan_heads(9, 3, parts, 32, 32 if bits else 1)
    assert (attention.n_heads, attention.n_kv_heads) == (plan.heads, plan.kv_heads)
    assert done.repeats.get("model.layers.1.self_attn.k_proj", ONCE).times == plan.copies
    assert attention.q_proj.weight.shape[0] == attention.n_heads * 32
    assert attention.k_proj.weight.shape[0] == attention.n_kv_heads * 32
    assert mlp.gate_proj.weight.shape[0] == padded_mlp(128, parts, 32 if bits else 1)
    assert mx.allclose(model(tokens), before, rtol=1e-4, atol=1e-5)
    mlp_rows = mlp.gate_proj.weight.shape[0]
    assert done.changes == [
        change
        for change in (
            Change("heads", 9, plan.heads),
            Change("KV heads", 3, plan.kv_heads, plan.copies),
            Change("MLP rows", 128, mlp_rows),
        )
        if change.before != change.after
    ]


def test_model_that_divides_is_left_alone(tmp_path: Path) -> None:
    model = _load(tiny.build(tmp_path))
    before = model.layers[0].self_attn.q_proj.weight
    assert pad(model, 2) == Padding()
    assert model.layers[0].self_attn.q_proj.weight is before


def test_heads_that_would_split_a_quantization_group_are_padded_until_they_do_not(tmp_path: Path) -> None:
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
    model = _load(tiny.build(tmp_path, bits=4, **sizes))
    tokens = mx.array([[5, 9, 80, 31, 7]])
    before = model(tokens)
    pad(model, 4)  # a head of 16 columns per part would be half a group of 32
    assert model.layers[0].self_attn.n_heads == 8
    assert mx.allclose(model(tokens), before, rtol=1e-4, atol=1e-5)


def _load(folder: Path) -> Any:
    from mlx_lm.utils import load_model

    return load_model(folder)[0]
