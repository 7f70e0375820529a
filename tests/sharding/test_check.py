"""The result of a check as plain data: coverage, tolerance, verdicts, words and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.sharding.check import Coverage, LayerDifference, ModelCheck, PromptCheck
from kernelkit.sharding.coverage import cover
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.sharding.tolerance import rounding_tolerance

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 95,
    "tie_word_embeddings": False,
}
PROMPT = PromptCheck("short", 5, 4, None, 0, False, 1e-6, 3, 2.0, 1e-5, 1e-7, 1e-6, 0.0, True)
WHOLE = Coverage(3, 1, 100, 100)
CHECK = ModelCheck("m", "llama", "tensor", 2, "float32", WHOLE, (PROMPT,), 1.5, 1000)


def _stored() -> list[dict[str, Any]]:
    return [
        {"path": p.path, "shape": list(p.shape), "dtype": p.dtype, "size_bytes": p.pieces[0].size_bytes}
        for p in planned_shards(CONFIG, 1).parameters
    ]


def _shards(size: int = 2, strategy: Any = "tensor", **options: Any) -> ShardMap:
    return planned_shards(CONFIG, size, strategy, **options)


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_every_cut_of_a_whole_model_covers_it(size: int, strategy: str) -> None:
    coverage = cover(_shards(size, strategy), _stored(), size)
    assert coverage
    assert coverage.layers == 4
    assert coverage.held_bytes == coverage.file_bytes + coverage.padding_bytes + coverage.copy_bytes
    assert (coverage.padding_bytes > 0) == (strategy == "tensor" and size == 3)


def test_uneven_shares_and_repeated_heads_cover_it_too() -> None:
    coverage = cover(_shards(2, split=(3, 1)), _stored(), 2)
    assert coverage, coverage.problems
    assert coverage.copy_bytes > 0


def _without(shards: ShardMap, path: str) -> ShardMap:
    return replace(shards, parameters=tuple(p for p in shards.parameters if p.path != path))


def _changed(shards: ShardMap, path: str, /, **changes: Any) -> ShardMap:
    return replace(
        shards, parameters=tuple(replace(p, **changes) if p.path == path else p for p in shards.parameters)
    )


def test_what_is_missing_wrong_or_too_much_is_named() -> None:
    path, shards = "model.layers.1.self_attn.o_proj.weight", _shards()
    pieces = next(p for p in shards.parameters if p.path == path).pieces
    cases = [
        (_without(shards, path), f"not on any rank: {path}"),
        (
            _changed(shards, path, path="model.layers.1.extra.weight"),
            "not in the files: model.layers.1.extra",
        ),
        (_changed(shards, path, dtype="float16"), f"float16 in place of bfloat16: {path}"),
        (_changed(shards, path, shape=(64, 32)), f"of another shape than in the files: {path}"),
        (_changed(shards, path, pieces=pieces[:1]), f"cut into pieces that make 32 of 64: {path}"),
        (_changed(shards, path, cut="replicated", axis=None), f"there in part only: {path}"),
        (_changed(shards, "model.norm.weight", pieces=pieces[:1]), "on 1 of 2 ranks: model.norm.weight"),
    ]
    for damaged, words in cases:
        coverage = cover(damaged, _stored(), 2)
        assert not coverage
        assert words in str(coverage)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [(((2, 4), (0, 1)), "layer 1 runs on 0 ranks"), (((1, 4), (0, 2)), "layer 1 runs on 2 ranks")],
)
def test_layers_that_no_rank_or_several_run(ranges: Any, words: str) -> None:
    assert words in str(cover(replace(_shards(2, "pipeline"), layer_ranges=ranges), _stored(), 2))


# --- tolerance -----------------------------------------------------------------------------------


def _tolerance(**changes: Any) -> Any:
    sizes = {"layers": 30, "ranks": 2, "reduced": 150_000, "tokens": 2100, "compared": 10**8}
    return rounding_tolerance(**{"dtype": "float32", **sizes, **changes})


def test_tolerance_grows_with_what_rounds() -> None:
    base = _tolerance()
    for change in (
        {"layers": 60},
        {"ranks": 4},
        {"reduced": 300_000},
        {"tokens": 8000},
        {"dtype": "float16"},
    ):
        assert _tolerance(**change).largest > base.largest
        assert _tolerance(**change).mean > base.mean
    assert _tolerance(compared=10**9).largest > base.largest
    assert _tolerance(compared=10**9).mean == base.mean
    # Four times the additions err twice as much where nothing else rounds.
    assert _tolerance(layers=0, reduced=4 * 10**9).mean == pytest.approx(
        2 * _tolerance(layers=0, reduced=10**9).mean, rel=1e-6
    )


def test_tolerance_is_far_from_what_an_error_makes() -> None:
    assert _tolerance().largest < 1e-3
    assert _tolerance(dtype="bfloat16").mean < 0.2


# --- verdicts and words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, True),
        ({"max_difference": 1e-4}, False),
        ({"max_difference": None}, False),
        ({"mean_difference": 1e-5}, False),
        ({"ranks_difference": 1e-4}, False),
        ({"ranks_agree": False}, False),
        ({"differs_at": 1, "differences": 1, "only_ties": True}, True),
        ({"differs_at": 1, "differences": 1}, False),
    ],
)
def test_verdict(changes: dict[str, Any], verdict: bool) -> None:
    check = replace(CHECK, prompts=(PROMPT, replace(PROMPT, **changes)))
    assert bool(check) is verdict
    assert ("NOT equal" in repr(check)) is not verdict


@pytest.mark.parametrize("difference", [1e-6, 1.0])
def test_the_verdict_stands_first_and_bold(difference: float) -> None:
    check = replace(CHECK, model="<m>", prompts=(replace(PROMPT, max_difference=difference),))
    verdict = "equal to" if difference < 1 else "NOT equal to"
    title = f"&lt;m&gt;, tensor parallel over 2 ranks in float32: {verdict} the unsharded model"
    html = check._repr_mimebundle_()["text/html"]
    assert html.partition(">")[2].startswith(f"<b>{title}</b>")


def test_nothing_compared_is_not_equal() -> None:
    assert not replace(CHECK, prompts=())
    assert not replace(CHECK, coverage=replace(WHOLE, problems=("gone",)))


def test_words_name_what_differs() -> None:
    layer = LayerDifference(3, "layer 3", 0.5, 1e-6, (0, 1))
    prompt = replace(PROMPT, max_difference=2.0, differs_at=1, differences=2, layer=layer, note="shorter")
    text = repr(replace(CHECK, prompts=(prompt,)))
    assert "the 2nd differs and 1 more" in text
    assert "short: shorter." in text
    assert "hidden states on ranks 0, 1 differ by 0.5 of their norm from layer 3 on" in text
    assert "largest difference is at position 3" in text
    html = replace(CHECK, prompts=(prompt,))._repr_mimebundle_()["text/html"]
    assert "<table " in html
    assert "from layer 3 on" in html
    tie = replace(PROMPT, differs_at=0, differences=1, only_ties=True)
    assert "equal but for 1 tie" in repr(replace(CHECK, prompts=(tie,)))


def test_a_check_survives_json(tmp_path: Path) -> None:
    layer = LayerDifference(None, "the embeddings", None, 1e-6, (1,))
    check = replace(CHECK, prompts=(replace(PROMPT, max_difference=None, layer=layer),))
    assert ModelCheck.from_dict(json.loads(json.dumps(check.to_dict()))) == check
    check.save(tmp_path / "check.json")
    assert ModelCheck.load(tmp_path / "check.json") == check


@pytest.mark.parametrize(
    "changes",
    [{"kernelkit_check": 2}, {"world_size": 0}, {"elapsed_s": "1"}, {"extra": 1}, {"prompts": [{}]}],
)
def test_other_data_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        ModelCheck.from_dict({**json.loads(json.dumps(CHECK.to_dict())), **changes})
