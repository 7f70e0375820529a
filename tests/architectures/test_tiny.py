"""The tiny models themselves: none is missing, and what is in a folder is the model that was built."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx_lm.models
import numpy as np
import pytest
from mlx.utils import tree_map
from mlx_lm.utils import load_model

from tests.architectures import forward, tiny
from tests.architectures.verdict import TOLERANCE, difference


def test_names_are_the_modules_that_mlx_lm_can_load_a_model_of() -> None:
    modules = {path.stem for path in Path(mlx_lm.models.__path__[0]).glob("*.py")}
    helpers = modules - set(tiny.names())
    assert {"base", "cache", "pipeline", "rope_utils", "switch_layers"} <= helpers
    assert not any("class Model(" in _source(helper) for helper in helpers)


def _source(module: str) -> str:
    return (Path(mlx_lm.models.__path__[0]) / f"{module}.py").read_text(encoding="utf-8")


# Their `sanitize` turns, splits or renames what a published file has.
@pytest.mark.parametrize("name", ["gpt2", "dbrx", "falcon_h1", "longcat_flash", "prism_hadamard_qwen35"])
def test_the_folder_holds_the_model_that_was_built(tmp_path: Path, name: str) -> None:
    built, _ = tiny.create(name, tiny.config(name))
    loaded, _ = load_model(tiny.build(tmp_path / name, name))
    prompt = mx.array([[5, 60, 33, 8, 71, 8, 0, 94]])
    np.testing.assert_array_equal(np.array(loaded(prompt)), np.array(built(prompt)))


def test_it_is_the_same_at_every_call(tmp_path: Path) -> None:
    first, again = (tiny.build(tmp_path / folder, "llama") / "model.safetensors" for folder in "ab")
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", ["llama", "qwen3_next", "gemma3n", "deepseek_v41"])
def test_every_layer_matters(name: str) -> None:
    """Far more than the tolerance: a layer that is lost or out of place is seen."""
    model, _ = tiny.create(name, tiny.config(name))
    prompt = mx.array([forward.PROMPT])
    before = np.array(model(prompt))
    for layer in model.layers:
        parameters = layer.parameters()
        layer.update(tree_map(lambda value: value[::-1] if value.ndim > 1 else value, parameters))
        assert difference(before, np.array(model(prompt))) > 100 * TOLERANCE
        layer.update(parameters)


def test_what_is_not_tiny_is_refused() -> None:
    settings = {**tiny.config("llama"), "intermediate_size": 10**6}
    with pytest.raises(ValueError, match="llama is not tiny"):
        tiny.create("llama", settings)
