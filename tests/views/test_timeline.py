"""The picture of a timeline: its cells are the spans' seconds, and it can be drawn for few ranks and many."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit import views
from kernelkit.errors import ArgumentError
from kernelkit.perf.job import Job
from kernelkit.perf.network import Link, Network
from kernelkit.perf.simulate import Lost, simulate
from kernelkit.perf.timeline import Lane, Span, Timeline, What
from kernelkit.views.picture import MIME, Picture
from kernelkit.views.timeline import KINDS, scene
from kernelkit.views.timeline_cells import cells

NEAR = Link(3e-5, 6e9)
ALL = tuple(KINDS.values())


def _run(ranks: int, **options: object) -> Timeline:
    job = Job.even(ranks, 12, 4e-3, 16_384, head_s=1e-3, name="a model")
    return simulate(job, Network((ranks,), NEAR), tokens=3, **options)  # type: ignore[arg-type]


lengths = st.lists(
    st.tuples(st.floats(0.001, 1), st.sampled_from(["compute", "collective", "wait", "lost"])), max_size=40
)


@given(lengths, st.integers(1, 50))
def test_cells_hold_all_seconds_of_the_spans(parts: list[tuple[float, What]], bins: int) -> None:
    spans, at_s = [], 0.0
    for length_s, what in parts:
        spans.append(Span(at_s, at_s + length_s, what, "", 0))
        at_s += length_s
    lane = Lane.of(spans)
    end_s = at_s + 0.5
    found = cells([lane, Lane()], ALL, 0.0, end_s, bins)
    assert found.shape == (bins, len(ALL))
    assert found.sum(axis=1).max() <= 0.5 + 1e-9  # the other rank did nothing
    seconds = [sum(lane.seconds[what] for what in whats) for whats in ALL]
    assert found.sum(axis=0) * end_s / bins * 2 == pytest.approx(seconds)


@pytest.mark.parametrize("ranks", [1, 2, 8, 100])
def test_few_ranks_have_a_row_each_and_many_share_rows(ranks: int) -> None:
    run = _run(ranks, slow={0: 2.0})
    drawn = scene(run)
    assert len(drawn["rows"]) == min(ranks, 64)
    assert drawn["rows"][-1]["label"] in (str(ranks - 1), f"{ranks - 2}-{ranks - 1}")
    whole = np.array(drawn["whole"]["cells"]).mean(axis=1) / 1000
    assert whole == pytest.approx(np.array([row["shares"] for row in drawn["rows"]]), abs=2e-3)
    near = drawn["near"]
    assert (near is None) == (ranks == 1)
    if near is not None:
        assert 0 < near["start_s"] < near["end_s"] <= run.duration_s


def test_every_form_says_the_same_and_pages_show_the_png() -> None:
    run = _run(2, lost=Lost(1, 5e-3, 0.01, 0.02))
    picture = views.timeline(run)
    assert picture.text == repr(run)
    assert "lost" in picture.alt
    data, _ = picture.bundle()
    assert MIME not in data
    assert list(data) == ["image/png", "text/plain"]
    assert Picture.from_dict(json.loads(json.dumps(picture.to_dict()))) == picture
    with pytest.raises(ArgumentError, match="no widget"):
        picture.widget()


def test_a_part_can_be_asked_for() -> None:
    run = _run(2)
    near = scene(run, 1e-3, 2e-3)["near"]
    assert (near["start_s"], near["end_s"]) == (1e-3, 2e-3)
    with pytest.raises(ArgumentError, match="no part"):
        scene(run, 2e-3, 1e-3)


@pytest.mark.parametrize("wrong", [None, "run", 3])
def test_what_is_no_timeline_is_refused_with_the_cure(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="no timeline") as caught:
        views.timeline(wrong)
    assert "record=True" in caught.value.cure
    with pytest.raises(ArgumentError, match="start_s is no amount"):
        views.timeline(_run(2), "0")  # type: ignore[arg-type]


def test_the_table_is_small_and_the_same_each_time() -> None:
    lines = repr(_run(100, slow={7: 2.0}, algorithm="mesh")).splitlines()
    assert lines == repr(_run(100, slow={7: 2.0}, algorithm="mesh")).splitlines()
    assert lines[0].startswith("simulated: 100 ranks, 3 tokens in ")
    assert lines[0].endswith("the others wait for rank 7")
    assert len(lines) == 3 + 8 + 2


def test_a_run_without_tokens_speaks_of_none() -> None:
    lanes = [Lane.of([Span(0.0, 0.5, "compute", "", 0)]), Lane.of([Span(0.0, 0.5, "wait", "", 0)])]
    assert Timeline("recorded", tuple(lanes)).title == "recorded: 2 ranks, 500 ms, the others wait for rank 0"
    assert Timeline("recorded", tuple(lanes), (0.5,)).title.startswith("recorded: 2 ranks, 1 token in 500 ms")
