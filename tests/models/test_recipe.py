"""The teaching model's recipe: what is read, how it learns, and that mlx-lm runs what was trained."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs

RECIPE = Path(__file__).parents[2] / "data" / "models" / "austen" / "recipe"
SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
SETTINGS = {
    "seed": 1,
    "sizes": SMALL,
    "dropout": 0.1,
    "lr": 5e-3,
    "weight_decay": 0.1,
    "dtype": "float32",
    "epochs": 2,
    "minutes": 1,
    "length": 16,
    "batch": 8,
    "warmup": 5,
    "every": 31,
    "stop_above": 1.0,
}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(RECIPE))
    return {name: importlib.import_module(name) for name in ("network", "pace", "prepare", "text", "train")}


def test_an_epoch_reads_every_window_once(recipe: dict[str, ModuleType]) -> None:
    """Windows begin a length apart, in another order: their tokens, but the last of each, all differ."""
    tokens = np.arange(16 * 24 + 16)
    batches = recipe["pace"].windows(tokens, length=16, batch=8, seed=3)
    epoch = np.concatenate([next(batches) for _ in range(3)])
    assert len(np.unique(epoch[:, :-1])) == epoch[:, :-1].size
    assert (np.diff(epoch, axis=1) == 1).all()
    assert not (np.diff(epoch[:, 0]) == 16).all()


def test_held_out_windows_predict_each_token_once(recipe: dict[str, ModuleType]) -> None:
    windows = recipe["network"].held_out_windows(np.arange(50), 16)
    assert windows[:, 1:].ravel().tolist() == list(range(1, 49))


def test_the_rate_rises_and_falls(recipe: dict[str, ModuleType]) -> None:
    rates = [recipe["pace"].schedule(step, 100, 10) for step in range(101)]
    assert rates.index(1.0) == 9
    assert rates[100] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_training_learns_and_mlx_lm_runs_it(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    """A sequence that repeats is learned in seconds; the weights load into mlx-lm's class by their names."""
    tokens = np.tile(np.arange(32, dtype=np.uint16), 128)
    weights, lines = _train(recipe, tmp_path, tokens, tokens[:129])
    assert lines[-1]["step"] == lines[-1]["of"] == 62
    assert lines[-1]["held_out_loss"] < 0.5  # of 64 tokens drawn blindly: log(64), 4.2

    config = {**recipe["network"].SIZES, **SMALL, "vocab_size": 64}
    plain, trainable = Model(ModelArgs.from_dict(config)), recipe["network"].build(config, dropout=0.1).eval()
    plain.load_weights(tree_flatten(weights))
    trainable.load_weights(tree_flatten(weights))
    ids = mx.array(tokens[None, :20].astype(np.int32))
    assert mx.array_equal(plain(ids), trainable(ids))


def test_the_best_weights_are_kept(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    """What is learned forwards makes the same text backwards less and less likely."""
    tokens = np.tile(np.arange(32, dtype=np.uint16), 128)
    weights, lines = _train(recipe, tmp_path, tokens, tokens[128::-1], epochs=0.7, every=4, stop_above=9)
    losses = [line["held_out_loss"] for line in lines]
    assert losses[-1] > min(losses) + 0.1
    model = recipe["network"].build({**recipe["network"].SIZES, **SMALL, "vocab_size": 64})
    model.load_weights(tree_flatten(weights))
    found = recipe["network"].held_out_loss(model.eval(), tokens[128::-1], SETTINGS["length"])
    assert found == pytest.approx(min(losses), rel=1e-4)


def _train(
    recipe: dict[str, ModuleType], folder: Path, tokens: np.ndarray, held_out: np.ndarray, **changes: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The weights and the log of a training on `tokens`, ids under 64."""
    for name, part in (("train", tokens), ("heldout", held_out)):
        np.save(folder / f"{name}.npy", part)
    (folder / "data.json").write_text(json.dumps({"vocabulary": 64}))
    lines: list[dict[str, Any]] = []
    settings = {**SETTINGS, **changes, "data": str(folder)}
    weights = recipe["train"].train(settings, mx.distributed.init(), lambda line, best: lines.append(line))
    return weights, lines


def test_chapters_are_cleaned_and_the_last_are_held_out(recipe: dict[str, ModuleType]) -> None:
    lines = [
        *("NORTHANGER ABBEY", "", "by", "", "CHAPTER 1", "", "", "No _one_", "who  had", "", "Mr Allen"),
        *("", "CHAPTER 2", "", "[End volume one.", "  Printed]", "", "was.", "", "THE END", "", "Notes"),
    ]
    assert list(recipe["text"]._chapters(lines)) == ["No one who had\n\nMr. Allen", "was."]
    train, held_out = recipe["prepare"].split({"A": ["x" * 60, "y" * 50, "z" * 4], "B": ["u" * 90, "v" * 9]})
    assert (train, held_out) == (["x" * 60, "y" * 50, "u" * 90], ["z" * 4, "v" * 9])
