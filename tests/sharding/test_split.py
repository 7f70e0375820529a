"""A split that says nothing is one clear error; what it gives otherwise is tested where it fits or not."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.sharding.split import layer_ranges


@pytest.mark.parametrize("split", [5, "15", (1.5, 2.5), (True, 3), {2: 2}])
def test_a_split_is_whole_numbers(split: Any) -> None:
    with pytest.raises(ArgumentError, match="this is no split") as caught:
        layer_ranges(4, 2, split)
    assert caught.value.expected == "2 whole numbers of layers, such as 2, 2"


def test_lists_are_as_good_as_tuples() -> None:
    assert layer_ranges(7, 2, [5, 2]) == ((2, 7), (0, 2))
