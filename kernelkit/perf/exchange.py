"""A collective message by message, where messages may wait for uplinks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

from kernelkit.perf.engine import Engine
from kernelkit.perf.schedules import Schedule, Step, Times


class Exchange:
    """One run of a schedule: a rank goes on to its next step when its messages have left and come.

    Args:
        done: called once, with when each member is through.
    """

    def __init__(self, engine: Engine, schedule: Schedule, done: Callable[[Times], None]) -> None:
        count = len(schedule.members)
        self._engine, self._schedule, self._done = engine, schedule, done
        self._steps = [step for step in schedule.steps for _ in range(step.times)]
        self._parts = {id(step): _by_rank(step) for step in schedule.steps}
        self._time_s = np.zeros(count)
        self._at = [-1] * count
        # Of a rank's step: messages that have neither left nor come, or came before it was there.
        self._open: dict[tuple[int, int], int] = defaultdict(int)
        self._late_s: dict[tuple[int, int], float] = defaultdict(float)
        self._running = count

    def enter(self, place: int, time_s: float) -> None:
        """A member comes."""
        self._time_s[place] = time_s
        self._next(place)

    def _next(self, place: int) -> None:
        self._at[place] += 1
        number = self._at[place]
        if number == len(self._steps):
            self._running -= 1
            if not self._running:
                self._done(self._time_s + self._schedule.network.crossing_s)
            return
        step = self._steps[number]
        targets, comes = self._parts[id(step)][0][place], self._parts[id(step)][1][place]
        self._open[place, number] += len(targets) + comes
        members = self._schedule.members
        for target in targets:
            self._engine.send(
                self._time_s[place],
                members[place],
                members[target],
                step.size_bytes,
                partial(self._moved, place, target, number),
            )
        self._settle(place, number)

    def _moved(self, place: int, target: int, number: int, _: float, left_s: float, there_s: float) -> None:
        for each, time_s in ((place, left_s), (target, there_s)):
            self._open[each, number] -= 1
            self._late_s[each, number] = max(self._late_s[each, number], time_s)
            self._settle(each, number)

    def _settle(self, place: int, number: int) -> None:
        """Go on, if this is the rank's step and nothing of it is left."""
        if self._at[place] == number and not self._open[place, number]:
            self._time_s[place] = max(self._time_s[place], self._late_s[place, number])
            self._next(place)


def _by_rank(step: Step) -> tuple[dict[int, list[int]], dict[int, int]]:
    """To whom each sends, and how many each receives."""
    targets: dict[int, list[int]] = defaultdict(list)
    comes: dict[int, int] = defaultdict(int)
    for source, target in step.messages:
        targets[source].append(target)
        comes[target] += 1
    return targets, comes
