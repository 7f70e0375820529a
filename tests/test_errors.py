"""The error tree: what a message says, how IPython shows it, and how it travels from a rank."""

import copy
import inspect
import json

import pytest

from kernelkit import errors
from kernelkit.errors import (
    ArgumentError,
    CellError,
    ConnectError,
    KernelkitError,
    ModelShardError,
    RankError,
    from_dict,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == errors.__name__
]


def test_message_is_the_sentence_alone_where_there_is_no_more_to_say() -> None:
    assert str(KernelkitError("it broke")) == "it broke"


def test_message_lists_expected_got_and_cure_in_this_order() -> None:
    error = ArgumentError("wrong", cure="c", got="g", expected="e")
    assert str(error).splitlines() == ["wrong", "  expected: e", "  got: g", "  cure: c"]


def test_empty_parts_leave_no_line() -> None:
    assert str(ArgumentError("wrong", got="g")).splitlines() == ["wrong", "  got: g"]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_is_in_the_tree_at_the_top_and_says_when_it_happens(kind: type) -> None:
    assert issubclass(kind, KernelkitError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


def test_the_drawing_names_no_class_that_is_not_there() -> None:
    drawn = {word for word in (errors.__doc__ or "").replace("─", " ").split() if word.endswith("Error")} - {
        "KernelkitError"
    }
    assert drawn == {kind.__name__ for kind in CLASSES} - {"KernelkitError"}


def test_ipython_gets_the_message_and_no_frames() -> None:
    lines = ConnectError("no ranks", cure="again")._render_traceback_()
    text = "\n".join(lines)
    assert "ConnectError" in text
    assert "no ranks" in text
    assert "again" in text
    assert "Traceback" not in text
    assert "File" not in text


def test_a_cell_error_shows_each_traceback_under_the_ranks_that_raised_it() -> None:
    error = RankError("it raised", tracebacks=[("rank 0", "trace of 0"), ("ranks 1-2", "trace of 1 and 2")])
    text = "\n".join(error._render_traceback_())
    assert (
        text.index("rank 0") < text.index("trace of 0") < text.index("ranks 1-2") < text.index("of 1 and 2")
    )
    assert text.index("of 1 and 2") < text.index("it raised")


def test_cell_error_without_tracebacks_has_an_empty_list_of_its_own() -> None:
    first, second = CellError("a"), CellError("b")
    first.tracebacks.append(("rank 0", "x"))
    assert second.tracebacks == []


@pytest.mark.parametrize("kind", [ArgumentError, ConnectError, ModelShardError])
def test_errors_keep_type_and_parts_on_their_way_from_a_rank(kind: type[KernelkitError]) -> None:
    error = kind("what", expected="e", got="g", cure="c")
    back = from_dict(json.loads(json.dumps(error.to_dict())))
    assert type(back) is kind
    assert str(back) == str(error)


def test_an_unknown_type_becomes_a_plain_error_with_the_same_message() -> None:
    back = from_dict({"type": "SystemExit", "what": "w", "expected": "", "got": "", "cure": "c"})
    assert type(back) is KernelkitError
    assert str(back) == "w\n  cure: c"


def test_an_error_can_be_copied() -> None:
    error = RankError("w", cure="c", tracebacks=[("rank 0", "t")])
    twin = copy.copy(error)
    assert (str(twin), twin.tracebacks) == (str(error), error.tracebacks)
