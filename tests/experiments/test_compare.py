"""Two records: what differs is named, greedy tokens are reproduced or not, and strangers are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from kernelkit import views
from kernelkit.errors import ArgumentError
from kernelkit.experiments import Code, Comparison, Figure, Written, compare
from kernelkit.views.experiment_png import DIFFERENT
from tests.experiments import samples
from tests.views.samples import link_report

SAME = samples.record()
LATER = replace(SAME, began="2026-01-02T04:00:00+00:00", elapsed_s=9.0)


def changed(**fields: Any) -> Comparison:
    return compare(SAME, replace(LATER, **fields))


def test_the_same_again_says_so() -> None:
    both = compare(SAME, LATER)
    assert both.differences == ()
    assert both.same_cluster
    assert both.reproduced is True
    assert both.sentences == (
        "The cluster is the same, and nothing that was recorded differs but times and results.",
        "answer: the greedy tokens are reproduced exactly, all 3.",
    )


@pytest.mark.parametrize(
    ("fields", "name", "values"),
    [
        ({"parameters": {"prompt": "It is", "max_tokens": 4}}, "parameter max_tokens", ("3", "4")),
        ({"parameters": {"prompt": "It is"}}, "parameter max_tokens", ("3", "none")),
        ({"seeds": {"drawn": 4}}, "seed of drawn", ("none", "4")),
        ({"models": (replace(SAME.models[0], content="cd" * 32),)}, "model, SHA-256", ("ab" * 6, "cd" * 6)),
        ({"versions": {"kernelkit": "0.2.0"}}, "kernelkit", ("0.1.0", "0.2.0")),
        ({"code": Code("f" * 40)}, "git commit", (samples.COMMIT[:12], "f" * 12)),
        ({"code": Code("", "none: a reason")}, "git commit", (samples.COMMIT[:12], "none: a reason")),
        ({"backend": "mpi"}, "cluster", ("2 ranks, backend ring", "2 ranks, backend mpi")),
        (
            {"code": Code(samples.COMMIT, "", ("a.py",), 0, "e" * 64)},
            "changes since then",
            ("none", f"1 file (a.py), SHA-256 {'e' * 12}"),
        ),
    ],
)
def test_what_differs_is_named(fields: dict[str, Any], name: str, values: tuple[str, str]) -> None:
    both = changed(**fields)
    assert [(fact.name, fact.values) for fact in both.differences] == [(name, values)]
    assert both.same_cluster is (name != "cluster")
    assert f"what differs: {name}." in both.sentences[0]
    assert all(value in repr(both) for value in (name, *values))


@pytest.mark.parametrize(
    ("tokens", "reproduced", "words"),
    [
        ([7, 8, 9], True, "the greedy tokens are reproduced exactly, all 3"),
        ([7, 1, 9], False, "the greedy tokens differ from number 2 on, of 3 and 3"),
        ([7, 8], False, "the greedy tokens are the same as far as both go: 3 and 2"),
    ],
)
def test_greedy_tokens(tokens: list[int], reproduced: bool, words: str) -> None:
    both = changed(texts=(Written("answer", samples.generation(tokens), 0),))
    assert both.reproduced is reproduced
    assert f"answer: {words}." in both.sentences
    assert ("Nothing that was recorded explains it." in both.sentences) is not reproduced


def test_drawn_tokens_say_nothing_of_greedy_ones() -> None:
    texts = (Written("answer", samples.generation([7, 8, 9], temp=0.5), 0),)
    both = compare(replace(SAME, texts=texts), replace(LATER, texts=texts))
    assert both.reproduced is None
    assert "answer: the drawn tokens are the same, all 3." in both.sentences
    assert "answer: the tokens are the same, all 3." in changed(texts=texts).sentences


def test_what_is_not_known_of_the_code_is_said() -> None:
    unknown = Code("", "none: the folder is in no git repository")
    both = compare(replace(SAME, code=unknown), replace(LATER, code=unknown))
    assert "Whether the code is the same is not known: no git commit has all of it." in both.sentences
    same_changes = Code(samples.COMMIT, "", ("a.py",), 0, "e" * 64)
    both = compare(replace(SAME, code=same_changes), replace(LATER, code=same_changes))
    assert not [said for said in both.sentences if "not known" in said]


def test_what_broke_off_is_said() -> None:
    assert "The second broke off: ValueError: no." in changed(error="ValueError: no").sentences


def test_results_lie_side_by_side_with_their_ratio() -> None:
    both = changed(texts=(Written("answer", samples.generation([7, 8, 9], tokens_per_s=30.0), 0),))
    row = next(row for row in both.sheet.rows if row.name == "answer: decode")
    assert (row.values, row.words, row.ratio) == (((20.0,), (30.0,)), ("20 tokens/s", "30 tokens/s"), "1.50")
    (lacking,) = [row for row in changed(figures=()).sheet.rows if row.name == "loss"]
    assert (lacking.values, lacking.ratio) == (((1.5, 1.25, 1.75), ()), "")


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (
            (Figure("loss", (1500.0,), "ms"),),
            "loss: plain in the first and in ms in the second, so",
        ),
        ((), "loss: only in the first."),
        ((*SAME.figures, Figure("size", (8.0,), "B")), "size: only in the second."),
    ],
)
def test_results_that_do_not_match_are_told(figures: tuple[Figure, ...], said: str) -> None:
    both = changed(figures=figures)
    assert [sentence for sentence in both.sentences if sentence.startswith(said)]
    assert said in repr(both)
    lone = [row for row in both.sheet.rows if row.name == said.split(":")[0]]
    assert {row.ratio for row in lone} == {""}
    assert not [sentence for sentence in compare(SAME, LATER).sentences if "only in" in sentence]


def test_texts_and_links_of_one_record_alone_are_told() -> None:
    both = changed(texts=(), links=link_report(2))
    assert {"answer: only in the first.", "links as measured: only in the second."} <= set(both.sentences)


def test_the_picture_marks_the_tokens_that_differ() -> None:
    both = changed(texts=(Written("answer", samples.generation([7, 1, 9]), 0),))
    picture = views.experiment(both)
    assert picture.scene["strips"][0]["same"] == [[True, True, True], [True, False, True]]
    assert picture.text == repr(both)
    assert picture.alt.startswith(
        "Experiment greedy: 2026-01-02 03:04:05 UTC and 2026-01-02 04:00:00 UTC. The"
    )
    patches = [p for axes in picture.figure().axes for p in axes.patches if isinstance(p, Rectangle)]
    red = [p for p in patches if to_hex(p.get_facecolor()) == DIFFERENT.lower()]
    assert len(red) == 2  # one token, and the key


def test_files_are_compared_as_records_are(tmp_path: Path) -> None:
    SAME.save(tmp_path / "a.json")
    LATER.save(tmp_path / "b.json")
    assert compare(tmp_path / "a.json", str(tmp_path / "b.json")) == compare(SAME, LATER)
    with pytest.raises(ArgumentError, match="names no file"):
        compare(SAME, 3)  # type: ignore[arg-type]


def test_different_experiments_are_not_compared() -> None:
    with pytest.raises(ArgumentError, match="different experiments") as refused:
        changed(name="sampling")
    assert (refused.value.expected, refused.value.got) == ("two of greedy", "sampling")
