"""Dataclasses from JSON: what `asdict` gave comes back, anything else is refused by the name of its field."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.fields import build


@dataclass(frozen=True)
class Leaf:
    name: str
    kind: Literal["a", "b"] = "a"
    rate: float | None = None


@dataclass(frozen=True)
class Tree:
    count: int
    pair: tuple[float | None, bool] = (None, False)
    leaves: tuple[Leaf, ...] = ()


LEAVES = st.builds(
    Leaf, st.text(), st.sampled_from(("a", "b")), st.none() | st.floats(allow_nan=False, allow_infinity=False)
)
TREES = st.builds(
    Tree,
    st.integers(),
    st.tuples(st.none() | st.floats(allow_nan=False), st.booleans()),
    st.lists(LEAVES).map(tuple),
)


@given(TREES)
def test_what_was_written_comes_back(tree: Tree) -> None:
    assert build(Tree, json.loads(json.dumps(asdict(tree)))) == tree


def test_defaults_may_be_left_out_and_whole_numbers_are_rates() -> None:
    assert build(Tree, {"count": 3, "leaves": [{"name": "x", "rate": 2}]}) == Tree(
        3, leaves=(Leaf("x", rate=2),)
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "Tree is not an object"),
        ({}, "Tree lacks count"),
        ({"count": 1, "colour": 2}, "Tree has no colour"),
        ({"count": True}, "count is True, not int"),
        ({"count": 1.0}, "count is 1.0, not int"),
        ({"count": 1, "pair": [None]}, "pair has 1 entries, not 2"),
        ({"count": 1, "pair": [None, 1]}, "pair is 1, not bool"),
        ({"count": 1, "pair": "no"}, "pair is 'no', not a list"),
        ({"count": 1, "leaves": [{"name": None}]}, "name is None, not str"),
        ({"count": 1, "leaves": [{"name": "", "kind": "c"}]}, "kind is 'c', not 'a' or 'b'"),
        ({"count": 1, "leaves": [{"name": "", "kind": []}]}, "kind is"),
        ({"count": 1, "leaves": [{"name": "", "rate": "1"}]}, "rate is '1', not float"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(Tree, data)
    assert said in str(caught.value)
