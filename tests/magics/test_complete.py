"""Tab completion: the magics' words without ranks, the ranks' names with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter

from kernelkit.magics.complete import Completer
from tests.magics.conftest import Notebook


def _texts(completer: Completer, text: str) -> list[str]:
    lines = text.split("\n")
    result = completer.match(text, len(lines) - 1, len(lines[-1]))
    return [completion.text for completion in result["completions"]]


COMMANDS = [
    "connect",
    "status",
    "recover",
    "restart",
    "interrupt",
    "stop",
    "panel",
    "links",
    "calibrate",
    "discover",
    "doctor",
]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("%cluster ", COMMANDS),
        ("%cluster re", ["recover", "restart"]),
        ("%cluster panel ", ["off"]),
        ("%model load sm", ["smollm2"]),
        ("%model push ", ["austen", "smollm2"]),
        ("%model load x --strategy p", ["pipeline"]),
        ("%model generate x --max", ["--max-tokens", "--max-kv-size"]),
        ("%%generate --te", ["--temp"]),
        ("%%sharded --r", ["--ranks", "--record"]),
        ("result = %model gen", ["generate"]),
        ("%experiment ", ["begin", "end", "drop", "compare"]),
        ("%experiment end ", ["--save"]),
        ("first = %experiment e", ["end"]),
        ("%cluster nonsense ", []),
        ("x = 1", []),
        ("%%sharded\nx", []),
    ],
)
def test_words_of_the_grammar(typed: str, wanted: list[str]) -> None:
    assert _texts(Completer(lambda: None), typed) == wanted


@pytest.mark.parametrize(
    ("typed", "others"),
    [
        ("%model load x --split ", False),
        ("%plan x --split ", False),
        ("%model generate --temp ", False),
        ("%cluster connect --hostfile nowhere/", True),
        ("%model load ./", True),
    ],
)
def test_where_a_number_is_to_stand_the_folders_files_are_not_offered(typed: str, others: bool) -> None:
    found = Completer(lambda: None).match(typed, 0, len(typed))
    assert list(found["completions"]) == []
    assert found["suppress"] is not others


def test_names_of_the_ranks(notebook: Notebook) -> None:
    notebook.run("%sharded only_on_ranks = 1")
    notebook.run("%sharded --ranks 1 only_on_one = 1")
    notebook.run("only_here = 1")
    completer = notebook.shell.meta.kernelkit[1]
    assert _texts(completer, "%%sharded\nonly_") == ["only_on_ranks"]
    assert set(_texts(completer, "%%sharded --ranks 1\ny = 2\nonly_")) == {"only_on_ranks", "only_on_one"}
    assert "all_sum" in _texts(completer, "%sharded mx.distributed.all_s")
    assert _texts(completer, "%%sharded --ranks ") == ["0", "1"]
    assert _texts(completer, "%model push x --to ") == ["127.0.0.1"]


def test_the_shell_offers_the_ranks_names_and_not_its_own(notebook: Notebook) -> None:
    notebook.run("%sharded only_on_ranks = 1")
    notebook.run("only_here = 1")
    _, matches = notebook.shell.complete("only_", "%%sharded\nonly_", 15)
    assert "only_here" not in matches


def test_one_completion_does_not_stick_to_the_next(notebook: Notebook) -> None:
    """IPython writes into what a matcher returns."""
    complete = notebook.shell.Completer.completions
    with provisionalcompleter():
        for text in ("import os", "os.getc", "pri", "%sharded 1\nab", "x = 1\nos.getc"):
            list(complete(text, len(text)))
        assert "print" in [c.text for c in complete("pri", 3)]


def test_records_are_files_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first.json", "second.json", "notes.txt"):
        (tmp_path / name).write_text("")
    completer = Completer(lambda: None)
    assert _texts(completer, "%experiment compare fi") == ["first.json"]
    assert _texts(completer, "%experiment compare first.json ") == ["first.json", "second.json"]
    assert _texts(completer, "%experiment end --save se") == ["second.json"]
