"""Speeds over machines: a line is its plans, gaps are what does not fit, and the turn is the fastest."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

from kernelkit import views
from kernelkit.errors import ArgumentError
from kernelkit.perf import plan, sweep
from kernelkit.views.explorer import explore
from kernelkit.views.speeds import scene

LARGE = sweep("llama-3.1-405b", "m4-max-128", range(1, 9), links=("tb5-rdma", "10gbe"))
SMALL = sweep("qwen3-30b-a3b", "m3-ultra-256", range(1, 5), links=("10gbe",))


def test_lines_are_plans_and_the_fastest_is_ringed() -> None:
    for swept in (LARGE, SMALL):
        for line, plans in zip(scene(swept)["lines"], swept.lines().values(), strict=True):
            speeds = [each.decode_tokens_per_s for each in plans]
            assert [one["tokens_per_s"] for one in line["points"]] == [s and list(s.parts) for s in speeds]
            best = max(
                plans, key=lambda each: each.decode_tokens_per_s.mid if each.decode_tokens_per_s else 0
            )
            last = max(each.nodes for each in plans if each.decode_tokens_per_s)
            assert line["turn"] == (best.nodes if best.nodes < last else None)
    assert scene(SMALL)["lines"][0]["turn"] == 1


def test_what_does_not_fit_is_crossed_and_the_sentences_are_there() -> None:
    (axes,) = views.speeds(LARGE).figure().axes
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    lacking = [each.nodes for each in next(iter(LARGE.lines().values())) if not each.fits]
    assert lacking
    assert list(crosses[0].get_xdata()) == lacking
    shown = " ".join(text.get_text() for text in views.speeds(LARGE).figure().findobj(Text))
    assert all(said in shown.replace("\n", " ") for said in LARGE.sentences[:1])
    assert LARGE.sentences[0] in views.speeds(LARGE).alt


def test_plans_of_several_models_are_not_compared() -> None:
    assert views.speeds(SMALL.plans).text == repr(SMALL)
    with pytest.raises(ArgumentError, match="of one model"):
        views.speeds([*SMALL.plans, plan("llama-3.1-8b", "m3-ultra-256")])
    with pytest.raises(ArgumentError, match="of one model"):
        views.speeds([])


def test_controls_change_the_plan_and_a_refusal_keeps_the_one_before() -> None:
    panel = explore("kimi-k2", batch=2)
    assert panel.plan == plan("kimi-k2", batch=2)
    for name, value in (("nodes", 2), ("link", "10gbe"), ("context", 65_536), ("quantization", "3bit")):
        panel.controls[name].value = value
    assert panel.plan == plan(
        "kimi-k2", "2xm3-ultra-512", link="10gbe", context=65_536, quantization="3bit", batch=2
    )
    panel.controls["link"].value = ""
    before = panel.plan
    panel.controls["nodes"].value = 16
    assert "at most 8 ranks" in panel.refusal
    assert panel.plan == before
    panel.controls["nodes"].value = 1
    assert panel.refusal == panel.plan.link == ""


def test_machines_of_several_kinds_keep_their_number() -> None:
    panel = explore("qwen3-30b-a3b", "m4-max-128,m3-ultra-256")
    assert "nodes" not in panel.controls
    panel.controls["strategy"].value = "pipeline"
    assert panel.plan == plan("qwen3-30b-a3b", "m4-max-128,m3-ultra-256", strategy="pipeline")
