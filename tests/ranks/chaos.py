"""Random faults, one after the other, on a cluster that lives on: `python -m tests.ranks.chaos --seed 7`.

The seed decides everything that is drawn, before the first fault: what the ranks do, what happens to which
of them, after how long, and how the user goes on. Only the machine's own timing is left to chance. A
hang, a wrong error, a lost variable or a leftover makes the exit status 1.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args

import psutil

from tests.ranks import table
from tests.ranks.harness import Harness
from tests.ranks.matrix import BEFORE, CASES, LOADING, STUCK, Case, Phase
from tests.ranks.outcome import Outcome, Then
from tests.ranks.scratch import scratch

STORED = table.ROOT / "data" / "measurements" / "chaos.json"
_SIZES = {2: 0.7, 3: 0.3}
_THEN: dict[Then, float] = {
    "recover": 0.6,
    "recover twice": 0.1,
    "recover after a broken recovery": 0.1,
    "restart": 0.1,
    "connect": 0.1,
}
# Faults that only time or a person ends take so much of it.
_SLOW = 0.3

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """One fault, and how the user goes on."""

    case: Case
    then: Then


def draw(seed: int, count: int) -> list[Plan]:
    """The faults that a seed stands for; the first ones are the same however many there are."""
    luck = random.Random(seed)
    plans = []
    world_size = 2
    for _ in range(count):
        plans.append(_draw_one(luck, world_size))
        if plans[-1].then == "connect":
            world_size = _choose(luck, _SIZES)
    return plans


def _draw_one(luck: random.Random, world_size: int) -> Plan:
    by_phase: dict[Phase, list[Case]] = {}
    for case in CASES:
        if case.world_size == 2:
            by_phase.setdefault(case.phase, []).append(case)
    weights = {phase: 0.5 if phase in BEFORE else 1.0 for phase in by_phase}
    among = by_phase[_choose(luck, weights)]
    case = _choose(luck, {case: 1.0 if case.fault.deadly else _SLOW for case in among})
    if case.phase is STUCK:
        case = luck.choice(among)
    delay_s = round(luck.uniform(0.0, 2.0 if case.phase is LOADING else 0.5), 3)
    # The ring forms in an order in which only the last can be held back.
    victim = world_size - 1 if case.phase in BEFORE else luck.randrange(world_size)
    case = replace(case, world_size=world_size, victim=victim, delay_s=delay_s)
    return Plan(case, _choose(luck, _THEN))


def _choose(luck: random.Random, weights: dict[T, float]) -> T:
    return luck.choices(list(weights), list(weights.values()))[0]


def run(plans: Sequence[Plan], harness: Harness, limit_s: float, say: Callable[[str], None]) -> list[Outcome]:
    """Meet the planned faults until they are all done, or the time is up."""
    outcomes: list[Outcome] = []
    ends_s = time.monotonic() + limit_s
    for number, plan in enumerate(plans, 1):
        if time.monotonic() >= ends_s:
            say(f"the time is up: {len(outcomes)} of {len(plans)} faults done")
            break
        outcome = harness.run(plan.case, plan.then)
        outcomes.append(outcome)
        words = ", ".join(word for word in table.row(outcome)[4:9] if word)
        say(f"{number}/{len(plans)} {plan.case} after {plan.case.delay_s} s, then {plan.then}: {words}")
        if not outcome.good:
            say(table.plain([outcome]).partition("\n\n")[2])
    return outcomes


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    plans = draw(options.seed, options.faults)
    process = psutil.Process()
    with scratch() as folder:
        before = process.num_fds()
        with closing(Harness(folder)) as harness:
            outcomes = run(plans, harness, options.limit_s, print_now)
        gc.collect()
        grown = process.num_fds() - before
        left = [child.cmdline() for child in process.children(recursive=True)]
    facts = {"seed": options.seed, "planned": len(plans), "processes_left": left, "descriptors_grown": grown}
    paths = (options.out, STORED) if options.store else (options.out,)
    table.write(table.report("chaos", outcomes, **facts), paths)
    print(f"\n{_counts(outcomes)}\n\n{table.plain_summary(outcomes)}")
    print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()))
    print(f"written to {' and '.join(map(str, paths))}")
    return 0 if outcomes and not left and all(outcome.good for outcome in outcomes) else 1


def print_now(text: str) -> None:
    """A progress line."""
    print(text, flush=True)


def _counts(outcomes: Sequence[Outcome]) -> str:
    """How many faults there were in each phase, and how they ended."""
    columns: Sequence[str] = ("phase", "faults", *get_args(Then), "not right")
    rows = []
    for phase in dict.fromkeys(outcome.case.phase for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.case.phase == phase]
        then = Counter(outcome.then for outcome in mine)
        numbers: list[Any] = [len(mine), *(then[name] for name in get_args(Then))]
        rows.append([phase.name, *map(str, [*numbers, sum(not outcome.good for outcome in mine)])])
    return table.text_table(columns, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.ranks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what is drawn follows from it")
    parser.add_argument("--faults", type=int, default=200, help="at most so many")
    parser.add_argument("--limit-s", type=float, default=900.0, help="no new fault begins after so long")
    table.add_output(parser, STORED)
    return parser


if __name__ == "__main__":
    sys.exit(main())
