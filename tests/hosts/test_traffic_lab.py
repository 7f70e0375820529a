"""What MLX's ring sends to whom: the system's counters on each connection, against what the ranks say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kernelkit import Cluster
from kernelkit.cluster.observers import Moment
from kernelkit.hosts.live import sent_between
from tests.hosts.lab import Lab

Sent = dict[tuple[int, int], int]

# One way round, from where it goes both ways, and the smallest.
ELEMENTS = (1, 3, 1_000, 300_000, 400_000, 2_000_001)


def counted(lab: Lab, ranks: int) -> Sent:
    """Bytes of payload so far by sender and receiver, without what was sent twice."""
    rank_at = {address: rank for rank, address in enumerate(lab.addresses[:ranks])}
    found: Sent = {}
    for rank in range(ranks):
        lines = lab.run(rank, ["ss", "-tinH"]).stdout.splitlines()
        for ends, facts in zip(lines[::2], lines[1::2], strict=True):
            peer = rank_at.get(ends.split()[4].rpartition(":")[0])
            if peer is not None:
                sent, again = (_fact(name, facts) for name in ("bytes_sent", "bytes_retrans"))
                found[rank, peer] = found.get((rank, peer), 0) + sent - again
    return found


def _fact(name: str, facts: str) -> int:
    match = re.search(rf"{name}:(\d+)", facts)
    return int(match[1]) if match else 0


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_ranks_say_what_the_system_counts(inside: Lab, start: Callable[..., Cluster], ranks: int) -> None:
    cluster = start(*range(ranks))
    moments: list[Moment] = []
    cluster.observers.append(moments.append)
    programs = [
        (f"mx.eval(mx.distributed.{op}(mx.ones({elements})))", elements)
        for op in ("all_sum", "all_gather", "all_min")
        for elements in ELEMENTS
    ]
    sending = "x = mx.ones(50_000)\nif rank == 0: mx.eval(mx.distributed.send(x, 1))\n"
    programs.append((f"{sending}elif rank == 1: mx.eval(mx.distributed.recv_like(x, 0))", 50_000))
    for program, elements in programs:
        before = counted(inside, ranks)
        cluster.run(program)
        after = counted(inside, ranks)
        really = {pair: size - before[pair] for pair, size in after.items() if size != before[pair]}
        said = sent_between(moments[-1].places)
        assert moments[-1].phase == "ended"
        assert said.keys() == really.keys(), program
        for pair, size in really.items():
            # MLX cuts arrays into whole elements: one more or less in each step, and for each way round.
            assert abs(said[pair] - size) <= 2 * 2 * (ranks - 1) * 4, (program, pair)
        total = sum(said.values())
        assert total >= elements * 4
