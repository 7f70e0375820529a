"""Results show themselves as pictures where there is a page, and as tables where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from kernelkit.cluster.site import local_site
from kernelkit.magics import pictures
from kernelkit.views.picture import MIME
from tests.views import samples


@pytest.fixture
def shell() -> Iterator[Any]:
    """A shell of a Jupyter kernel."""
    shell: Any = InteractiveShell()
    shell.kernel = object()
    yield shell
    pictures.unregister(shell)


RESULTS = {
    "topology": lambda: samples.cluster_map(3),
    "links": lambda: samples.link_report(3),
    "shardmap": lambda: samples.shard_map(2),
    "memory": lambda: samples.memory_map(2),
    "generation": samples.generation,
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_is_a_picture_with_its_own_table(shell: Any, kind: str) -> None:
    pictures.register(shell, lambda: None)
    result = RESULTS[kind]()
    data, metadata = shell.display_formatter.format(result)
    assert data[MIME]["kind"] == kind
    assert data["text/plain"] == repr(result)
    assert "image/png" in data
    assert "text/html" not in data  # nbconvert and GitHub would take it in the PNG's place
    assert metadata["image/png"]["alt"] == data[MIME]["alt"]


def test_the_status_shows_the_links_that_were_measured(shell: Any) -> None:
    from kernelkit.hosts.status import ClusterStatus, RankStatus

    class Known:
        """A cluster of three."""

        measured = samples.link_report(3)
        site = local_site(3)

    ranks = tuple(
        RankStatus(rank, f"studio-{rank}.local", 1, "gpu", "", "0", None, None, "idle") for rank in range(3)
    )
    status = ClusterStatus("idle", "jaccl", ranks)
    pictures.register(shell, lambda: Known())  # type: ignore[arg-type,return-value]
    data, _ = shell.display_formatter.format(status)
    assert "11 %" not in data["text/plain"]
    assert "6.4 GB/s" in str(data[MIME]["scene"])
    data, _ = shell.display_formatter.format(ClusterStatus("idle", "jaccl", ranks[:2]))
    assert "6.4 GB/s" not in str(data[MIME]["scene"])  # of another cluster: nothing was measured there


def test_a_terminal_keeps_its_tables() -> None:
    shell = InteractiveShell()
    pictures.register(shell, lambda: None)
    assert MIME not in shell.display_formatter.format(samples.link_report(2))[0]


def test_nothing_is_left_of_them(shell: Any) -> None:
    pictures.register(shell, lambda: None)
    shell.display_formatter.format(samples.link_report(2))
    pictures.unregister(shell)
    assert MIME not in shell.display_formatter.format(samples.link_report(2))[0]
