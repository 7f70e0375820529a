"""A token's time is taken apart into what its kernels, products and all_sums take of the host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.rank import dispatch
from kernelkit.rank.readings import Times

# Of 16 layers of a llama 17 kernels each, 7 of them products; outside 6 and one. Two all_sums a layer.
_KERNELS, _PRODUCTS, _SUMS = 16 * 17 + 6, 16 * 7 + 1, 32
_CONFIG = dispatch._config(2)


def test_the_parts_add_up_to_the_steps() -> None:
    row_s = _KERNELS * 8e-6
    steps_s = {
        "row": [row_s] * 3,
        "rows": [row_s + _PRODUCTS * 14e-6] * 3,
        "sums": [row_s + _SUMS * 1e-4] * 3,
    }
    found = dispatch.of_steps(_CONFIG, steps_s)
    assert found["kernel_s"] == pytest.approx([8e-6] * 3)
    assert found["product_s"] == pytest.approx([22e-6] * 3)
    assert found["sum_s"] == pytest.approx([1e-4] * 3)


def test_nothing_is_less_than_nothing_and_no_product_less_than_a_kernel() -> None:
    row_s = _KERNELS * 8e-6
    found = dispatch.of_steps(_CONFIG, {"row": [row_s] * 3, "rows": [row_s / 2] * 3, "sums": [row_s / 2] * 3})
    assert found["product_s"] == pytest.approx([8e-6] * 3)
    assert found["sum_s"] == [0.0] * 3


def test_a_single_rank_has_no_all_sum() -> None:
    found = dispatch.of_steps(_CONFIG, {"row": [1e-3, 2e-3], "rows": [3e-3, 3e-3]})
    assert set(found) == {"kernel_s", "product_s"}
    assert found["kernel_s"] == pytest.approx([1.1e-3 / _KERNELS, 1.5e-3 / _KERNELS, 1.9e-3 / _KERNELS])


@given(st.floats(1e-9, 1.0), st.integers(2, 9))
def test_readings_that_are_alike_lie_between_their_ends(reading_s: float, count: int) -> None:
    times = Times.of([reading_s] * count)
    assert times.low_s <= times.median_s == reading_s <= times.high_s
