"""A model is built from its files, or what is wrong with them is told."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm.models
import pytest

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.build import build, load_tokenizer
from kernelkit.rank.misfits import misfits
from tests.rank import tiny


def _edit(path: Path, **changes: Any) -> None:
    config = {**json.loads((path / "config.json").read_text()), **changes}
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_a_folder_may_have_brackets_in_its_name(tmp_path: Path) -> None:
    model, _ = build(tiny.build(tmp_path / "a[b] *?"))
    mx.eval(model.parameters())
    assert len(model.layers) == 4


def test_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = tiny.build(tmp_path)
    _edit(path, model_type="unheard_of")
    with pytest.raises(ModelNotFoundError, match="no architecture 'unheard_of'"):
        build(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "names no architecture"),
        ('{"model_type": 3}', "names no architecture"),
    ],
)
def test_a_config_that_is_none_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = tiny.build(tmp_path)
    (path / "config.json").write_text(text)
    with pytest.raises(ModelNotFoundError, match=words):
        build(path)


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"hidden_size": 32}, "download or convert"),  # others' weights
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "64"}, "hidden_size is '64', not a whole number"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, not a number above 0"),
        ({"num_key_value_heads": "x"}, "num_key_value_heads is 'x', not a whole number or null"),
        ({"quantization": {"bits": 4}}, "quantization has no group_size"),
        ({"quantization": 7}, "quantization is 7, not an object with bits and group_size"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(tmp_path: Path, changes: dict[str, Any], cure: str) -> None:
    path = tiny.build(tmp_path)
    _edit(path, **changes)
    with pytest.raises(ModelNotFoundError, match="do not make a model") as caught:
        build(path)
    assert cure in caught.value.cure


def test_every_architectures_fields_can_be_asked_about() -> None:
    known = [module.name for module in pkgutil.iter_modules(mlx_lm.models.__path__)]
    asked = 0
    for name in known:
        try:
            module = importlib.import_module(f"mlx_lm.models.{name}")
        except (ImportError, SystemExit):
            continue  # it needs a package that is not here
        if hasattr(module, "ModelArgs"):
            assert not [words for words in misfits({}, module.ModelArgs) if not words.endswith("is missing")]
            asked += 1
    assert asked > 100


def test_a_tokenizer_that_is_none_is_told(tmp_path: Path) -> None:
    path = tiny.build(tmp_path)
    (path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        load_tokenizer(path, {})
