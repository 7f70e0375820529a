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
from tests.benchmarks.nccl.trace import facts

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


def test_a_trace_tells_what_a_token_is_made_of() -> None:
    """Two tokens of 100 µs: products of 30 µs, an all_sum of 10 after a gap of 20, then 40 without work."""
    events: list[dict[str, Any]] = [{"cat": "cpu_op", "name": "other", "ts": 0, "dur": 500}]
    for begins_us in (1000, 1100):
        events += [
            {"cat": "kernel", "name": "gemv", "ts": begins_us, "dur": 30},
            {"cat": "kernel", "name": "ncclDevKernel_AllReduce", "ts": begins_us + 50, "dur": 10},
            {"cat": "cuda_runtime", "name": "cudaGraphLaunch", "ts": begins_us, "dur": 5},
        ]
    found = facts(events, 100e-6)
    assert found["tokens"] == pytest.approx(1.6)
    assert found["busy_share"] == pytest.approx(80 / 160)
    assert found["long_gaps_us"] == pytest.approx((20 + 40 + 20) / 1.6)
    assert found["all_sum_us"] == {"least": 10, "median": 10, "p90": 10, "most": 10}
    assert [one["name"] for one in found["kernels"]] == ["gemv", "ncclDevKernel_AllReduce"]
    assert found["kernels"][0]["us_per_token"] == pytest.approx(60 / 1.6)
    assert found["host"][0]["us_each"] == 5


def test_kernels_that_run_side_by_side_keep_the_gpu_busy_once() -> None:
    times = ((0, 100), (10, 10), (100, 100))
    events = [{"cat": "kernel", "name": "gemv", "ts": ts, "dur": dur} for ts, dur in times]
    found = facts(events, 100e-6)
    assert (found["busy_share"], found["long_gaps_us"]) == (1, 0)
