"""One rank of a plain MLX ring of two: a ping-pong of 4 bytes, then large messages one way.

MLX_RANK and MLX_HOSTFILE are set. Arguments: bytes of a large message, and how many of them. Rank 0 prints
its figures as one JSON line.
"""

import json
import statistics
import sys
import time

import mlx.core as mx

PINGS = 300
group = mx.distributed.init(strict=True, backend="ring")
rank, peer = group.rank(), 1 - group.rank()
size_bytes, count = int(sys.argv[1]), int(sys.argv[2])


def send(array: mx.array) -> None:
    mx.eval(mx.distributed.send(array, peer, group=group))


def receive(like: mx.array) -> None:
    mx.eval(mx.distributed.recv_like(like, peer, group=group))


small, large = mx.zeros(1), mx.zeros(size_bytes // 4)
mx.eval(small, large)


def ping() -> float:
    started_s = time.perf_counter()
    send(small)
    receive(small)
    return time.perf_counter() - started_s


def stream(messages: int) -> float:
    """Seconds for one message, the small acknowledgement at the end not subtracted."""
    started_s = time.perf_counter()
    for _ in range(messages):
        send(large)
    receive(small)
    return (time.perf_counter() - started_s) / messages


if rank == 0:
    round_trips_s = [ping() for _ in range(PINGS)][PINGS // 10 :]
    stream(1)
    latency_s = statistics.median(round_trips_s) / 2
    print(
        json.dumps({"latency_s": latency_s, "bandwidth_bytes_per_s": size_bytes / stream(count)}), flush=True
    )
else:
    for _ in range(PINGS):
        receive(small)
        send(small)
    for messages in (1, count):
        for _ in range(messages):
            receive(large)
        send(small)
