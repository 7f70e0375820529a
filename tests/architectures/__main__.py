"""Try every architecture over ranks, and keep what was found: `python -m tests.architectures`.

A refusal is a result. What is wrong makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.architectures import table, tiny
from tests.architectures.harness import Harness
from tests.architectures.reference import NotLoadableError, Reference, make
from tests.architectures.table import RANKS, STRATEGIES
from tests.ranks.scratch import scratch


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.show:
        print(table.plain(table.read()))
        return 0
    stored = table.read() if options.store or options.missing else table.empty()
    names = options.only.split(",") if options.only else list(tiny.names())
    if options.missing:
        names = [name for name in names if name not in stored["architectures"]]
    found = table.empty()
    for name, one in _run(names, options):
        table.add(found, name, one)
        table.add(stored, name, one)
        if options.store:
            table.write(stored)
    print(f"\n{table.plain(found)}")
    return 1 if any(numbers["all"]["wrong"] for numbers in table.counts(found).values()) else 0


def _run(names: list[str], options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each architecture and what was found of it, all numbers of ranks at the same time."""
    began_s = time.monotonic()
    with scratch() as folder:
        harnesses = {str(ranks): Harness(ranks) for ranks in options.ranks}
        try:
            for name in names:
                if options.limit_s and time.monotonic() - began_s > options.limit_s:
                    print(f"the time is up before {name}")
                    return
                yield name, _one(folder, name, harnesses, options.strategy)
        finally:
            for harness in harnesses.values():
                harness.close()


def _one(folder: Path, name: str, harnesses: dict[str, Harness], strategies: list[str]) -> dict[str, Any]:
    try:
        reference = make(folder / name, name)
    except NotLoadableError as error:
        print(f"{name}: does not load: {error}", flush=True)
        return {"does_not_load": str(error)}
    return {strategy: _cases(name, reference, harnesses, strategy) for strategy in strategies}


def _cases(name: str, reference: Reference, harnesses: dict[str, Harness], strategy: str) -> dict[str, Any]:
    cases = {}
    for ranks, harness in harnesses.items():
        began_s = time.monotonic()
        cases[ranks] = harness.run(reference, strategy).to_dict()
        words = " ".join(str(value) for value in cases[ranks].values())
        print(f"{name} {strategy} {ranks}: {words} ({time.monotonic() - began_s:.1f} s)", flush=True)
    return cases


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.architectures", description=__doc__)
    parser.add_argument("--only", default="", metavar="A,B", help="these architectures")
    parser.add_argument("--missing", action="store_true", help="those that the stored table lacks")
    parser.add_argument("--strategy", type=lambda text: [text], choices=[[s] for s in STRATEGIES])
    parser.add_argument("--ranks", type=_numbers, default=list(RANKS), metavar="2,3")
    parser.add_argument("--limit-s", type=float, default=0.0, help="begin no architecture after so long")
    parser.add_argument("--store", action="store_true", help=f"into {table.STORED.relative_to(table.ROOT)}")
    parser.add_argument("--show", action="store_true", help="print the stored table, run nothing")
    parser.set_defaults(strategy=list(STRATEGIES))
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
