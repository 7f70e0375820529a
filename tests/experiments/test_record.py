"""A record is the same after its file, shows all that it has, and refuses what is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from kernelkit import Experiment, views
from kernelkit.errors import ArgumentError
from kernelkit.experiments import Code, Figure, Written
from tests.experiments import samples
from tests.views.samples import link_report


def test_a_record_comes_back_from_its_file_with_all_it_has(tmp_path: Path) -> None:
    drawn = Written("drawn", samples.generation([1, 2], temp=0.7))
    models = (replace(samples.record().models[0], split=(2, 1), quantize=4),)
    record = samples.record(seeds={"drawn": 5}, links=link_report(2), models=models)
    record = replace(record, texts=(*record.texts, drawn))
    record.save(tmp_path / "r.json")
    again = Experiment.load(tmp_path / "r.json")
    assert again == record
    assert again.text("drawn").generation.seed == 5
    assert again.links is not None
    assert again.links.latency_s(0, 1) == link_report(2).latency_s(0, 1)
    assert repr(again) == repr(record)
    assert "austen, tensor, split 2,1, float32, 4 bits" in repr(again)


def test_text_and_page_show_results_with_units_and_conditions() -> None:
    record = samples.record(links=link_report(2), code=Code(samples.COMMIT, "", ("a.py",), 2, "cd" * 32))
    shown, page = repr(record), record._repr_mimebundle_()["text/html"]
    for fact in (
        "1.5 (1.25 to 1.75, 3 values)",
        "20 tokens/s",
        "3, greedy, ended by max tokens: two words",
        "parameter prompt",
        "austen, tensor, float32",
        "abababababab",
        "2 ranks, backend ring",
        "8 GB",
        "0123456789ab",
        "1 file (a.py), SHA-256 cdcdcdcdcdcd; 2 not under version control",
        "link 0 > 1: latency",
    ):
        assert fact in shown
        assert fact.replace(">", "&gt;") in page


def test_the_picture_shows_what_the_text_does() -> None:
    picture = views.experiment(samples.record(links=link_report(2)))
    assert picture.text == repr(samples.record(links=link_report(2)))
    titles = [chart["title"] for chart in picture.scene["charts"]]
    assert titles == ["plain numbers", "tokens/s", "s", "links as measured, s", "links as measured, B/s"]
    shown = " ".join(text.get_text() for text in picture.figure().findobj(Text))
    for fact in ("1.5 (1.25 to 1.75, 3 values)", "answer: decode", "20 tokens/s", "2 ranks, backend ring"):
        assert fact in shown
    assert "answer: decode: 20 tokens/s." in picture.alt
    assert json.loads(json.dumps(picture.to_dict())) == picture.to_dict()


def test_another_object_is_no_experiment() -> None:
    with pytest.raises(ArgumentError, match="no experiment"):
        views.experiment(samples.generation([1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"kernelkit_experiment": 2},
        {"figures": [{"name": "x", "values": [], "unit": "s"}]},
        {"figures": [{"name": "x", "values": [float("nan")], "unit": "s"}]},
        {"figures": [{"name": "x", "values": [1.0], "unit": ""}]},
        {"figures": [{"name": "answer", "values": [1.0], "unit": "s"}]},
        {"models": []},
        {"hosts": []},
        {"hosts": [], "places": []},
        {"hosts": [samples.record().to_dict()["hosts"][0]] * 2},
        {"backend": ""},
        {"seeds": {"seed": "three"}},
        {"versions": {"numpy": 2}},
        {"began": "yesterday"},
        {"ended": "2026-01-31"},
        {"elapsed_s": -1.0},
        {"name": ""},
        {"texts": [{"name": "x"}]},
        {"texts": None},
        {"more": 1},
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    good = samples.record().to_dict()
    (tmp_path / "r.json").write_text(json.dumps(good))
    Experiment.load(tmp_path / "r.json")
    (tmp_path / "r.json").write_text(json.dumps({**good, **change}))
    with pytest.raises(ArgumentError, match="record of an experiment"):
        Experiment.load(tmp_path / "r.json")


def test_a_record_without_its_machines_is_refused() -> None:
    whole = json.loads(json.dumps(samples.record().to_dict()))
    for lost in ({"hosts"}, {"places"}, {"hosts", "places"}):
        with pytest.raises(ArgumentError, match="does not fit together"):
            Experiment.from_dict({key: value for key, value in whole.items() if key not in lost})


def test_files_that_are_no_record_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read as a record of an experiment"):
        Experiment.load(tmp_path / "nowhere.json")
    link_report(2).save(tmp_path / "links.json")
    with pytest.raises(ArgumentError, match="this is no record of an experiment") as refused:
        Experiment.load(tmp_path / "links.json")
    assert refused.value.expected == 'an object with "kernelkit_experiment": 1'
    newer = {**samples.record().to_dict(), "kernelkit_experiment": 2}
    with pytest.raises(ArgumentError) as refused:
        Experiment.from_dict(newer)
    assert refused.value.got == "2"


def test_results_are_found_by_their_name() -> None:
    record = samples.record()
    assert record.figure("loss") == Figure("loss", (1.5, 1.25, 1.75), "1")
    with pytest.raises(ArgumentError, match="no result 'answer'"):
        record.figure("answer")
    with pytest.raises(ArgumentError, match="no result 'loss'"):
        record.text("loss")
