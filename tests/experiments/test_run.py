"""An experiment without a cluster: what may be given, what may be recorded, and how it ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import kernelkit as kk
from kernelkit.errors import ArgumentError
from kernelkit.experiments import Experiment, Figure
from kernelkit.generations import Generations
from tests.experiments import samples


def test_results_parameters_and_seeds() -> None:
    with kk.experiment("one", {"cluster": 4}, prompt="a", seed=3, data_seed=np.int64(4), rates=(1, 2)) as run:
        run.record("speed", np.float32(2.5), unit="tokens/s")
        run.record("times", np.array([1.0, 3.0, 2.0]), unit="s")
        run.record("answer", samples.generation([1, 2], temp=0.5, seed=9))
        run.record("batch", Generations((samples.generation([1]), samples.generation([2])), 1.0))
    record = run.finished
    assert record.parameters == {"cluster": 4, "prompt": "a", "seed": 3, "data_seed": 4, "rates": [1, 2]}
    assert record.seeds == {"seed": 3, "data_seed": 4, "answer": 9}  # of greedy texts none plays a part
    assert record.figures == (Figure("speed", (2.5,), "tokens/s"), Figure("times", (1.0, 3.0, 2.0), "s"))
    assert [text.name for text in record.texts] == ["answer", "batch 0", "batch 1"]
    assert [text.model for text in record.texts] == [None] * 3
    assert (record.places, record.models, record.links, record.error) == ((), (), None, "")
    assert record.versions["kernelkit"].startswith(kk.__version__)
    assert record.began <= record.ended
    assert Experiment.from_dict(record.to_dict()) == record


def test_what_breaks_off_is_recorded_and_raised() -> None:
    with pytest.raises(ZeroDivisionError), kk.experiment("one") as run:  # noqa: PT012
        run.record("before", 1, unit="s")
        _ = 1 / 0
    assert run.finished.error == "ZeroDivisionError: division by zero"
    assert run.finished.figure("before").values == (1.0,)
    assert "It broke off: ZeroDivisionError" in repr(run.finished)


@pytest.mark.parametrize("value", [math.nan, {1, 2}, object(), b"x", {"a": math.inf}])
def test_parameters_are_json_like(value: Any) -> None:
    with pytest.raises(ArgumentError, match="the parameter odd cannot be recorded"):
        kk.experiment("one", odd=value)


@pytest.mark.parametrize("name", ["", " ", "a\nb", None, 3])
def test_an_experiment_needs_a_name(name: Any) -> None:
    with pytest.raises(ArgumentError, match="an experiment needs a name"):
        kk.experiment(name)


@pytest.mark.parametrize(
    ("result", "unit", "words"),
    [
        (1.0, None, "speed has no unit"),
        (1.0, "", "speed has no unit"),
        (math.nan, "s", "speed is no result"),
        (True, "s", "speed is no result"),
        ("fast", "s", "speed is no result"),
        ([], "s", "speed is no result"),
        ([1.0, None], "s", "speed is no result"),
        (samples.generation([1]), "tokens", "speed is a text, which has no unit"),
    ],
)
def test_results_are_numbers_with_units_or_texts(result: Any, unit: Any, words: str) -> None:
    run = kk.experiment("one")
    with pytest.raises(ArgumentError, match=words):
        run.record("speed", result, unit=unit)
    assert run.end().figures == ()


def test_a_name_is_taken_once_and_an_end_is_the_end() -> None:
    run = kk.experiment("one")
    run.record("x", 1, unit="s")
    with pytest.raises(ArgumentError, match="the result x was recorded before"):
        run.record("x", samples.generation([1]))
    with pytest.raises(ArgumentError, match="has not ended yet"):
        _ = run.finished
    assert run.end() == run.finished
    for again in (run.end, lambda: run.record("y", 1, unit="s")):
        with pytest.raises(ArgumentError, match="the experiment one has ended"):
            again()


def test_what_is_no_cluster_and_no_dictionary() -> None:
    with pytest.raises(ArgumentError, match="this is no cluster"):
        kk.experiment("one", cluster=4)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="parameters are given by name"):
        kk.experiment("one", 4)  # type: ignore[arg-type]
