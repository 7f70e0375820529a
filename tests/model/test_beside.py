"""A prediction beside what came out: which part is off is told where it can be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelkit.generation import Generation
from kernelkit.model.beside import Beside, beside
from kernelkit.perf import Plan, Range, Term, plan
from tests.perf.configs import LLAMA_8B

_NEW, _TOKEN_S, _SUM_S, _FIRST_S = 11, 0.08, 0.02, 0.5


def _expect(context: int) -> Plan:
    """A plan of two ranks in which a token takes 0.1 s, a fifth of it in collectives."""
    found = plan(LLAMA_8B, "2xm3-ultra-96", link="tb5-rdma", context=context)
    terms = (Term("weights", Range.of(_TOKEN_S)), Term("latency", Range.of(_SUM_S)))
    return replace(
        found,
        decode_tokens_per_s=Range.of(10.0),
        time_to_first_token_s=Range.of(_FIRST_S),
        terms=terms,
        prefill_terms=terms,
    )


def _generation(tokens_per_s: float, communication_s: tuple[float, ...] = ()) -> Generation:
    times_s = tuple(_FIRST_S + number / tokens_per_s for number in range(_NEW))
    elapsed_s = (times_s[-1],) * len(communication_s)
    return Generation(
        "", list(range(_NEW)), 20, 40.0, tokens_per_s, (1, 1), "length", 0,
        token_times_s=times_s, elapsed_s=elapsed_s, communication_s=communication_s,
    )  # fmt: skip


def test_one_that_came_true_says_so(tmp_path: Path) -> None:
    found = beside(_generation(9.8), _expect)
    assert found is not None
    assert [(pair.what, round(pair.ratio, 2)) for pair in found.pairs] == [
        ("decode", 0.98),
        ("first token", 1.0),
    ]
    assert found.sentence.startswith("The prediction of decoding holds.")
    found.save(tmp_path / "b.json")
    assert Beside.load(tmp_path / "b.json") == found


def test_a_recording_tells_which_part_is_off() -> None:
    # The rank that waited least was 3 s in collectives; foretold were 11 times 0.02 s.
    found = beside(_generation(2.5, (3.0, 4.0)), _expect)
    assert found is not None
    assert found.sentence == ("It is slower than predicted: collectives took 2.78 s longer than foretold.")
    assert "--record" in beside(_generation(2.5), _expect).sentence  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"tokens": [1], "token_times_s": (0.5,)}, {"token_times_s": ()}])
def test_a_speed_that_was_not_measured_has_no_prediction(change: dict[str, object]) -> None:
    assert beside(replace(_generation(5.0), **change), _expect) is None  # type: ignore[arg-type]


def test_a_first_token_that_comes_late_is_told_beside_decoding_that_came_true() -> None:
    generation = _generation(9.8)
    late = replace(generation, token_times_s=tuple(1.5 + time_s for time_s in generation.token_times_s))
    found = beside(late, _expect)
    assert found is not None
    ratio = found.pairs[1].ratio
    assert ratio > 3
    assert found.sentence.startswith(
        f"The prediction of decoding holds. The first token took {ratio:.1f} times as long as foretold."
    )
