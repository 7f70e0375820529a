"""Experiments take the cluster that is connected: here only the tests' own count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernelkit.cluster import connecting


@pytest.fixture(scope="module", autouse=True)
def own_clusters() -> Iterator[None]:
    """Other tests keep clusters for the whole session; they are forgotten meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connecting, "_MADE", type(connecting._MADE)())
        yield
