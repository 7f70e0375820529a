"""The picture of a plan: its lengths are the plan's own seconds and bytes, also where it does not fit."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from matplotlib.text import Text

from kernelkit import views
from kernelkit.errors import ArgumentError
from kernelkit.perf import Plan, plan
from kernelkit.views.picture import Picture
from kernelkit.views.plan import MOST_MACHINES, scene

KIMI = plan("kimi-k2", "4xm3-ultra-512")
TIGHT = plan("llama-3.1-405b", "2xm4-max-128")
MIXED = plan("qwen3-235b-a22b", "m4-max-128,m3-ultra-256")


@pytest.mark.parametrize("planned", [KIMI, MIXED, plan("llama-3.1-8b", "2xh100-80")])
def test_the_bars_are_the_plans_seconds(planned: Plan) -> None:
    token, prompt = scene(planned)["times"]
    for chart, terms in ((token, planned.terms), (prompt, planned.prefill_terms)):
        shown = {row["cause"]: row["time_s"] for row in chart["rows"]}
        assert shown == {term.cause: list(term.time_s.parts) for term in terms if term.time_s.high}
        assert chart["whole"]["time_s"][1] == pytest.approx(sum(mid for _, mid, _ in shown.values()))
    speed = planned.decode_tokens_per_s
    assert speed is not None
    assert token["whole"]["time_s"] == pytest.approx([1 / speed.high, 1 / speed.mid, 1 / speed.low])


def test_what_does_not_fit_has_no_times_and_lacks() -> None:
    drawn = scene(TIGHT)
    assert drawn["times"] == drawn["figures"] == []
    assert drawn["memory"][0]["left_bytes"] == TIGHT.free_bytes[0] < 0
    picture = views.plan(TIGHT)
    shown = [text.get_text() for text in picture.figure().findobj(Text)]
    assert any(text.startswith("lacks ") for text in shown)
    assert set(TIGHT.reasons) <= set(shown)
    assert TIGHT.reasons[0] in picture.alt


LONG = plan("llama-3.1-405b", "4xm3-ultra-512", link="10gbe", context=100_000, strategy="pipeline")


@pytest.mark.parametrize("planned", [KIMI, MIXED, TIGHT, LONG])
def test_no_words_lie_on_others_or_on_bars(planned: Plan) -> None:
    figure = views.plan(planned).figure()
    figure.draw_without_rendering()
    words = [text for text in figure.texts if text.get_text()]
    boxes = [text.get_window_extent().padded(-1) for text in words]
    for one, other in combinations(range(len(words)), 2):
        assert not boxes[one].overlaps(boxes[other]), (
            f"{words[one].get_text()!r}, {words[other].get_text()!r}"
        )
    charts = [axes.get_window_extent() for axes in figure.axes]
    # What fills a machine stands under its bar, within the bar's axes.
    on = {
        text.get_text()
        for text, box in zip(words, boxes, strict=True)
        if any(box.overlaps(c) for c in charts)
    }
    assert on <= {machine["words"] for machine in scene(planned)["memory"]}


def test_machines_alike_share_a_bar_and_others_do_not() -> None:
    assert [one["ranks"] for one in scene(KIMI)["memory"]] == ["ranks 0-3, each"]
    assert [one["machine"] for one in scene(MIXED)["memory"]] == ["m4-max-128", "m3-ultra-256"]
    many = plan(
        "llama-3.1-8b", ",".join(["m4-max-128", "m3-ultra-256"] * 8), strategy="pipeline", link="10gbe"
    )
    drawn = scene(many)
    assert len(drawn["memory"]) == MOST_MACHINES
    assert drawn["left_out"] == 16 - MOST_MACHINES
    assert views.plan(many).png().startswith(b"\x89PNG")


def test_a_picture_is_kept_and_what_is_no_plan_is_refused() -> None:
    picture = views.plan(KIMI)
    assert picture.text == repr(KIMI)
    assert Picture.from_dict(json.loads(json.dumps(picture.to_dict()))) == picture
    with pytest.raises(ArgumentError, match="no plan"):
        views.plan("kimi-k2")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "planned",
    [
        KIMI,
        TIGHT,
        MIXED,
        plan("gpt-oss-120b", "2xm3-ultra-256", context=9000, batch=3),
        plan("llama-3.1-8b", "m4-max-64", kv_bits=8),
    ],
)
def test_the_memory_of_a_plan_is_a_memory_map(planned: Plan) -> None:
    found = [planned.memory.free_bytes(rank, planned.context) for rank in range(planned.nodes)]
    assert tuple(found) == planned.free_bytes
    picture = views.memory(planned)
    assert picture.scene["context"] == planned.context
    assert picture.scene["used_words"] == ["activations"]
    assert "activations" in picture.text
    assert "activations" in [text.get_text() for text in picture.figure().findobj(Text)]


def test_a_plan_has_a_shard_map() -> None:
    assert views.shard_map(MIXED).scene == views.shard_map(MIXED.shards).scene
