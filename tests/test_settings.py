"""Settings and texts are refused with one clear error before anything is sent to the ranks."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.model.checking import _check_settings
from kernelkit.settings import Settings
from kernelkit.sharding.check import ModelCheck
from kernelkit.tables import NO_MATH, html_table
from kernelkit.views.live import text_html


@pytest.mark.parametrize(
    "given",
    [
        *({"stop": value} for value in (None, 5, b"x", b"", [b"x"], [""], "\ud800")),
        *({"system": value} for value in (None, "\ud800")),
        *({name: value} for name in ("raw", "record") for value in ("yes", 3, None)),
        {"repetition_context_size": 10**30},
    ],
)
def test_values_of_another_type_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Settings.of(given)


@pytest.mark.parametrize("prompts", [None, 5, "text", (text for text in "ab"), [""], ["\ud800"]])
def test_a_check_refuses_what_is_no_list_of_texts(prompts: Any) -> None:
    with pytest.raises(ArgumentError):
        _check_settings(prompts, 0, 1)


def test_a_check_refuses_lengths_that_no_model_has() -> None:
    with pytest.raises(ArgumentError):
        _check_settings([], 10**30, 1)


def test_a_file_needs_a_path() -> None:
    with pytest.raises(ArgumentError):
        ModelCheck.load(None)  # type: ignore[arg-type]


def test_dollars_stay_dollars_and_figures_stay_whole() -> None:
    html = html_table(("a",), [("1 + 2",), ("from $x$ to $y$, " * 4,)])
    assert html.startswith(f"<table {NO_MATH}>")
    assert html.count("nowrap") == 2  # the caption's, and the short cell's
    assert NO_MATH in text_html("$x$")
