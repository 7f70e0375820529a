"""Stages of ranks that cut their layers: over mpi, whose groups can be split; refused over a ring."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kernelkit import Cluster, connect
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.heads import Share
from kernelkit.sharding.shape import planned_shards
from kernelkit.views import shard_map
from tests.cluster.conftest import without_pytests_mark
from tests.rank import tiny

_AS_ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here (Debian: openmpi-bin)")
def test_two_stages_of_two_ranks(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _AS_ROOT:  # mpirun's own question, which is not what this is about
        monkeypatch.setenv(name, "1")
    # mlx-lm has a pipeline of its own for qwen2, but not for a part of the ranks.
    folders = {kind: str(tiny.build(tmp_path / kind, kind)) for kind in ("llama", "qwen2")}
    expected = {kind: cluster.load(path).generate("Hello", max_tokens=8) for kind, path in folders.items()}
    with without_pytests_mark(), connect(4, backend="mpi") as four:
        for kind, path in folders.items():
            model = four.load(path, "hybrid", split=(1, 3))
            assert model.generate("Hello", max_tokens=8).tokens == expected[kind].tokens
            shards = model.shards
            assert shards.layer_ranges == ((3, 4), (3, 4), (0, 3), (0, 3))
            dtype = str(model.summaries[0]["dtype"])
            planned = planned_shards(path, 4, "hybrid", shards.model, (1, 3), dtype)
            assert replace(planned, planned=False) == shards
            assert [shards.heads_of(rank) for rank in range(4)] == [
                Share(0, 2, held=2),
                Share(2, 4, held=2),
            ] * 2
            assert "hybrid" in repr(model)
            assert "tensor parallel stages on 4 ranks" in shard_map(shards).text
        with pytest.raises(ArgumentError, match="stages do not fit"):
            four.load(folders["llama"], "hybrid", stages=3)
        assert four.run("rank")[3].value_repr == "3"


def test_a_ring_cannot_be_split(tmp_path: Path) -> None:
    with without_pytests_mark(), connect(4) as four:
        with pytest.raises(ModelShardError, match="the backend ring cannot split a group") as caught:
            four.load(str(tiny.build(tmp_path)), "hybrid")
        assert "--backend mpi" in caught.value.cure
        assert four.state == "idle"
