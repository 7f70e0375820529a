"""A batch as data: it survives JSON, and says which generations there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.generations import Generations
from tests.test_generation import GENERATION

BATCH = Generations((GENERATION, replace(GENERATION, text="Rome.", finish_reason="stop_text")), 2.5)


def test_it_is_kept_as_json(tmp_path: Path) -> None:
    BATCH.save(tmp_path / "b.json")
    assert Generations.load(tmp_path / "b.json") == BATCH


def test_a_stop_text_is_no_end_of_text() -> None:
    assert [one.finish for one in BATCH] == ["end of text", "stop text"]
    assert "stop text" in repr(BATCH)


def test_a_terminal_does_not_obey_what_a_model_writes() -> None:
    red = replace(GENERATION, text="\x1b[31mred\x1b[0m")
    assert repr(red).startswith("red\n")
    assert red.text == "\x1b[31mred\x1b[0m"
    assert "\x1b" not in repr(Generations((red,), 1.0))


def test_one_that_is_not_there() -> None:
    assert BATCH[-1].text == "Rome."
    with pytest.raises(IndexError, match="no generation 2: they are 0 to 1"):
        BATCH[2]
    with pytest.raises(IndexError, match="no generation 0: the batch is empty"):
        Generations((), 0.0)[0]


@pytest.mark.parametrize("change", [{"items": 3}, {"elapsed_s": "x"}, {"elapsed_s": -1}])
def test_another_file_is_one_clear_error(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="batch does not fit together"):
        Generations.from_dict({**BATCH.to_dict(), **change})
