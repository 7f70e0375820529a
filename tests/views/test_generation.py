"""The picture of a generation: its rates are those of the times, and all three forms say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from kernelkit.generation import Generation, Progress
from kernelkit.views import generation_png
from kernelkit.views.generation import generating, generation, scene
from kernelkit.views.generation_rates import points, rate, top_tokens_per_s, window

TIMES = (1.2, 1.25, 1.3, 1.35, 1.4, 1.6)
ANSWER = Generation(
    text="The sky.",
    tokens=[5, 6, 7, 8, 9, 2],
    prompt_tokens=31,
    prompt_tokens_per_s=26.0,
    tokens_per_s=12.5,
    peak_memory_bytes=(352_000_000, 176_000_000),
    finish_reason="stop",
    seed=1,
    token_times_s=TIMES,
    elapsed_s=(1.61, 1.65),
)
RECORDED = replace(ANSWER, communication_s=(0.322, 0.66))

# Times of tokens, ascending; some come together.
times = st.builds(
    lambda first, gaps: list(accumulate(gaps, initial=first)),
    st.floats(0.001, 100),
    st.lists(st.sampled_from([0.0, 1e-6, 0.001, 0.02, 0.021, 5.0]), max_size=200),
)


@given(times)
def test_rates_are_tokens_over_seconds(times_s: list[float]) -> None:
    shown = points(times_s, most=50)
    assert len(shown) <= 51
    assert (shown[0].tokens, shown[-1].tokens) == (1, len(times_s))
    assert shown[0].tokens_per_s is None
    for before, after in pairwise(shown):
        assert before.tokens < after.tokens
        passed_s = times_s[after.tokens - 1] - times_s[before.tokens - 1]
        if after.tokens_per_s is None:
            assert passed_s == 0
        else:
            assert after.tokens_per_s * passed_s == pytest.approx(after.tokens - before.tokens)


@given(times.filter(lambda times_s: len(times_s) > 1))
def test_the_smoothed_line_stays_between_the_slowest_and_the_fastest_interval(times_s: list[float]) -> None:
    gaps_s = [after - before for before, after in pairwise(times_s)]
    for point in points(times_s):
        if point.smooth_tokens_per_s is not None:
            assert min(gaps_s) * 0.99 - 1e-9 <= 1 / point.smooth_tokens_per_s <= max(gaps_s) * 1.01 + 1e-9


def test_a_steady_generation_is_a_level_line() -> None:
    shown = points([1 + 0.05 * i for i in range(300)])
    assert [point.smooth_tokens_per_s for point in shown] == pytest.approx([20.0] * 300)


def test_one_stall_bends_the_line_less_than_its_dot() -> None:
    times_s = [*(0.05 * i for i in range(50)), *(3.45 + 0.05 * i for i in range(50))]
    shown = points(times_s)
    assert shown[50].tokens_per_s == pytest.approx(1.0)
    assert 1.0 < min(point.smooth_tokens_per_s or 0 for point in shown) < 20
    far = shown[50 + window(100)].smooth_tokens_per_s
    assert far == pytest.approx(20.0)


@given(times)
def test_the_axis_follows_the_line_and_not_tokens_that_came_together(times_s: list[float]) -> None:
    shown = points(times_s)
    top = top_tokens_per_s(shown)
    smooth = [point.smooth_tokens_per_s for point in shown if point.smooth_tokens_per_s is not None]
    if top is None:
        assert not smooth or rate(times_s, 0, -1) is None
    else:
        assert max(smooth) < top <= 3 * max(smooth)


def test_the_scene_says_what_the_generation_says() -> None:
    drawn = scene(RECORDED)
    assert drawn["title"] == "6 tokens in 1.61 s (end of text)"
    assert drawn["first"] == {
        "time_s": 1.2, "words": "time to first token 1.2 s", "prompt": "prompt 31 tokens, 26 tokens/s",
    }  # fmt: skip
    assert drawn["mean"] == {"tokens_per_s": 12.5, "words": "mean 12.5 tokens/s"}
    assert [point[:2] for point in drawn["points"]] == [[i + 1, time_s] for i, time_s in enumerate(TIMES)]
    assert drawn["points"][-1][2] == pytest.approx(5.0)
    assert [one["share_words"] for one in drawn["ranks"]] == ["20%, 322 ms", "40%, 660 ms"]
    assert [one["peak"] for one in drawn["ranks"]] == ["352 MB", "176 MB"]
    assert (drawn["recorded"], drawn["communication"]) == (True, "")


def test_unrecorded_communication_is_named_and_not_drawn_as_none() -> None:
    drawn = scene(ANSWER)
    assert drawn["recorded"] is False
    assert "--record" in drawn["communication"]
    assert [one["share"] for one in drawn["ranks"]] == [None, None]


def test_the_text_is_the_generations_own() -> None:
    assert generation(RECORDED).text == repr(RECORDED)
    shown_before = replace(RECORDED, _streamed=True)
    assert generation(shown_before).text == shown_before.summary


def test_the_alternative_names_the_figures() -> None:
    alt = generation(RECORDED).alt
    for words in ("6 tokens", "time to first token 1.2 s", "mean 12.5 tokens/s", "20%, 40%", "end of text"):
        assert words in alt


def test_ten_thousand_tokens_stay_small() -> None:
    count = 10_000
    long = replace(
        ANSWER, tokens=[0] * count, token_times_s=tuple(1 + 0.0312345 * i for i in range(count)), elapsed_s=()
    )
    drawn = scene(long)
    assert len(json.dumps(drawn)) < 30_000
    assert drawn["points"][-1][0] == drawn["tokens"] == count
    assert drawn["dots"] == "every 17 tokens"


def test_while_it_runs_the_picture_grows() -> None:
    told = [
        Progress(),
        Progress(31, 16),
        *(Progress(31, 31, TIMES[:count]) for count in range(1, len(TIMES) + 1)),
    ]
    pictures = [generating(progress, 0.1 + 0.2 * i) for i, progress in enumerate(told)]
    scenes = [picture.scene for picture in pictures]
    assert all(one["running"] for one in scenes)
    assert [len(one["points"]) for one in scenes] == [0, 0, 1, 2, 3, 4, 5, 6]
    assert [picture.text for picture in pictures[:3]] == [
        "reading the prompt",
        "reading the prompt: 16 of 31 tokens",
        "1 token in 1.2 s so far",
    ]
    assert scenes[-1]["mean"]["tokens_per_s"] == pytest.approx(5 / 0.4)
    assert pictures[-1].text == "6 tokens in 1.6 s so far, 12.5 tokens/s"
    assert scenes[-1]["points"] == scene(ANSWER)["points"]


# --- the static twin -----------------------------------------------------------------------------


def _said(figure: Figure) -> str:
    figure.draw_without_rendering()  # it names the ticks
    found: list[Any] = figure.findobj(Text)
    return "\n".join(text.get_text() for text in found)


def test_the_twin_says_what_the_scene_says() -> None:
    said = _said(generation_png.figure(scene(RECORDED)))
    for words in (
        "6 tokens in 1.61 s (end of text)", "time to first token 1.2 s", "prompt 31 tokens, 26 tokens/s",
        "12.5 tokens/s", "end of text", "352 MB", "176 MB", "20%, 322 ms", "40%, 660 ms", "each token",
        "running mean over 5 tokens", "rank 1",
    ):  # fmt: skip
        assert words in said
    assert "--record" not in said
    assert "--record" in _said(generation_png.figure(scene(ANSWER)))


def test_the_twin_draws_every_dot_where_it_is() -> None:
    axes = generation_png.figure(scene(ANSWER)).axes[0]
    (dots,) = [line for line in axes.lines if line.get_label() == "each token"]
    assert list(dots.get_xdata()) == pytest.approx(TIMES[1:])
    assert list(dots.get_ydata()) == pytest.approx([20, 20, 20, 20, 5], rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 700])
@pytest.mark.parametrize("ranks", [0, 8])
@pytest.mark.parametrize("gap_s", [0.0, 0.05])
def test_there_is_a_picture_of_every_generation(count: int, ranks: int, gap_s: float) -> None:
    odd = replace(
        ANSWER,
        tokens=[0] * count,
        tokens_per_s=0.0 if count < 2 or not gap_s else 20.0,
        token_times_s=tuple(1 + gap_s * i for i in range(count)),
        peak_memory_bytes=(0,) * ranks,
        elapsed_s=(0.0,) * ranks,
        communication_s=(0.5,) * ranks,
    )
    picture = generation(odd)
    assert json.loads(json.dumps(picture.scene, allow_nan=False)) == picture.scene
    assert picture.png().startswith(b"\x89PNG")


def test_a_generation_without_times_has_a_picture_of_its_memory() -> None:
    untimed = replace(ANSWER, token_times_s=(), elapsed_s=())
    picture = generation(untimed)
    assert picture.scene["title"] == "6 tokens (end of text)"
    assert "352 MB" in _said(picture.figure())


def test_a_running_scene_has_a_twin_too() -> None:
    assert "reading the prompt" in _said(generating(Progress(), 0.5).figure())
