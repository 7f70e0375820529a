"""`cluster.calibrate()` over real ranks: every figure is there, and the group is as it was."""

from __future__ import annotations

import ast

from kernelkit import Cluster
from kernelkit.hosts.dispatch import Dispatch


def test_all_ranks_are_measured_and_stay_in_step(cluster: Cluster) -> None:
    cluster.run("x = mx.array(7)")
    phases: dict[int, list[str]] = {0: [], 1: []}
    found = cluster.calibrate(on_event=lambda rank, event: phases[rank].append(event["phase"]))
    assert found is cluster.calibration
    assert [rank.rank for rank in found.ranks] == [0, 1]
    assert {speed.kind for speed in found.ranks[1].kinds} == {"float32", "4bit", "8bit"}
    # No processor reads weights as fast as a terabyte a second, or as slowly as a megabyte.
    assert all(1e6 < speed.read_bytes_per_s < 1e12 for rank in found.ranks for speed in rank.kinds)
    assert [one.size_bytes for one in found.sums] == sorted(one.size_bytes for one in found.sums)
    assert phases[0][-1] == phases[1][-1] == "all_sum"
    assert cluster.run("int(mx.distributed.all_sum(x).item())")[1].value_repr == "14"


def test_what_hosts_take_for_a_token_is_measured_on_all_ranks_alike(cluster: Cluster) -> None:
    """Which a calibration does on CUDA alone. Here the device is slower than its host, and times are its."""
    cluster.run("from kernelkit.rank import dispatch; found = dispatch.measure(rounds=2)")
    for rank in (0, 1):
        found = Dispatch.of(ast.literal_eval(cluster.run("found")[rank].value_repr))
        assert found is not None
        assert found.sum_s is not None
        found.check()
        assert 1e-7 < found.kernel_s[1] < 1e-2
