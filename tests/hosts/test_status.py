"""The status of a cluster as plain data: what hosts have, and what was stored before they were told of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kernelkit import ClusterStatus
from kernelkit.errors import ArgumentError
from kernelkit.hosts.status import HostStatus
from tests.hosts.maps import GB, status


def test_a_line_for_each_host_stands_below_the_table() -> None:
    shown = status(["mac1", "mac2", "mac1"])
    *_, first, second = repr(shown).splitlines()
    assert first == "mac1: Apple M3 Ultra, 100 GB of 512 GB used"
    assert second == "mac2: Apple M3 Ultra, 100 GB of 512 GB used"
    assert f"{first}<br>{second}" in shown._repr_mimebundle_()["text/html"]


def test_what_is_not_known_of_a_host_is_left_out() -> None:
    assert str(HostStatus("a", "Apple M4")) == "a: Apple M4"
    assert str(HostStatus("a", memory_bytes=10**9, used_bytes=10**8)) == "a: 100 MB of 1 GB used"
    assert str(HostStatus("a")) == "a"


def test_it_comes_back_through_json() -> None:
    shown = status(["mac1", "mac2"])
    assert ClusterStatus.from_dict(json.loads(json.dumps(shown.to_dict()))) == shown


def test_one_that_was_stored_without_hosts_and_states_is_read() -> None:
    old: dict[str, Any] = json.loads(json.dumps(status(["mac1"]).to_dict()))
    del old["hosts"], old["ranks"][0]["state"]
    read = ClusterStatus.from_dict(old)
    assert (read.hosts, read.ranks[0].state) == ((), "idle")
    assert repr(read).splitlines() == repr(status(["mac1"])).splitlines()[:-1]


@pytest.mark.parametrize("data", [[], {}, {"state": "idle", "backend": "ring", "ranks": [{"rank": 0}]}])
def test_what_is_none_is_refused(data: Any) -> None:
    with pytest.raises(ArgumentError, match="no status of a cluster"):
        ClusterStatus.from_dict(data)


def test_a_gpu_with_memory_of_its_own_has_a_column() -> None:
    shown = status(["gpu1", "gpu1"], backend="nccl")
    first = replace(shown.ranks[0], gpu_memory_bytes=80 * GB, gpu_used_bytes=20 * GB)
    shown = replace(shown, ranks=(first, shown.ranks[1]))
    lines = repr(shown).splitlines()
    assert "GPU memory" in lines[1]
    assert "20 GB of 80 GB" in lines[3]
    assert "80 GB" not in lines[4]
    assert "GPU memory" not in repr(status(["mac1"]))
    assert ClusterStatus.from_dict(json.loads(json.dumps(shown.to_dict()))) == shown
