"""Figures that a caller gives: what is none is refused in one way, whatever it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import kernelkit as kk
from kernelkit.amounts import check_amount, check_whole
from kernelkit.errors import ArgumentError, KernelkitError

_LINK = kk.Link(1e-6, 1e9)
_JOB = kk.Job.even(2, 8, 1e-3, 1e3)
_NETWORK = kk.Network((2,), _LINK)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, math.nan, 10**400, [1]])
def test_no_whole_number_above_0(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"(?s)tokens is no number.*above 0") as caught:
        check_whole("tokens", value)
    assert "got:" in str(caught.value)


@pytest.mark.parametrize("value", [-1, -0.1, math.nan, math.inf, -math.inf, True, "1", None, [1]])
def test_no_amount(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"(?s)time_s is no amount.*0 or more, and finite"):
        check_amount("time_s", value)


def test_what_is_one_passes() -> None:
    for value in (0, 0.0, 1, 1e300, 10**15, np.float32(0.5), np.int64(3)):
        check_amount("x", value)
    check_amount("x", 2, most=2.0)
    check_whole("x", 0, least=0)
    check_whole("x", 3, most=3)
    with pytest.raises(ArgumentError, match="at most 2"):
        check_amount("x", 2.1, most=2.0)
    with pytest.raises(ArgumentError, match="from 1 to 3"):
        check_whole("x", 4, most=3)


@pytest.mark.parametrize("got", [3, ["tensor"], None, 2.5])
def test_an_error_can_be_shown_whatever_it_got(got: object) -> None:
    assert f"got: {got!r}" in str(KernelkitError("no", got=got))  # type: ignore[arg-type]


def _simulate(**how: object) -> Callable[[], object]:
    return lambda: kk.simulate(_JOB, _NETWORK, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (_simulate(jitter=10), "at most 1.5"),
        (_simulate(jitter="x"), "jitter"),
        (_simulate(seed=-1), "seed"),
        (_simulate(seed="x"), "seed"),
        (_simulate(slow={0: "x"}), r"slow\[0\]"),
        (_simulate(lost=5), "lost"),
        (_simulate(lost=kk.Lost(0, "x", 1.0, 1.0)), "at_s"),  # type: ignore[arg-type]
        (_simulate(lost=kk.Lost(0, 1.0, 1.0, -1.0)), "recover_s"),
        (_simulate(tokens=10**9), "longer than anyone waits"),
        (_simulate(micro_batches=10**5), "longer than anyone waits"),
        (lambda: kk.simulate("x", _NETWORK), "no Job"),  # type: ignore[arg-type]
        (lambda: kk.simulate(_JOB, "x"), "no Network"),  # type: ignore[arg-type]
        (lambda: kk.Network((2,), kk.Link("a", 1)), "latency_s"),  # type: ignore[arg-type]
        (lambda: kk.Network((2,), "tb5"), "no link"),  # type: ignore[arg-type]
        (lambda: kk.Network((2,), kk.Link(0, 0)), "carries nothing"),
        (lambda: kk.Network.of_kinds(2.5), "groups"),  # type: ignore[arg-type]
        (lambda: kk.Job.even("2", 8, 1, 1), "world_size"),  # type: ignore[arg-type]
        (lambda: kk.Job.even(0, 8, 1, 1), "world_size"),
        (lambda: kk.Job.even(2, 8, math.nan, 1), "layer_s"),
        (lambda: kk.Job.planned("llama-3.1-8b", stages="x"), "stages"),  # type: ignore[arg-type]
        (lambda: kk.Job.planned("llama-3.1-8b", context=1.5), "context"),  # type: ignore[arg-type]
        (lambda: kk.plan("llama-3.1-8b", context=10**400), "context"),
        (lambda: kk.plan("llama-3.1-8b", split=5), "no split"),  # type: ignore[arg-type]
        (lambda: kk.plan("llama-3.1-8b", strategy=3), "got: 3"),  # type: ignore[arg-type]
        (lambda: kk.plan("llama-3.1-8b", strategy=""), "got: ''"),  # type: ignore[arg-type]
        (lambda: kk.planned_shards(dict(kk.catalog.models()["llama-3.1-8b"].config), 4, split=3), "no split"),  # type: ignore[arg-type]
        (lambda: kk.sweep("llama-3.1-8b", strategies=[]), "strategies"),
        (lambda: kk.sweep("llama-3.1-8b", nodes=[]), "nodes"),
        (lambda: kk.sweep("llama-3.1-8b", foo=3), "foo"),
    ],
)  # fmt: skip
def test_odd_input_is_one_clear_error(call: Callable[[], object], word: str) -> None:
    with pytest.raises(ArgumentError, match=word) as caught:
        call()
    assert caught.value.expected
    assert caught.value.got
