"""One stage of a simulated job: its ranks go through their program together, each by its own clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kernelkit.perf.engine import Engine
from kernelkit.perf.exchange import Exchange
from kernelkit.perf.program import Collective, Compute, Op, Recv, Send, TokenEnd
from kernelkit.perf.schedules import Schedule, Times
from kernelkit.perf.timeline import What


@dataclass(frozen=True)
class Record:
    """The same thing on all ranks of a stage."""

    start_s: Times
    end_s: Times
    what: What
    name: str
    size_bytes: int = 0


class Meeting:
    """A collective that stages come to, again and again: the ranks of one, or all.

    Args:
        schedule: of its members, in the order of the ranks.
        quiet: whether no message of it can ever wait for an uplink.
    """

    def __init__(self, engine: Engine, schedule: Schedule, quiet: bool) -> None:
        self.schedule = schedule
        self._engine, self._quiet = engine, quiet
        self._place = {rank: place for place, rank in enumerate(schedule.members)}
        self._stages: list[tuple[Stage, list[int]]] = []
        self._entry_s = np.zeros(len(schedule.members))
        self._exchange: Exchange | None = None

    def enter(self, stage: Stage) -> None:
        """All ranks of a stage come, each at its own time."""
        places = [self._place[rank] for rank in stage.ranks]
        self._entry_s[places] = stage.time_s
        self._stages.append((stage, places))
        if not self._quiet:
            self._exchange = self._exchange or Exchange(self._engine, self.schedule, self._through)
            exchange = self._exchange
            for place, time_s in zip(places, stage.time_s, strict=True):
                self._engine.at(float(time_s), partial(exchange.enter, place, float(time_s)))
        elif sum(len(each) for _, each in self._stages) == len(self._entry_s):
            self._through(self.schedule.exits(self._entry_s))

    def _through(self, exit_s: Times) -> None:
        last_s = self._entry_s.max()
        stages, self._stages, self._exchange = self._stages, [], None
        for stage, places in stages:
            stage.leave(self.schedule, last_s, exit_s[places])


class Channel:
    """What one stage sends to another, in order: each entry the times of all ranks' messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[Times, Times]] = []
        self.taken = 0
        self.waiting: Stage | None = None


class Stage:
    """Ranks that share layers.

    Args:
        seconds: by `layer` and `head`, of computing of each rank.
        draw: gives factors of the ranks' computing, each time it is called others.
        channel: from a stage to a stage.
    """

    def __init__(
        self,
        number: int,
        ranks: list[int],
        program: list[Op],
        seconds: dict[str, Times],
        *,
        engine: Engine,
        message_bytes: float,
        draw: Callable[[int], Times],
        start_s: float,
    ) -> None:
        self.number, self.ranks, self._program = number, ranks, program
        self.time_s: Times = np.full(len(ranks), start_s)
        self.records: list[Record] = []
        self.token_s: dict[int, float] = {}
        self.meetings: dict[str, Meeting] = {}
        self.channels: dict[tuple[int, int], Channel] = {}
        self.peers: list[Stage] = []
        self._seconds, self._engine, self._draw = seconds, engine, draw
        self._message_bytes, self._at = message_bytes, 0
        self._until_s = np.inf

    def go(self, until_s: float) -> None:
        """Begin; what would start from `until_s` on is left."""
        self._until_s = until_s
        self._engine.at(float(self.time_s.min()), self._on)

    def _on(self) -> None:
        """Go on with the program up to where this stage has to wait."""
        while self._at < len(self._program) and self.time_s.min() < self._until_s:
            op = self._program[self._at]
            self._at += 1
            if isinstance(op, Compute):
                self._compute(op)
            elif isinstance(op, TokenEnd):
                self.token_s[op.token] = float(self.time_s.max())
            elif isinstance(op, Collective):
                self.meetings[op.name].enter(self)
                return
            elif isinstance(op, Send):
                self._send(op.stage)
                return
            elif not self._receive(op):
                return

    def leave(self, schedule: Schedule, last_s: float, exit_s: Times) -> None:
        """A collective is over."""
        met_s = np.minimum(np.maximum(self.time_s, last_s), exit_s)
        self.records.append(Record(self.time_s, met_s, "wait", schedule.name))
        size_bytes = round(schedule.size_bytes)
        self.records.append(Record(met_s, exit_s, "collective", schedule.name, size_bytes))
        self.time_s = exit_s
        self._engine.at(float(exit_s.min()), self._on)

    def _compute(self, op: Compute) -> None:
        after_s = self.time_s + op.share * self._seconds[op.of] * self._draw(len(self.ranks))
        self.records.append(Record(self.time_s, after_s, "compute", op.name))
        self.time_s = after_s

    def _send(self, to: int) -> None:
        count = len(self.ranks)
        times = np.zeros((3, count))
        missing = count

        def moved(place: int, *when: float) -> None:
            nonlocal missing
            times[:, place] = when
            missing -= 1
            if not missing:
                self._sent(to, times)

        for place, (rank, target) in enumerate(zip(self.ranks, self.peers[to].ranks, strict=True)):
            ready_s = float(self.time_s[place])
            self._engine.send(ready_s, rank, target, self._message_bytes, partial(moved, place))

    def _sent(self, to: int, times: Times) -> None:
        begun_s, left_s, there_s = times
        self.records.append(Record(self.time_s, left_s, "send", f"to stage {to}", round(self._message_bytes)))
        self.time_s = left_s
        channel = self.channels[self.number, to]
        channel.sent.append((begun_s, there_s + self._engine.network.crossing_s))
        if channel.waiting is not None:
            waiting, channel.waiting = channel.waiting, None
            self._engine.at(float(waiting.time_s.min()), waiting._on)
        self._engine.at(float(left_s.min()), self._on)

    def _receive(self, op: Recv) -> bool:
        """Whether it was there to be received."""
        channel = self.channels[op.stage, self.number]
        if channel.taken == len(channel.sent):
            channel.waiting = self
            self._at -= 1
            return False
        begun_s, there_s = channel.sent[channel.taken]
        channel.taken += 1
        met_s = np.maximum(self.time_s, np.minimum(begun_s, there_s))
        after_s = np.maximum(self.time_s, there_s)
        name = f"from stage {op.stage}"
        self.records.append(Record(self.time_s, met_s, "wait", name))
        self.records.append(Record(met_s, after_s, "recv", name, round(self._message_bytes)))
        self.time_s = after_s
        return True
