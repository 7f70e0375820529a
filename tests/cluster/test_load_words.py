"""What `cluster.load` refuses: each by one clear error, with the cluster as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import ArgumentError, KernelkitError, ModelNotFoundError
from tests.rank import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.build(tmp_path / "model")


def test_a_path_is_a_name(cluster: Cluster, folder: Path) -> None:
    assert cluster.load(folder).name == str(folder)


@pytest.mark.parametrize("name", [None, b"smollm2", 5])
def test_what_is_no_name(cluster: Cluster, name: Any) -> None:
    with pytest.raises(ArgumentError, match="names no model"):
        cluster.load(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": 5}, "no split"),
        ({"split": "2,1"}, "no split"),
        ({"split": (1.5, 1)}, "cannot be"),
        ({"on_event": 3}, "no function"),
        ({"context": True}, "no such context"),
        ({"dtype": "float8"}, "no such dtype"),
        ({"dtype": None}, "no such dtype"),
        ({"stages": 2}, "has no stages"),
        ({"strategy": "hybrid", "stages": 2}, "4 ranks or more"),
    ],
)
def test_what_is_no_layout(cluster: Cluster, folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(KernelkitError, match=words):
        cluster.load(folder, **options)
    assert cluster.state == "idle"


def _config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_config_without_heads_makes_no_model(cluster: Cluster, folder: Path) -> None:
    _config(folder, num_attention_heads=0)
    with pytest.raises(ModelNotFoundError, match="do not make a model"):
        cluster.load(folder)


def test_an_index_that_names_no_files(cluster: Cluster, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": 3}}))
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        cluster.load(folder)


def test_a_parameter_too_many_is_named(cluster: Cluster, folder: Path) -> None:
    _config(folder, num_hidden_layers=3)
    with pytest.raises(ModelNotFoundError) as caught:
        cluster.load(folder)
    assert "layers.3" in caught.value.got


def test_rows_of_another_length_are_quantized_in_smaller_groups(cluster: Cluster, tmp_path: Path) -> None:
    sizes = {"hidden_size": 96, "intermediate_size": 224, "head_dim": 32, "num_attention_heads": 3}
    folder = tiny.build(tmp_path / "odd", num_key_value_heads=1, **sizes)
    model = cluster.load(folder, quantize=4)
    assert model.summaries[0]["quantization_in_memory"] == {"group_size": 32, "bits": 4, "mode": "affine"}
    assert "4-bit, float32" in repr(model)
    assert model.check(long=0, max_tokens=2)


@pytest.mark.parametrize(("strategy", "split"), [("tensor", None), ("pipeline", None), ("pipeline", (1, 3))])
def test_weights_are_in_the_dtype_that_was_asked_for(
    cluster: Cluster, folder: Path, strategy: Any, split: Any
) -> None:
    """Here a CPU would compute in 32 bits; `check` holds it against an unsharded model in the same 16."""
    model = cluster.load(folder, strategy, split=split, dtype="bfloat16")
    cluster.run("from mlx.utils import tree_flatten")
    cluster.run("found = sorted({str(v.dtype) for _, v in tree_flatten(model.parameters())})")
    assert list(cluster["found"].values()) == [["mlx.core.bfloat16"]] * 2
    check = model.check(long=0, max_tokens=2)
    assert check, repr(check)
    assert "in bfloat16" in repr(check)


def test_a_dtype_comes_again_with_a_recovery(cluster: Cluster, folder: Path) -> None:
    cluster.load(folder, dtype="float16")
    cluster.recover()
    assert cluster.model is not None
    assert cluster.model.layout.dtype == "float16"
    assert cluster.model.summaries[1]["dtype"] == "float16"


def test_rows_that_no_group_divides_are_told(cluster: Cluster, tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "odd", hidden_size=80, head_dim=32, intermediate_size=128)
    assert "not quantized: " in repr(cluster.load(folder, quantize=8))


def test_a_rank_with_heads_of_zeros_alone_is_told(cluster: Cluster, folder: Path) -> None:
    model = cluster.load(folder, quantize=8, split=(3, 1))
    told = "heads of zeros alone" in repr(model)
    start = model.shards.heads_of(1)
    assert start is not None
    assert told == (start[0] == start[1])
