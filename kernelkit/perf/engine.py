"""What happens next: a queue of events in order of time, and uplinks that carry one message after another."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from kernelkit.perf.network import Network

# Called with when the message began to leave, when it had left, and when it was there.
Arrived = Callable[[float, float, float], None]


class Engine:
    """A clock that jumps from event to event.

    Events at the same time happen in the order in which they were asked for, so a run is the same each time.
    """

    def __init__(self, network: Network, start_s: float = 0.0) -> None:
        self.network = network
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        # By group: until when its uplink sends and receives what was asked for so far.
        self._out_s = [start_s] * len(network.groups)
        self._in_s = [start_s] * len(network.groups)

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do it then."""
        heapq.heappush(self._queue, (time_s, next(self._order), action))

    def run(self, until_s: float) -> None:
        """All events before that time."""
        while self._queue and self._queue[0][0] < until_s:
            heapq.heappop(self._queue)[2]()

    def send(self, time_s: float, source: int, target: int, size_bytes: float, arrived: Arrived) -> None:
        """A message that is ready at `time_s`; `arrived` is called once it is known when it gets there."""
        self.at(time_s, lambda: self._leave(time_s, source, target, size_bytes, arrived))

    def _leave(self, start_s: float, source: int, target: int, size_bytes: float, arrived: Arrived) -> None:
        link = self.network.link(source, target)
        leave_s = link.leave_s(size_bytes)
        if self.network.crosses(source, target):
            out, into = self.network.group_of[source], self.network.group_of[target]
            start_s = max(start_s, self._out_s[out], self._in_s[into])
            self._out_s[out] = self._in_s[into] = start_s + leave_s
        arrived(start_s, start_s + leave_s, start_s + link.time_s(size_bytes))
