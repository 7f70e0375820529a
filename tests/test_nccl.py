"""The stored run on two GPUs: what the README says of it is what it says, and it was foretold before."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.speed import _rates
from tests.benchmarks.nccl.table import markdown

ROOT = Path(__file__).resolve().parents[1]


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "data" / "measurements" / name).read_text(encoding="utf-8"))
    return found


def test_the_readme_shows_the_stored_run() -> None:
    shown = re.search(
        r"<!-- nccl -->\n(.*?)\n<!-- /nccl -->", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert shown
    names = ("nccl.json", "nccl_predicted.json", "nccl_predicted_again.json")
    assert shown[1] == markdown(*map(stored, names))


def test_it_was_foretold_before_it_was_measured() -> None:
    run = stored("nccl.json")
    [second] = (later for parts, later in run["runs"].items() if parts.startswith("speed, 4bit"))
    for name, taken in (("nccl_predicted.json", run), ("nccl_predicted_again.json", second)):
        foretold, measured = (datetime.fromisoformat(each["taken"]) for each in (stored(name), taken))
        assert foretold < measured


def test_speeds_count_from_the_last_row_s_first_token() -> None:
    """Two rows; the second begins later, and what the first had by then is part of the prompts' time."""
    found = _rates([[1, 2, 3], [4, 5]], [[1.0, 2.0, 3.0], [2.0, 4.0]], None)
    assert found["first_token_s"] == 2.0
    assert found["decode_tokens_per_s"] == pytest.approx(2 / 2.0)
    assert (found["median_step_s"], found["slowest_step_s"]) == (1.0, 2.0)
    assert found["prefill_tokens_per_s"] == pytest.approx(2 * shapes.PROMPT_TOKENS / 2.0)


@pytest.mark.parametrize(("shape", "weights"), [("8B", 8.0e9), ("35B", 36.3e9), ("70B", 70.6e9)])
def test_the_models_have_as_many_weights_as_their_names_say(shape: str, weights: float) -> None:
    config = shapes.config(shape, "bf16")
    hidden, mlp, heads = (
        config[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")
    )
    attention = 2 * hidden * config["head_dim"] * (heads + config["num_key_value_heads"])
    layers = config["num_hidden_layers"] * (attention + 3 * hidden * mlp)
    assert layers + 2 * config["vocab_size"] * hidden == pytest.approx(weights, rel=0.01)


def test_a_prompt_has_its_length_and_each_is_another() -> None:
    prompts = [shapes.prompt(number) for number in range(8)]
    assert {len(prompt) for prompt in prompts} == {shapes.PROMPT_TOKENS}
    assert len(set(prompts)) == 8
