"""Recovery: what comes back, what must not, and that it may be called at any time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.cluster import lifetime
from kernelkit.cluster.recovery import Recovery
from kernelkit.errors import CollectiveMismatchError, ConnectError, NoClusterError, RankLostError
from tests.rank.tiny import build

SUM = "mx.distributed.all_sum(mx.ones(1))"


def kill(cluster: Cluster, rank: int, eventually: Callable[..., bool]) -> None:
    os.kill(cluster.status().ranks[rank].pid, signal.SIGKILL)
    assert eventually(lambda: cluster.state.startswith("failed"))


def works(cluster: Cluster) -> bool:
    return [o.value_repr for o in cluster.run(SUM).values()] == ["array([2], dtype=float32)"] * 2


def test_everything_that_can_be_carried_comes_back_as_it_was(
    fresh: Cluster, eventually: Callable[..., bool]
) -> None:
    fresh.run("""
import numpy as np, os.path as where
lazy = mx.arange(6).reshape(2, 3).T * (rank + 1)
half = mx.array([1.5, -2, 3e38], dtype=mx.bfloat16)
nothing, zero, empty = None, mx.array(7), mx.zeros((0, 3))
table = {"a": [1, (2.5, "drei")], 3: b"raw", "deep": {"array": np.eye(2)[:, ::-1], "x": half}}
text, flag, whole, big = "ä☃", True, -(2**80), 1 + 2j
def step(): pass
class Thing: pass
thing, numbers, held = Thing(), (i for i in ()), []
held.append(held)
net, many = nn.Linear(2, 2), type("Sub", (dict,), {})(a=1)
""")
    show = "[repr(v) for v in (lazy, half, zero, empty, table, text, flag, whole, big, where.__name__)]"
    shown = fresh.run(show, ranks=[0])[0].value_repr
    fresh.run("lazy = lazy * 1", ranks=[0])  # lazy again
    kill(fresh, 1, eventually)
    recovery = fresh.recover()
    arrays = ["empty", "half", "lazy", "table", "zero"]
    names = sorted([*arrays, "big", "flag", "np", "nothing", "text", "where", "whole"])
    assert recovery.carried == {0: names, 1: []}
    assert recovery.left[1] == {"": "everything: its process ended (killed by SIGKILL)"}
    assert set(recovery.left[0]) == {"step", "Thing", "thing", "numbers", "held", "net", "many"}
    assert recovery.left[0]["net"] == "an nn.Module, make it again"
    assert recovery.left[0]["step"] == "defined in a cell, run it again"
    assert "deeper" in recovery.left[0]["held"]
    assert fresh.run(show, ranks=[0])[0].value_repr == shown
    assert works(fresh)


def test_what_the_broken_cell_was_computing_never_passes_for_a_result(fresh: Cluster) -> None:
    fresh.run("a, b, c = mx.ones(4), mx.ones(4) * 2, [mx.ones(4) * 3]\nmx.eval(a, b, c)")
    with pytest.raises(CollectiveMismatchError):
        fresh.run("""
done = np_before = 5
if rank == 0:
    a = mx.distributed.all_sum(a)      # bound again
    b += a                             # in place
    c.append(b * 2)                    # inside a container
    mx.eval(a, b, c)
""")
    recovery = fresh.recover()
    assert recovery.carried == {0: ["done", "np_before"], 1: ["a", "b", "c", "done", "np_before"]}
    assert recovery.left[0] == dict.fromkeys("abc", "changed in the cell that broke")
    assert fresh.run("b", ranks=[1])[1].value_repr == "array([2, 2, 2, 2], dtype=float32)"


def test_the_model_is_loaded_again_and_writes_the_same(
    fresh: Cluster, eventually: Callable[..., bool], tmp_path: Path
) -> None:
    model = fresh.load(str(build(tmp_path / "model")))
    tokens = model.generate("hello", max_tokens=8, raw=True).tokens
    kill(fresh, 0, eventually)
    with pytest.raises(RankLostError, match="rank 0"):
        model.generate("hello", max_tokens=8, raw=True)
    recovery = fresh.recover()
    assert recovery.model == str(tmp_path / "model")
    assert fresh.model is not None
    assert fresh.model is not model
    assert fresh.model.generate("hello", max_tokens=8, raw=True).tokens == tokens


def test_recover_may_come_at_any_time(fresh: Cluster, eventually: Callable[..., bool]) -> None:
    fresh.run("x = rank")
    assert fresh.recover().what.startswith("nothing to recover")
    kill(fresh, 1, eventually)
    found: list[Recovery] = []
    threads = [threading.Thread(target=lambda: found.append(fresh.recover())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(recovery.carried) for recovery in found) == [False, True]
    fresh.stop()
    with pytest.raises(NoClusterError):
        fresh.run("x")
    assert fresh.recover().carried == {}
    assert works(fresh)


def test_variables_outlive_a_recovery_that_failed(
    fresh: Cluster, eventually: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.run("x = mx.arange(3) + rank")
    kill(fresh, 1, eventually)

    def fail(*_: Any) -> Any:
        raise ConnectError("no ranks today")

    with monkeypatch.context() as patched:
        patched.setattr(lifetime, "bring_up", fail)
        with pytest.raises(ConnectError):
            fresh.recover()
    assert fresh.state == "stopped"
    assert fresh.recover().carried == {0: ["x"], 1: []}
    assert fresh.run("x.tolist()", ranks=[0])[0].value_repr == "[0, 1, 2]"


def test_a_recovery_shows_itself_and_travels() -> None:
    recovery = Recovery(
        "2 new ranks, backend ring",
        {0: ["x"], 1: []},
        {0: {"f": "defined in a cell, run it again", "g": "defined in a cell, run it again"}, 1: {"": "all"}},
        "smollm2",
    )
    assert repr(recovery).splitlines() == [
        "2 new ranks, backend ring",
        "model smollm2 is loaded again",
        "rank  carried  not carried",
        "----  -------  -------------------------------------",
        "0     x        f, g: defined in a cell, run it again",
        "1     nothing  all",
    ]
    assert "<td" in recovery._repr_mimebundle_()["text/html"]
    assert Recovery(**recovery.to_dict()) == recovery
