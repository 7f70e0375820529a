"""The time inside collectives: measured on real ranks, and the same tokens come out."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from kernelkit.rank import timing
from tests.rank import tiny
from tests.rank.tiny import RingRun

RECORD = """
from kernelkit.rank import ledger, state, timing
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import load
state.rank, state.world_size, state.operation = rank, size, "generate"
ledger.install()
loaded = load(Path(args[0]), strategy=args[1], group=group)

def run(record, **options):
    options = {"max_tokens": 20, "temp": 0, "top_p": 1, "seed": 3, "raw": True, **options}
    return generate(loaded, "hello", control=StopControl(), record=record, **options)

result = [run(False), run(True), run(False, temp=1.0), run(True, temp=1.0)]
assert timing.clock is None
"""


@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_recording_changes_no_token(tmp_path: Path, ring_run: RingRun, strategy: str) -> None:
    path = str(tiny.build(tmp_path / "model", "qwen2"))
    for plain, recorded, drawn, drawn_recorded in ring_run(2, RECORD, path, strategy):
        assert plain["tokens"] == recorded["tokens"] != drawn["tokens"]
        assert drawn["tokens"] == drawn_recorded["tokens"]
        assert plain["communication_s"] is None
        for one in (recorded, drawn_recorded):
            assert 0 < one["communication_s"] < one["elapsed_s"]
            inside_us = sum(length_us for _, length_us, _ in one["recording"]["spans"])
            assert inside_us == pytest.approx(one["communication_s"] * 1e6, rel=0.05)
            assert {"tensor": "all_sum", "pipeline": "all_gather"}[strategy] in dict(
                one["recording"]["kinds"]
            )


CLOCK = """
from kernelkit.rank import ledger, state, timing
state.rank, state.world_size, state.operation = rank, size, "generate"
ledger.install()

with timing.recorded() as clock:
    x = mx.distributed.all_sum(mx.full((4,), rank + 1.0), group=group)
    y = mx.distributed.all_sum(5)
    other = 1 - rank
    if rank == 0:
        mx.eval(mx.distributed.send(x, other))
    else:
        x = mx.distributed.recv((4,), mx.float32, other)
    timed = clock.count
    mx.eval(mx.compile(mx.distributed.all_sum)(x))
    with timing.recorded(False) as none:
        mx.distributed.all_sum(x)
result = [x.tolist(), y.item(), timed, clock.count, clock.total_s, none]
"""


def test_every_kind_is_timed_and_what_is_traced_is_not(ring_run: RingRun) -> None:
    for x, y, timed, count, total_s, none in ring_run(2, CLOCK):
        assert (x, y) == ([3.0] * 4, 10)
        assert timed == count == 3
        assert total_s > 0
        assert none is None


def test_the_clock_runs_only_while_the_collective_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    cost_s = {"given": 100.0, "out": 1.0}

    def compute(array: mx.array) -> bool:
        nonlocal now_s
        now_s += cost_s[names[id(array)]]
        return True

    given, out = mx.ones(3), mx.ones(3)
    names = {id(given): "given", id(out): "out"}
    monkeypatch.setattr(timing, "run_at_once", compute)
    monkeypatch.setattr(timing, "perf_counter", lambda: now_s)
    with timing.recorded() as clock:
        assert clock is timing.clock is not None
        clock.time(given, out)
        clock.time((3,), out)  # as of a recv
    assert (clock.total_s, clock.count, now_s) == (2.0, 2, 102.0)
    assert [span[:2] for span in clock.to_dict(0.0)["spans"]] == [
        [100_000_000, 1_000_000],
        [101_000_000, 1_000_000],
    ]


def test_the_clock_keeps_so_many_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "KEPT_SPANS", 3)
    with timing.recorded() as clock:
        assert clock is not None
        for _ in range(5):
            clock.time(mx.ones(4), mx.ones(4), "all_sum")
    told = clock.to_dict(0.0)
    assert (len(told["spans"]), told["dropped"], told["elapsed_s"]) == (3, 2, None)
    assert told["kinds"] == [["all_sum", 16]]
