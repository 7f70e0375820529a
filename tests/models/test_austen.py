"""The stored teaching model is what its card says, divides by 2 and 4, and writes the same on ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import kernelkit as kk

FOLDER = Path(__file__).parents[2] / "data" / "models" / "austen"
RECIPE = FOLDER / "recipe"
PROMPT = "It is a truth universally acknowledged, that"

LOSS = f"""
import sys
sys.path.insert(0, {str(RECIPE)!r})
import numpy as np
from network import held_out_loss
tokens = np.load({str(FOLDER / "heldout.npy")!r})[: windows * length + 1]
held_out_loss(model, tokens, length)
"""


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads((FOLDER / "results.json").read_text())


def test_the_folder_is_small() -> None:
    """What git keeps of it: 12 MB at most."""
    kept = [
        path for path in FOLDER.rglob("*") if path.is_file() and not {"build", "__pycache__"} & {*path.parts}
    ]
    assert sum(path.stat().st_size for path in kept) <= 12_000_000


def test_parameters_are_those_of_the_config(results: dict[str, Any]) -> None:
    whole = kk.planned_shards(FOLDER, 1)
    counted = sum(piece.size_bytes for parameter in whole.parameters for piece in parameter.pieces) // 2
    assert counted == results["parameters"]
    assert 8e6 <= counted <= 12e6


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("quantization", [None, {"bits": 8, "group_size": 64}])
def test_it_divides_without_padding(ranks: int, quantization: dict[str, int] | None) -> None:
    shards = kk.planned_shards(FOLDER, ranks, quantization=quantization)
    assert {piece.padding for parameter in shards.parameters for piece in parameter.pieces} == {0}
    cut = [parameter for parameter in shards.parameters if "_proj" in parameter.path]
    assert len({piece.size_bytes for piece in cut[0].pieces}) == 1
    assert len(cut[0].pieces) == ranks


def test_the_card_is_written_from_the_results(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(RECIPE))
    from card import card

    assert (FOLDER / "README.md").read_text(encoding="utf-8") == card(results)


def test_loss_and_greedy_text_on_ranks(results: dict[str, Any]) -> None:
    """On two ranks the loss of the card, from the stored ids; on one and on two the same tokens."""
    quick, length = results["quick"], results["held_out"]["window_tokens"]
    tokens = {}
    for ranks in (1, 2):
        with kk.connect(ranks) as cluster:
            model = cluster.load("austen")
            tokens[ranks] = model.generate(PROMPT, max_tokens=24).tokens
            if ranks == 2:
                cluster.push(windows=quick["windows"], length=length)
                done = cluster.run(LOSS)
                losses = [float(done[rank].value_repr) for rank in range(ranks)]
    assert tokens[1] == tokens[2]
    assert losses == pytest.approx([quick["nats_per_token"]] * 2, rel=0.01)
