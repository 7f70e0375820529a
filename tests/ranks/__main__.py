"""Run the fault matrix, print its table, keep its figures: `python -m tests.ranks`.

A target that is missed is a `no` in the table and never a failure: timings depend on the machine. A case
that hung, ended with another error than it must, or left something behind makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from tests.ranks import table
from tests.ranks.harness import Harness
from tests.ranks.matrix import CASES, MEMORY_CAN_BE_LIMITED
from tests.ranks.outcome import Outcome
from tests.ranks.scratch import scratch

STORED = table.ROOT / "data" / "measurements" / "faults.json"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.store and (options.only or options.ranks):
        _parser().error("--store keeps a whole run: leave --only and --ranks out")
    wanted = [
        case
        for case in CASES
        if options.only in str(case) and case.world_size == (options.ranks or case.world_size)
    ]
    if not MEMORY_CAN_BE_LIMITED:
        print(table.NO_OOM)
    outcomes: list[Outcome] = []
    with scratch() as folder, closing(Harness(folder)) as harness:
        for number, case in enumerate(wanted, 1):
            outcomes.append(harness.run(case))
            words = [word for word in table.row(outcomes[-1])[4:] if word]
            print(f"{number}/{len(wanted)} {case}: {', '.join(words)}", flush=True)
    paths = (options.out, STORED) if options.store else (options.out,)
    table.write(table.report("matrix", outcomes), paths)
    print(f"\n{table.plain(outcomes)}\n\n{table.plain_summary(outcomes)}")
    print(f"written to {' and '.join(map(str, paths))}")
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.ranks", description=__doc__)
    parser.add_argument("--ranks", type=int, choices=(2, 4), help="only the cases with so many ranks")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases with this in their name")
    table.add_output(parser, STORED)
    return parser


if __name__ == "__main__":
    sys.exit(main())
