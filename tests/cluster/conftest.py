"""Real clusters of local ranks: one for the tests of a module, and fresh ones for those that break theirs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kernelkit import Cluster, connect
from kernelkit.cluster import follow, gate
from kernelkit.errors import ClusterError
from tests import waiting
from tests.cluster.bench import Bench

Eventually = Callable[[Callable[[], Any], float], bool]


@contextmanager
def without_pytests_mark() -> Iterator[None]:
    """ipykernel leaves file descriptors uncaptured below pytest; ranks must behave as in a notebook."""
    name = "PYTEST_CURRENT_TEST"
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two ranks that a module's tests share; none of them may leave it unusable."""
    with without_pytests_mark():
        cluster = connect(2)
    yield cluster
    cluster.stop()


@pytest.fixture
def start() -> Iterator[Callable[[int], Cluster]]:
    """Start clusters of a test's own; they are stopped at its end."""
    started: list[Cluster] = []

    def start(world_size: int = 2) -> Cluster:
        with without_pytests_mark():
            started.append(connect(world_size))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


@pytest.fixture
def fresh(start: Callable[[int], Cluster]) -> Cluster:
    """Two ranks that the test may break."""
    return start(2)


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Poll until a condition holds; False after the deadline."""
    return waiting.eventually


@pytest.fixture(scope="session")
def gone() -> Callable[[int], bool]:
    """Whether a process has ended; an orphan that nobody has reaped yet counts as ended."""
    return waiting.gone


def _doing(cluster: Cluster) -> list[str]:
    try:
        return [rank.doing for rank in cluster.status().ranks]
    except ClusterError:
        return []


@pytest.fixture(scope="session")
def doing() -> Callable[[Cluster], list[str]]:
    """What each rank is doing now."""
    return _doing


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Nothing on it takes time, so whoever waits for the grace to pass need not wait long."""
    monkeypatch.setattr(follow, "ERROR_GRACE_S", 0.1)
    monkeypatch.setattr(follow, "INTERRUPT_GRACE_S", 0.1)
    monkeypatch.setattr(gate, "INTERRUPT_GRACE_S", 0.1)
    return Bench()
