"""What an attack found: sums of ranges, unlike plans side by side, and input of other types."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.perf import Range, compare, plan, sweep
from tests.perf.configs import LLAMA_8B


def test_a_range_that_ends_at_nothing_is_added_too() -> None:
    assert Range(1, 1, 1) + Range(0.5, 0.25, 0) == Range(1.5, 1.25, 1)


@pytest.mark.parametrize("machine", ["h200-141", "m3-ultra-512", "h100-80"])
def test_a_longer_context_is_never_faster(machine: str) -> None:
    speeds = [
        figure.mid
        for context in (128, 512, 1024, 2048, 4096, 16_384)
        if (figure := plan(LLAMA_8B, machine, context=context).decode_tokens_per_s) is not None
    ]
    assert len(speeds) == 6
    assert speeds == sorted(speeds, reverse=True)


def test_the_order_of_machines_does_not_matter() -> None:
    both = [
        plan(LLAMA_8B, machines, link="10gbe").decode_tokens_per_s
        for machines in ("m3-ultra-512,h200-141", "h200-141,m3-ultra-512")
    ]
    assert both[0] == both[1]


def test_a_context_that_the_model_was_not_made_for_is_told() -> None:
    assert any(
        "made for 131,072" in reason for reason in plan(LLAMA_8B, "m3-ultra-512", context=200_000).reasons
    )


def test_no_line_joins_unlike_plans() -> None:
    found = compare([plan(LLAMA_8B, "m4-16"), plan(LLAMA_8B, "2xm3-ultra-96")])
    assert len(found.sentences) == 1
    assert "decodes fastest" in found.sentences[0]


def test_one_link_and_one_strategy_may_be_words() -> None:
    found = sweep(LLAMA_8B, "m3-ultra-96", [1, 2], "tb5", "tensor")
    assert [each.link for each in found.plans] == ["", "tb5"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: plan(LLAMA_8B, 3),  # type: ignore[arg-type]
        lambda: plan(LLAMA_8B, "m4-16", quantization="{"),
        lambda: plan(LLAMA_8B, "m4-16", fast_synch="no"),  # type: ignore[arg-type]
        lambda: plan(LLAMA_8B, "m4-16", batch=8, kv_bits=4),
        lambda: sweep(LLAMA_8B, "m4-16", 3),  # type: ignore[arg-type]
        lambda: sweep(LLAMA_8B, "m4-16", "3"),  # type: ignore[arg-type]
        lambda: sweep(LLAMA_8B, "m4-16", [1, "2"]),  # type: ignore[list-item]
        lambda: sweep(LLAMA_8B, "m4-16", [1, 2], ["tb5-rmda"]),
        lambda: sweep(LLAMA_8B, "m4-16", [1, 2], link="tb5"),
        lambda: compare([1]),  # type: ignore[list-item]
    ],
)
def test_input_of_another_type_is_one_clear_error(call: Any) -> None:
    with pytest.raises(ArgumentError):
        call()


def test_what_fits_no_number_of_machines_is_told_with_what_would_do() -> None:
    none = sweep("kimi-k2", "m4-32", [1, 2])
    (said,) = (sentence for sentence in none.sentences if sentence.startswith("It fits on none of them."))
    assert "It fits on 31 such machines: pipeline" in said


def test_beyond_its_context_a_plan_does_not_say_how_much_fits() -> None:
    reasons = plan(LLAMA_8B, "m3-ultra-512", context=200_000).reasons
    assert reasons[0].startswith("It fits: ")
    assert "of context fit" not in reasons[0]
    assert "tokens of context fit" in plan(LLAMA_8B, "m3-ultra-512").reasons[0]


def test_the_largest_part_is_not_called_most() -> None:
    shares = {}
    for machine in ("m3-ultra-512", "4xm3-ultra-512"):
        (said,) = (reason for reason in plan(LLAMA_8B, machine).reasons if "of a token's" in reason)
        shares[machine] = int(said.rpartition(" ")[2].rstrip("%."))
        assert said.startswith("Most") == (shares[machine] > 50)
