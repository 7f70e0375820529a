"""The laboratory for tests of several hosts: one for a module, mended after each test that breaks it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster, connect
from tests.cluster.conftest import without_pytests_mark
from tests.hosts.clusters import end, left, present
from tests.hosts.lab import Lab, why_not

Start = Callable[..., Cluster]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Four hosts that a module's tests share; a test that breaks something takes `breakable`."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Lab(hosts=4) as lab:
        yield lab


@pytest.fixture
def breakable(lab: Lab) -> Iterator[Lab]:
    """The same hosts; their wires, sshd and keys are put right again after the test."""
    yield lab
    lab.restore()


@pytest.fixture
def inside(breakable: Lab) -> Iterator[Lab]:
    """The test runs on the controller, and may break everything; it must leave nothing on any host."""
    before = present(breakable)
    with breakable.inside():
        yield breakable
    found = left(breakable, before)
    end(found)
    assert found == {}


@pytest.fixture
def start(inside: Lab, tmp_path: Path) -> Iterator[Start]:
    """Connect to hosts of the laboratory, by their numbers or as `connect` takes it; stopped at the end."""
    started: list[Cluster] = []

    def start(*numbers: int, ranks_per_host: int = 1, **how: Any) -> Cluster:
        if numbers:
            pythons = how.pop("pythons", None)
            how["hostfile"] = tmp_path / "of_the_lab.json"
            text = inside.hostfile(ranks_per_host, hosts=numbers, python=pythons)
            how["hostfile"].write_text(text)
        with without_pytests_mark():
            started.append(connect(**how))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()
