"""Stops in the text, KV caches that are kept, limited or quantized, and batches: against plain generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.rank import caches
from kernelkit.rank.batch import generate_batch
from kernelkit.rank.endings import StopText
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import Loaded, load
from kernelkit.settings import Settings
from tests.rank import tiny
from tests.rank.tiny import CountedGroup, RingRun

USER, ASSISTANT = "user", "assistant"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    path = tiny.build(tmp_path_factory.mktemp("tiny"), head_dim=32)
    return load(path, strategy="tensor", group=CountedGroup(0, 1))  # type: ignore[arg-type]


def _generate(loaded: Loaded, prompt: Any = "hello", **options: Any) -> dict[str, Any]:
    return generate(loaded, prompt, **{"max_tokens": 16, "control": StopControl(), **options})


def _messages(*texts: str) -> list[dict[str, str]]:
    return [{"role": (USER, ASSISTANT)[i % 2], "content": text} for i, text in enumerate(texts)]


# --- texts to stop at ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("stops", "shown"),
    [
        ((), "abcabdabx"),
        (("abd",), "abc"),
        (("x",), "abcabdab"),
        (("abx", "abdab"), "abc"),
        (("nothing", "abxx"), "abcabdabx"),
    ],
)
def test_a_stop_is_found_across_any_borders(size: int, stops: tuple[str, ...], shown: str) -> None:
    text = "abcabdabx"
    ending = StopText(stops)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    out = "".join(ending.feed(piece, last=piece is pieces[-1]) for piece in pieces)
    assert out == shown
    assert ending.found == (shown != text)


def test_the_text_ends_before_a_stop(loaded: Loaded) -> None:
    whole = _generate(loaded)
    stop = whole["text"][5:8]  # a token per character
    told: list[str] = []
    cut = _generate(loaded, stop=["never", stop], on_text=told.append)
    at = whole["text"].index(stop)
    assert cut["text"] == "".join(told) == whole["text"][:at]
    assert cut["tokens"] == whole["tokens"][: at + 3]
    assert cut["finish_reason"] == "stop_text"
    # What only began like a stop is shown in the end.
    open_end = _generate(loaded, stop=whole["text"][-2:] + "never")
    assert (open_end["text"], open_end["finish_reason"]) == (whole["text"], "length")


# --- sampling --------------------------------------------------------------------------------------


def test_top_k_of_one_is_greedy_and_more_than_all_is_no_limit(loaded: Loaded) -> None:
    greedy = _generate(loaded)["tokens"]
    drawn = _generate(loaded, temp=1.0, seed=1)["tokens"]
    assert _generate(loaded, temp=1.0, seed=1, top_k=1)["tokens"] == greedy != drawn
    assert _generate(loaded, temp=1.0, seed=1, min_p=1.0)["tokens"] == greedy
    assert _generate(loaded, temp=1.0, seed=1, top_k=10_000)["tokens"] == drawn


def test_a_repetition_penalty_looks_back_as_far_as_it_is_told(loaded: Loaded) -> None:
    plain = _generate(loaded, max_tokens=60)["tokens"]
    strong = _generate(loaded, max_tokens=60, repetition_penalty=1e6, repetition_context_size=40)["tokens"]
    assert any(plain[at] in plain[:at] for at in range(40))
    assert all(strong[at] not in strong[max(0, at - 40) : at] for at in range(60))


# --- the cache of a chat ---------------------------------------------------------------------------


def _same_as_anew(loaded: Loaded, kept: caches.Kept, messages: Any, **options: Any) -> int:
    """Answer with the cache and without; how many tokens were kept."""
    result = _generate(loaded, messages, kept=kept, **options)
    anew = _generate(loaded, messages, **options)
    assert result["tokens"] == anew["tokens"]
    assert result["prompt_tokens"] == anew["prompt_tokens"]
    assert len(kept.tokens) == kept.layers[0].offset == result["prompt_tokens"] + len(result["tokens"])
    return int(result["cached_tokens"])


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.5}, {"kv_bits": 8, "kv_group_size": 32}])
def test_an_answer_with_a_cache_is_the_one_without(loaded: Loaded, options: dict[str, Any]) -> None:
    kept = caches.Kept()
    said = _messages("hi")
    assert _same_as_anew(loaded, kept, said, **options) == 0
    said = _messages("hi", _generate(loaded, said, **options)["text"], "more")
    first = len("[user]hi[assistant]") + 16
    assert _same_as_anew(loaded, kept, said, **options) == first
    # Taken back and said otherwise: what both have in common is kept.
    assert _same_as_anew(loaded, kept, [*said[:2], *_messages("mine")], **options) == first + len("[user]m")
    # The same again: one token is left to be read.
    assert _same_as_anew(loaded, kept, said[:1], **options) == len("[user]hi[assistant]") - 1
    assert _same_as_anew(loaded, kept, _messages("other"), **options) == len("[user]")


def test_a_cache_that_cannot_be_cut_is_used_only_to_go_on(loaded: Loaded) -> None:
    kept = caches.Kept()
    said = _messages("hi")
    text = _generate(loaded, said, kept=kept, can_trim=False)["text"]
    longer = _generate(loaded, _messages("hi", text, "more"), kept=kept, can_trim=False)
    assert longer["cached_tokens"] == len("[user]hi[assistant]") + 16
    assert _generate(loaded, said, kept=kept, can_trim=False)["cached_tokens"] == 0


def test_other_settings_of_the_cache_read_anew(loaded: Loaded) -> None:
    kept = caches.Kept()
    for options in ({}, {"max_kv_size": 12}, {"kv_bits": 4, "kv_group_size": 32, "quantized_kv_start": 0}):
        assert _generate(loaded, "hello", kept=kept, **options)["cached_tokens"] == 0
    # Full, a cache of limited size has let go of its beginning.
    limited = caches.Kept()
    _generate(loaded, "hello", kept=limited, max_kv_size=12)
    assert not limited.can_trim


@pytest.mark.parametrize(
    ("changes", "settings", "what"),
    [
        ({"head_dim": 16}, {"kv_bits": 4, "kv_group_size": 32}, "cannot be quantized to 4 bits"),
        ({"head_dim": 32}, {"kv_bits": 4, "kv_group_size": 64}, "cannot be quantized to 4 bits"),
        ({"head_dim": 32}, {"kv_bits": 4, "kv_group_size": 32}, ""),
        ({"head_dim": 32}, {"max_kv_size": 100}, ""),
    ],
)
def test_what_the_caches_cannot_do_is_refused_before(
    tmp_path: Path, changes: dict[str, Any], settings: dict[str, Any], what: str
) -> None:
    model = load(tiny.build(tmp_path, **changes), strategy="tensor", group=CountedGroup(0, 1)).model  # type: ignore[arg-type]
    if what:
        with pytest.raises(ArgumentError, match=what):
            caches.check(model, Settings(**settings))
    else:
        caches.check(model, Settings(**settings))


# --- a stop while the prompt is read ---------------------------------------------------------------


def test_a_stop_takes_effect_between_pieces_of_the_prompt(loaded: Loaded) -> None:
    control, kept = StopControl(), caches.Kept()
    told: list[int] = []

    def read(done: int, total: int) -> None:
        told.append(done)
        if done == 8:
            control.release(control.freeze())

    stopped = _generate(
        loaded, "x" * 50, control=control, kept=kept, raw=True, prefill_step_size=4, on_prompt=read
    )
    assert (stopped["finish_reason"], stopped["tokens"], stopped["text"]) == ("stopped", [], "")
    assert told == [0, 4, 8]
    assert len(kept.tokens) == kept.layers[0].offset == 8
    again = _generate(loaded, "x" * 50, kept=kept, raw=True)
    assert again["cached_tokens"] == 8
    assert again["tokens"] == _generate(loaded, "x" * 50, raw=True)["tokens"]


# --- batches ---------------------------------------------------------------------------------------


def test_a_batch_writes_what_single_prompts_write(loaded: Loaded) -> None:
    prompts = ["hello", "a much longer prompt than the others", "x"] * 4
    result = generate_batch(loaded, prompts, Settings(max_tokens=16), control=StopControl())
    for prompt, row in zip(prompts, result["rows"], strict=True):
        alone = _generate(loaded, prompt)
        for name in ("tokens", "text", "prompt_tokens", "finish_reason"):
            assert row[name] == alone[name]


def test_a_stop_ends_one_prompt_of_a_batch(loaded: Loaded) -> None:
    alone = [_generate(loaded, prompt)["text"] for prompt in ("hello", "x")]
    stop = alone[0][3:5]
    result = generate_batch(loaded, ["hello", "x"], Settings(max_tokens=16, stop=stop), control=StopControl())
    assert [row["text"] for row in result["rows"]] == [text.partition(stop)[0] for text in alone]


TWO = """
from kernelkit.rank.batch import generate_batch
from kernelkit.rank.caches import Kept
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import load
from kernelkit.settings import Settings
path, strategies = args
result = []
for strategy in strategies:
    loaded = load(Path(path), strategy=strategy, group=group)
    def run(prompt, **options):
        return generate(loaded, prompt, control=StopControl(), **{"max_tokens": 16, **options})
    prompts = ["hello", "a longer prompt than that", "x"]
    alone = [run(prompt)["tokens"] for prompt in prompts]
    rows = generate_batch(loaded, prompts, Settings(max_tokens=16), control=StopControl())["rows"]
    kept = Kept()
    said = [{"role": "user", "content": "hi"}]
    answer = run(said, kept=kept)["text"]
    said += [{"role": "assistant", "content": answer}, {"role": "user", "content": "more"}]
    stop = answer[6:8]
    result.append({
        "alone": alone, "batch": [row["tokens"] for row in rows],
        "kept": run(said, kept=kept), "anew": run(said)["tokens"],
        "stop": run(said[:1], stop=stop), "before": answer.partition(stop)[0],
    })
"""


def test_two_ranks_batch_keep_and_stop_alike(tmp_path: Path, ring_run: RingRun) -> None:
    path = str(tiny.build(tmp_path / "model", "qwen2"))
    ranks = ring_run(2, TWO, path, ["tensor", "pipeline"])
    for first, second in zip(*ranks, strict=True):
        assert first["batch"] == first["alone"] == second["batch"]
        assert first["kept"]["tokens"] == first["anew"] == second["kept"]["tokens"]
        assert first["kept"]["cached_tokens"] == second["kept"]["cached_tokens"] > 16
        assert first["stop"]["text"] == second["stop"]["text"] == first["before"]
        assert first["stop"]["tokens"] == second["stop"]["tokens"]
        assert first["stop"]["finish_reason"] == "stop_text"
