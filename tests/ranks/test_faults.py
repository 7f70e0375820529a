"""The fault matrix, as far as two cores can run it in a minute or two: `python -m tests.ranks` runs it whole.

Times are measured there and not judged here: what hangs for `DEADLINE_S` fails.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.cluster.conftest import without_pytests_mark
from tests.ranks import chaos, table
from tests.ranks.harness import DEADLINE_S, Harness
from tests.ranks.matrix import (
    AGENT_KILLED,
    CASES,
    EXIT,
    GENERATING,
    IDLE,
    KILL,
    LOADING,
    ONE_EACH,
    OUT_OF_MEMORY,
    PYTHON,
    SEGFAULT,
    STOPPED,
    STUCK,
    STUCK_FAULTS,
    TWENTY_EACH,
    Case,
)
from tests.ranks.outcome import Outcome, Then
from tests.ranks.scratch import scratch

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what is left is read from Linux's /proc"),
    pytest.mark.timeout(2 * DEADLINE_S + 60),  # a case that hangs ends itself before
]

# With a model each costs seconds, and a stopped rank costs more: of those, each fault and each cut once.
_THINNED = {
    (LOADING, "tensor"): (KILL,),
    (LOADING, "pipeline"): (EXIT, OUT_OF_MEMORY),
    (GENERATING, "tensor"): (SEGFAULT,),  # and once more below, for its broken recovery
    (GENERATING, "pipeline"): (EXIT,),
    (IDLE, None): (KILL, SEGFAULT, AGENT_KILLED),
    (PYTHON, None): (EXIT, SEGFAULT, OUT_OF_MEMORY, STOPPED),
    (ONE_EACH, None): (KILL, OUT_OF_MEMORY),
}
_FOUR_RANKS = {(TWENTY_EACH, KILL), (STUCK, STUCK_FAULTS[0])}


def _is_run(case: Case) -> bool:
    if case.world_size == 2:
        return case.fault in _THINNED.get((case.phase, case.strategy), (case.fault,))
    return (case.phase, case.fault) in _FOUR_RANKS


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    """One cluster for all, so far as it can be recovered."""
    with scratch() as folder, closing(Harness(folder)) as harness:
        yield harness


def check(harness: Harness, case: Case, then: Then = "recover") -> None:
    """Run a case, and fail with everything that is not as it must be."""
    with without_pytests_mark():
        outcome = harness.run(case, then)
    assert not outcome.hang
    assert outcome.problems == []
    assert outcome.leftovers == {}


def _name(text: str) -> str:
    return re.sub(r"\W+", "-", text)


@pytest.mark.parametrize("case", [*filter(_is_run, CASES)], ids=lambda case: _name(str(case)))
def test_a_fault_is_told_and_recovered_from(case: Case, harness: Harness) -> None:
    check(harness, case)


def test_a_recovery_that_was_broken_off_is_taken_up_again(harness: Harness) -> None:
    """Variables, model and all."""
    is_it = (GENERATING, KILL, "tensor", 2)
    (case,) = [case for case in CASES if (case.phase, case.fault, case.strategy, case.world_size) == is_it]
    check(harness, case, "recover after a broken recovery")


_PLANS = chaos.draw(seed=6, count=8)


@pytest.mark.parametrize("plan", _PLANS, ids=lambda plan: _name(f"{plan.case} then {plan.then}"))
def test_chaos(plan: chaos.Plan, harness: Harness) -> None:
    check(harness, plan.case, plan.then)


# -- the harness itself ---------------------------------------------------------------------------


def test_every_fault_of_the_matrix_is_run_here() -> None:
    faults = {case.fault for case in CASES}
    thinned_out = faults - {case.fault for case in CASES if _is_run(case)}
    assert {fault.name for fault in thinned_out} <= {"SIGSTOP, Ctrl-C"}


def test_a_seed_stands_for_the_same_faults() -> None:
    plans = chaos.draw(seed=5, count=40)
    assert plans == chaos.draw(seed=5, count=60)[:40]
    assert plans != chaos.draw(seed=6, count=40)
    assert {plan.case.world_size for plan in chaos.draw(seed=5, count=400)} == {2, 3}
    assert all(plan.case.victim < plan.case.world_size for plan in plans)


def _outcome() -> Outcome:
    case = next(case for case in CASES if case.fault is KILL and case.phase is PYTHON)
    who = f"rank {case.victim}"
    text = f"{who} on {socket.gethostname()} is gone: killed by SIGKILL\nlast words of {who}"
    return Outcome(case, "recover", "RankLostError", text, detection_s=0.25, recovery_s=1.5)


def test_an_outcome_that_is_right() -> None:
    outcome = _outcome()
    outcome.judge_error()
    assert outcome.good
    assert outcome.met
    assert table.row(outcome)[3:] == ("rank 1", "RankLostError", "250 ms", "1.5 s", "0", "yes", "yes")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"error": "RankError"}, "expected RankLostError, got RankError"),
        ({"error": ""}, "expected RankLostError, got no error"),
        ({"text": "rank 0 is gone"}, "the message lacks"),
    ],
)
def test_a_wrong_error_is_seen(changes: dict[str, str], problem: str) -> None:
    outcome = _outcome()
    vars(outcome).update(changes)
    outcome.judge_error()
    assert problem in outcome.problems[0]
    assert table.row(outcome)[-2] == "NO"


def test_a_miss_is_no_failure() -> None:
    outcome = _outcome()
    outcome.recovery_s = 5.1
    assert outcome.good
    assert not outcome.met
    assert table.summary([outcome, _outcome()])["targets_missed"] == 1
