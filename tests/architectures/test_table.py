"""The stored table is of the installed mlx-lm, whole, and nothing in it is wrong; and a sample of it live."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.architectures import reference, table, tiny
from tests.architectures.harness import Harness
from tests.architectures.verdict import TOLERANCE, compare, difference
from tests.cluster.conftest import without_pytests_mark

# Of different kinds: windows; experts; latent attention; a mix with linear attention; states; shared caches.
SAMPLE = ("llama", "qwen3_moe", "deepseek_v3", "qwen3_next", "mamba2", "gemma4_text")


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return table.read()


def test_it_covers_exactly_the_architectures_of_the_installed_mlx_lm(stored: dict[str, Any]) -> None:
    assert stored["versions"]["mlx-lm"] == metadata.version("mlx-lm")
    assert sorted(stored["architectures"]) == list(tiny.names()), "run `make architectures-run`"


def test_every_case_was_tried_and_none_is_wrong(stored: dict[str, Any]) -> None:
    for name, found in stored["architectures"].items():
        if "does_not_load" in found:
            continue
        for strategy in table.STRATEGIES:
            cases = found[strategy]
            assert sorted(cases) == [str(ranks) for ranks in table.RANKS], name
            assert all(case["reason"] for case in cases.values() if case["verdict"] == "refused"), name
            assert table.worst(cases) != "wrong", name
    assert stored["counts"] == table.counts(stored)


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with without_pytests_mark():
        harness = Harness(2)
        yield harness
        harness.close()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_gives_the_stored_verdict(
    tmp_path: Path, stored: dict[str, Any], harness: Harness, name: str
) -> None:
    whole = reference.make(tmp_path / name, name)
    for strategy in table.STRATEGIES:
        found = harness.run(whole, strategy)
        assert found.verdict == stored["architectures"][name][strategy]["2"]["verdict"], found


def test_what_is_wrong_is_seen_and_harms_no_later_case(tmp_path: Path, harness: Harness) -> None:
    whole = reference.make(tmp_path / "qwen2", "qwen2")
    answers = {**whole.answers, "cached": whole.answers["cached"] * (1 + 2 * TOLERANCE)}
    found = harness.run(replace(whole, answers=answers), "tensor")
    assert found.verdict == "wrong"
    assert found.reason.startswith("cached logits differ by 0.002 on rank 0")
    assert harness.run(replace(whole, generated=[0]), "tensor").reason.startswith("generated [")
    assert harness.run(whole, "tensor").verdict == "equal"


def test_what_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hf_olmo", None)  # as if it were not installed, if it is
    with pytest.raises(reference.NotLoadableError, match="pip install ai2-olmo"):
        reference.make(tmp_path / "olmo", "olmo")


def test_every_rank_is_compared_and_every_part() -> None:
    rows = np.linspace(-4, 2, 12, dtype=np.float32).reshape(3, 4)
    expected = {"whole": rows, "cached": rows[:2], "tokens": [1, 2]}
    assert compare(expected, {0: expected, 1: expected}).verdict == "equal"
    moved = rows + np.float32(0.04) * (rows == rows.max())
    for part in ({"whole": moved}, {"cached": moved[1:]}, {"tokens": [2, 1]}, {"whole": rows[:2]}):
        assert compare(expected, {0: expected, 1: {**expected, **part}}).verdict == "wrong", part
    assert difference(rows, moved) == pytest.approx(0.01, rel=1e-3)
    assert difference(rows, np.where(rows > 1, np.nan, rows)) == float("inf")
    # Tokens that a model silences are silent on all ranks.
    silenced = np.where(rows > 1, -np.inf, rows)
    assert difference(silenced, silenced) == 0


def test_the_table_adds_up_by_the_worst_of_the_cases() -> None:
    known = table.empty()
    equal, refused = (
        {"verdict": "equal", "difference": 1e-6},
        {"verdict": "refused", "reason": "too few layers"},
    )
    table.add(known, "a", {"tensor": {"2": equal, "3": refused}})
    table.add(known, "a", {"tensor": {"3": equal}, "pipeline": {"2": equal, "3": refused}})
    table.add(known, "b", {"does_not_load": "no kernel"})
    counted = table.counts(known)
    assert counted["tensor"]["all"] == {"equal": 1, "refused": 0, "wrong": 0, "does not load": 1}
    assert counted["pipeline"]["all"] == {"equal": 0, "refused": 1, "wrong": 0, "does not load": 1}
    assert counted["pipeline"]["2"] == {"equal": 1, "refused": 0, "wrong": 0, "does not load": 1}
    shown = table.plain(known)
    assert "too few layers" in shown
    assert "does not load: no kernel" in shown
