"""A rank of a cut model reads its parts alone: the same numbers as cut from whole tensors, and few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.rank.boxes import before_reshape, reshaped, take, widths
from kernelkit.rank.load import Loaded, prepare, read
from kernelkit.rank.precision import parameters, weight_bytes
from kernelkit.rank.stored import stored
from tests.architectures import tiny as architectures
from tests.rank import tiny
from tests.rank.tiny import CountedGroup

# Factors of each of these in two ways, so that axes are joined, divided and made anew.
_SHAPES = [
    ((3, 4, 5), (12, 5)),
    ((2, 6), (4, 3)),
    ((6, 1, 4), (3, 2, 1, 4)),
    ((1, 8), (2, 2, 2, 1)),
    ((1,), ()),
]


def _prepared(path: Path, rank: int, ranks: int, **options: Any) -> Loaded:
    return prepare(path, strategy="tensor", group=CountedGroup(rank, ranks), **options)  # type: ignore[arg-type]


def _same(path: Path, ranks: int, **options: Any) -> list[dict[str, int]]:
    """What each rank has read, its parts being those that MLX cuts from whole tensors."""
    found = []
    for rank in range(ranks):
        cut_by_mlx = _prepared(path, rank, ranks, **options).model
        loaded = _prepared(path, rank, ranks, **options)
        read(loaded)
        expected, parts = dict(parameters(cut_by_mlx)), dict(parameters(loaded.model))
        assert parts.keys() == expected.keys()
        for name, value in expected.items():
            assert parts[name].dtype == value.dtype, name
            assert mx.array_equal(parts[name], value), name
        found.append(loaded.summary["read_bytes"])
    return found


@given(st.data())
def test_a_box_of_a_reshaped_array_comes_from_a_box_of_the_array(data: st.DataObject) -> None:
    pair = data.draw(st.sampled_from(_SHAPES))
    before, after = data.draw(st.permutations(pair))
    sides = [
        data.draw(st.tuples(*[st.integers(0, size)] * 2).filter(lambda s: s[0] != s[1])) for size in after
    ]
    box = tuple((min(side), max(side)) for side in sides)
    array = mx.arange(int(np.prod(before))).reshape(before)
    inner = before_reshape(before, after, box)
    part = reshaped(take(array, inner), before, after, box)
    assert mx.array_equal(part, take(array.reshape(after), box))
    if box[1:] == tuple((0, size) for size in after[1:]) and before[:1] == after[:1]:
        assert widths(inner)[0] == widths(box)[0]  # rows of rows


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32, mx.uint8, mx.bool_, mx.int64])
def test_a_part_of_a_tensor(tmp_path: Path, dtype: mx.Dtype) -> None:
    values = (mx.random.normal((6, 5, 4)) * 9).astype(dtype)
    # Three bytes before it, so that it lies at odd places.
    tensors = {"a": mx.zeros(3, mx.uint8), "b": values, "empty": mx.zeros((0, 2), dtype)}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), tensors)
    found = stored(tmp_path)
    part = found["b"].read(((1, 3), (0, 5), (2, 3)))
    assert part.dtype == dtype
    assert mx.array_equal(part, values[1:3, :, 2:3])
    assert found["empty"].read(((0, 0), (1, 2))).shape == (0, 1)


@pytest.mark.parametrize("name", ["deepseek_v3", "gpt_oss", "qwen3_5"])
@pytest.mark.parametrize(
    ("ranks", "options"),
    [(2, {}), (3, {"dtype": "bfloat16"}), (2, {"quantize": 4})],
    ids=["2", "3", "4 bits"],
)
def test_parts_are_what_is_cut_from_whole_tensors(
    tmp_path: Path, name: str, ranks: int, options: dict[str, Any]
) -> None:
    path = architectures.build(tmp_path, name)
    stored_bytes = sum(tensor.size_bytes for tensor in stored(path).values())
    found = _same(path, ranks, **options)
    assert all(rank["whole"] == 0 for rank in found)
    # Nothing twice. Where much is padded, the first ranks have all of the numbers and the last one zeros.
    assert max(rank["parts"] for rank in found) <= stored_bytes
    assert sum(rank["parts"] for rank in found) < 0.8 * ranks * stored_bytes


def test_a_rank_reads_the_bytes_that_it_owns(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, bits=4, dtype=mx.bfloat16)
    loaded = _prepared(path, 1, 2, dtype="keep")
    read(loaded)
    assert loaded.summary["read_bytes"] == {"parts": weight_bytes(loaded.model), "whole": 0}


@pytest.mark.parametrize("split", [None, [1, 2]], ids=["even", "uneven"])
def test_quantized_files_are_dequantized_in_parts(tmp_path: Path, split: list[int] | None) -> None:
    path = tiny.build(tmp_path, bits=8, num_attention_heads=6, num_key_value_heads=3, hidden_size=96)
    stored_bytes = sum(tensor.size_bytes for tensor in stored(path).values())
    for rank in _same(path, 2, split=split, dtype="float32"):
        assert rank["whole"] == 0
        assert rank["parts"] < 0.8 * stored_bytes


def test_experts_that_lie_one_by_one_in_the_file_are_read_in_parts(tmp_path: Path) -> None:
    path = architectures.build(tmp_path, "qwen3_moe")
    whole = mx.load(str(path / "model.safetensors"))
    apart: dict[str, mx.array] = {}
    for name, value in whole.items():
        base, found, leaf = name.partition("switch_mlp.")
        if found:
            apart.update({f"{base}experts.{index}.{leaf}": one for index, one in enumerate(value)})
        else:
            apart[name] = value
    assert len(apart) > len(whole)
    mx.save_safetensors(str(path / "model.safetensors"), apart)
    before = _same(architectures.build(tmp_path / "stacked", "qwen3_moe"), 2)
    assert _same(path, 2) == before


def test_what_mlx_cannot_tell_of_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_lm.models.llama import Model

    path = tiny.build(tmp_path)
    tensors = stored(path)
    into_form = Model.sanitize

    def sort_one(self: Any, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        name = "model.layers.1.mlp.up_proj.weight"
        return into_form(self, {**weights, name: mx.cumsum(mx.exp(weights[name]), axis=0)})

    def look(self: Any, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        assert mx.all(weights["model.norm.weight"] == weights["model.norm.weight"]).item()
        return into_form(self, weights)

    monkeypatch.setattr(Model, "sanitize", sort_one)
    for rank in _same(path, 2):
        assert rank["whole"] in (tensors["model.layers.1.mlp.up_proj.weight"].size_bytes, _all(tensors))
    monkeypatch.setattr(Model, "sanitize", look)
    assert _same(path, 2) == [{"parts": 0, "whole": _all(tensors)}] * 2


def _all(tensors: Any) -> int:
    return sum(tensor.size_bytes for tensor in tensors.values())
