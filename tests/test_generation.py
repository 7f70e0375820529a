"""A generation as data: it survives JSON, foreign data is one clear error, its figures are what they say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError
from kernelkit.generation import Generation

SECONDS = st.floats(0, 1e6, allow_nan=False)

GENERATION = Generation(
    text="Paris.",
    tokens=[3, 1, 4],
    prompt_tokens=31,
    prompt_tokens_per_s=25.8,
    tokens_per_s=20.0,
    peak_memory_bytes=(352_000_000, 351_000_000),
    finish_reason="stop",
    seed=7,
    token_times_s=(1.2, 1.25, 1.3),
    elapsed_s=(1.31, 1.4),
)


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    tokens = draw(st.lists(st.integers(0, 200_000), max_size=20))
    times_s = draw(st.lists(SECONDS, min_size=len(tokens), max_size=len(tokens)))
    size = draw(st.integers(1, 4))
    per_rank = st.lists(SECONDS, min_size=size, max_size=size)
    return Generation(
        text=draw(st.text()),
        tokens=tokens,
        prompt_tokens=draw(st.integers(0, 1000)),
        prompt_tokens_per_s=draw(SECONDS),
        tokens_per_s=draw(SECONDS),
        peak_memory_bytes=tuple(draw(st.lists(st.integers(0, 10**13), min_size=size, max_size=size))),
        finish_reason=draw(st.sampled_from(["stop", "length", "stopped"])),
        seed=draw(st.integers(0, 2**63)),
        temp=draw(SECONDS),
        token_times_s=tuple(sorted(times_s)) if draw(st.booleans()) else (),
        elapsed_s=tuple(draw(per_rank)),
        communication_s=tuple(draw(per_rank)) if draw(st.booleans()) else (),
    )


@given(generations())
def test_it_survives_json(generation: Generation) -> None:
    assert Generation.from_dict(json.loads(json.dumps(generation.to_dict()))) == generation


def test_it_survives_a_file(tmp_path: Path) -> None:
    GENERATION.save(tmp_path / "answer.json")
    assert Generation.load(tmp_path / "answer.json") == GENERATION


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be written"):
        GENERATION.save(tmp_path / "no" / "answer.json")
    with pytest.raises(ArgumentError, match=r"cannot be read"):
        Generation.load(tmp_path / "no" / "answer.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_foreign_data_is_refused(data: Any) -> None:
    with pytest.raises(ArgumentError, match="this is no generation"):
        Generation.from_dict(data)


@given(st.sampled_from(sorted(GENERATION.to_dict())), JSON)
def test_a_field_of_another_kind_is_read_or_refused(name: str, value: Any) -> None:
    try:
        read = Generation.from_dict({**GENERATION.to_dict(), name: value})
    except ArgumentError:
        return
    assert Generation.from_dict(json.loads(json.dumps(read.to_dict()))).tokens == read.tokens


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": 1}, "more"),
        ({"kernelkit_generation": 99}, "99"),
        ({"token_times_s": [1.0, 2.0]}, "one for each"),
        ({"token_times_s": [1.0, 3.0, 2.0]}, "ascending"),
        ({"token_times_s": [1.0, 2.0, math.inf]}, "not finite"),
        ({"communication_s": [math.nan, 1.0]}, "not finite"),
        ({"tokens_per_s": -1}, "negative"),
        ({"communication_s": [0.1]}, "of 2 ranks"),
        ({"prompt_tokens": "many"}, "many"),
    ],
)
def test_fields_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Generation.from_dict({**GENERATION.to_dict(), **changes})


def test_a_file_of_an_earlier_version_is_read() -> None:
    data = GENERATION.to_dict()
    del data["cached_tokens"]
    assert Generation.from_dict(data) == GENERATION


@pytest.mark.parametrize("name", sorted({*GENERATION.to_dict()} - {"cached_tokens", "timeline"}))
def test_a_field_that_is_missing(name: str) -> None:
    data = GENERATION.to_dict()
    del data[name]
    with pytest.raises(ArgumentError):
        Generation.from_dict(data)


def test_the_summary_says_speeds_memory_and_the_first_token() -> None:
    assert GENERATION.summary == (
        "prompt 31 tokens, 25.8 tokens/s, first token after 1.2 s; "
        "generated 3 tokens, 20 tokens/s (end of text)\n"
        "peak memory per rank: 352 MB, 351 MB"
    )
    assert repr(GENERATION) == f"Paris.\n\n{GENERATION.summary}"


def test_a_recorded_one_says_the_share_of_each_rank() -> None:
    recorded = replace(GENERATION, communication_s=(0.655, 0.35), temp=0.5)
    assert recorded.communication_share == (0.5, 0.25)
    assert recorded.summary.splitlines()[1:] == [
        "peak memory per rank: 352 MB, 351 MB; seed 7",
        "time in communication per rank: 50%, 25%",
    ]


def test_without_times_nothing_is_made_up() -> None:
    untimed = replace(GENERATION, token_times_s=(), elapsed_s=())
    assert math.isnan(untimed.time_to_first_token_s)
    assert "first token" not in untimed.summary
    assert untimed.communication_share == ()
    assert Generation.from_dict(untimed.to_dict()) == untimed


def test_one_token_has_no_plural_and_no_rate() -> None:
    one = replace(GENERATION, tokens=[3], token_times_s=(), tokens_per_s=0.0)
    assert "generated 1 token (end of text)" in one.summary
