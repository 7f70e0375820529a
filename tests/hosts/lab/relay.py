"""A process that carries packets between two TUN devices, each after a delay: for kernels without netem.

    python relay.py FD FD SECONDS

The devices come as open, non-blocking file descriptors. The end of standard input ends it.
"""

import os
import select
import sys
import time
from collections import deque
from contextlib import suppress

_STDIN = 0
_PACKET_BYTES = 65536
_AT_ONCE = 64  # Packets read from one device before those that are due are sent.


def relay(ends: tuple[int, int], delay_s: float) -> None:
    """Carry packets until standard input ends."""
    across = {ends[0]: ends[1], ends[1]: ends[0]}
    # Every packet waits equally long, so they are due in the order in which they came.
    under_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        timeout_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select([_STDIN, *ends], [], [], timeout_s)
        if _STDIN in ready and not os.read(_STDIN, 1):
            return
        for end in ends:
            if end in ready:
                _take(end, across[end], delay_s, under_way)
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, packet = under_way.popleft()
            with suppress(OSError):  # A device that is down loses it, as a cable would.
                os.write(end, packet)


def _take(end: int, to: int, delay_s: float, under_way: deque[tuple[float, int, bytes]]) -> None:
    due_s = time.monotonic() + delay_s
    with suppress(OSError):  # Nothing more to read, or the device is down.
        for _ in range(_AT_ONCE):
            under_way.append((due_s, to, os.read(end, _PACKET_BYTES)))


if __name__ == "__main__":
    # Ranks in a collective keep every core busy, which must not add to the delay. Containers may forbid it.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    relay((int(sys.argv[1]), int(sys.argv[2])), float(sys.argv[3]))
