"""Plans side by side: the fastest, and the sentence on where more machines make it slower."""

from __future__ import annotations

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.perf import compare, plan, sweep
from tests.perf.configs import LLAMA_8B


def test_over_a_slow_link_more_machines_are_slower_and_it_says_why() -> None:
    swept = sweep(LLAMA_8B, "m3-ultra-256", range(1, 5), links=("tb5-rdma", "10gbe"), fast_synch=True)
    assert len(swept.plans) == 1 + 3 * 2 * 2
    assert swept.fastest is not None
    assert (swept.fastest.link, swept.fastest.strategy) == ("tb5-rdma", "tensor")
    slow = swept.line("10gbe", "tensor")
    speeds = [each.decode_tokens_per_s.mid for each in slow if each.decode_tokens_per_s]
    assert speeds == sorted(speeds, reverse=True)
    sentence = next(each for each in swept.sentences if each.startswith("tensor over 10gbe"))
    assert "fastest with 1 machine," in sentence
    assert "with 2 a token loses" in sentence
    assert "latency of collectives" in sentence
    assert "tensor over tb5-rdma" in repr(swept)
    assert "<table" in swept._repr_html_()


def test_what_cannot_run_is_said_once_for_all_numbers() -> None:
    swept = sweep(LLAMA_8B, "m3-ultra-256", range(7, 12), strategies=("tensor",))
    assert [each.nodes for each in swept.plans] == [7, 8]
    assert swept.refused == ("Not with 9 to 11 machines, tensor: jaccl's mesh has at most 8 ranks.",)
    with pytest.raises(ArgumentError, match="at most 8"):
        sweep(LLAMA_8B, "m3-ultra-256", (9,))


def test_plans_that_were_made_one_by_one() -> None:
    table = compare([plan(LLAMA_8B, on) for on in ("m4-16", "m3-ultra-256")])
    assert table.fastest is table.plans[1]
    assert compare([]).fastest is None
