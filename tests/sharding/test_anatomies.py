"""Anatomies against mlx-lm itself: arrays, caches, quantized bytes, and every rank's part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.anatomies import KNOWN, anatomy
from kernelkit.sharding.quantization import Quantization
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.sizes import kv_bytes, weight_bytes
from kernelkit.sharding.stored import arrays
from tests.architectures import tiny
from tests.sharding.real import build, real_shards

# Other names for one of these have no module of their own in mlx-lm.
KINDS = [kind for kind in KNOWN if kind in tiny.names()]


def _arrays(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    model = anatomy(config)
    for index, matrix in model.matrices():
        for array in arrays(matrix, None, "float32"):
            yield array.path if index is None else f"{model.layers_path}.{index}.{array.path}", array.shape


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_is_known(kind: str) -> None:
    config = tiny.config(kind)
    real = {path: tuple(v.shape) for path, v in _flat(build(tiny.config(kind), None, "float32"))}
    found = list(_arrays(config))
    assert dict(found) == real
    assert len(found) == len(real)  # none is listed twice
    assert anatomy(config).parameters == sum(v.size for _, v in _flat(build(config, None, "float32")))


@pytest.mark.parametrize("kind", KINDS)
def test_the_caches_take_what_mlx_lm_allocates(kind: str) -> None:
    from mlx_lm.models.cache import make_prompt_cache

    model = build(tiny.config(kind), None, "bfloat16")
    caches = make_prompt_cache(model)
    # A prompt of one step, and one token more: caches grow by steps, and windows are cut back to their size.
    for tokens in (256, 1):
        model(mx.zeros((2, tokens), mx.int32), cache=caches)
    assert kv_bytes(anatomy(tiny.config(kind)), 512, batch=2) == sum(map(_state_bytes, caches))


def _state_bytes(cache: Any) -> int:
    return sum(value.nbytes for _, value in tree_flatten(cache.state) if isinstance(value, mx.array))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "group_size", "bits", "mode"), [("4bit-gs32", 32, 4, "affine"), ("mxfp8", 32, 8, "mxfp8")]
)
def test_bytes_are_those_of_a_conversion(kind: str, name: str, group_size: int, bits: int, mode: str) -> None:
    from mlx_lm.utils import quantize_model

    model, settings = quantize_model(build(tiny.config(kind), None, "bfloat16"), {}, group_size, bits, mode)
    real = sum(value.nbytes for _, value in _flat(model))
    assert weight_bytes(anatomy(tiny.config(kind)), name) == real
    # The same from what the conversion wrote into the config, module by module.
    assert weight_bytes(anatomy(tiny.config(kind)), settings["quantization"]) == real


def _flat(model: Any) -> list[tuple[str, mx.array]]:
    flat: Any = tree_flatten(model.parameters())
    return list(flat)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ranks", "split", "quantization"),
    [(3, (2, 1, 1), None), (2, None, {"bits": 4, "group_size": 32}), (4, None, None)],
)
def test_each_ranks_part_is_what_it_then_holds(kind: str, ranks: int, split: Any, quantization: Any) -> None:
    config, options = tiny.config(kind), {"split": split, "quantization": quantization, "dtype": "float16"}
    if anatomy(config).cuts == "none" or (split and anatomy(config).cuts == "even"):
        with pytest.raises(ModelShardError):
            planned_shards(config, ranks, **options)
        with pytest.raises(ModelShardError):
            real_shards(tiny.config(kind), ranks, **options)
        return
    planned = planned_shards(config, ranks, **options)
    assert replace(planned, planned=False) == real_shards(tiny.config(kind), ranks, **options)


def test_a_hybrid_is_stages_of_tensor_parallel_ranks() -> None:
    config = tiny.config("qwen3_moe")
    shards = planned_shards(config, 4, "hybrid", split=(2, 3))
    shards.check()
    assert shards.layer_ranges == ((3, 5), (3, 5), (0, 3), (0, 3))
    half = planned_shards(config, 2)
    for layer, ranks in ((0, [2, 3]), (4, [0, 1])):
        for mine, other in zip(
            *([p for p in s.parameters if p.layer == layer] for s in (shards, half)), strict=True
        ):
            assert [piece.rank for piece in mine.pieces] == ranks
            assert [p.shape for p in mine.pieces] == [p.shape for p in other.pieces]
    with pytest.raises(ArgumentError, match="stages do not fit"):
        planned_shards(config, 4, "hybrid", stages=3)


def test_what_is_left_out_is_named() -> None:
    config = {**tiny.config("kimi_k25"), "vision_config": {"depth": 2}}
    config["text_config"]["num_nextn_predict_layers"] = 1
    found = anatomy(config)
    assert found.left_out == ("layers for more than one next token", "vision tower")
    assert found.model_type == "kimi_k25"
    assert anatomy(tiny.config("llama")).left_out == ()


def test_what_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(ModelShardError, match="mamba2") as caught:
        anatomy({"model_type": "mamba2"})
    assert "deepseek_v3" in caught.value.expected
    with pytest.raises(ArgumentError, match="kv_lora_rank"):
        anatomy({**tiny.config("deepseek_v3"), "kv_lora_rank": None})
    with pytest.raises(ArgumentError, match="layer_types"):
        anatomy({**tiny.config("gpt_oss"), "layer_types": ["full_attention"]})
    with pytest.raises(ArgumentError, match="text_config"):
        anatomy({"model_type": "kimi_k25", "text_config": 3})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("hidden_size", None, "has no hidden_size.*above 0.*got: None"),
        ("hidden_size", "4096", "hidden_size is no size.*above 0.*got: '4096'.*cure: "),
        ("num_hidden_layers", True, "num_hidden_layers is no size.*got: True"),
        ("max_position_embeddings", -5, "max_position_embeddings is no size.*above 0.*got: -5.*cure: "),
        ("tie_word_embeddings", "no", "tie_word_embeddings is neither.*true or false.*got: 'no'"),
        ("quantization", [4], r"quantization is of another kind.*bits.*got: \[4\].*cure: "),
        ("quantization_config", [1], r"quantization_config is of another kind.*got: \[1\]"),
        ("text_config", [3], r"text_config is of another kind.*got: \[3\]"),
        ("model_type", 3, "model_type is of another kind.*architecture.*got: 3"),
    ],
)
def test_a_field_of_another_kind_is_one_clear_error(field: str, value: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"(?s){said}"):
        anatomy({**tiny.config("llama"), field: value})


def test_layers_of_a_kind_are_one_object() -> None:
    found = anatomy(tiny.config("deepseek_v3"))
    assert [places for _, places in found.kinds()] == [[0], [1, 2, 3, 4]]
    assert found.layers[1] is found.layers[4]
    # Layer 2 is packed in another way.
    how = Quantization(special={"model.layers.2.self_attn.o_proj": None})
    assert weight_bytes(found, how) == weight_bytes(found)
