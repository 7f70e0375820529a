"""Experiments on two real ranks: again they give the same tokens, and the record knows where they ran."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelkit as kk
from kernelkit.errors import ArgumentError
from kernelkit.experiments import Experiment
from tests.cluster.conftest import without_pytests_mark
from tests.rank import tiny


@pytest.fixture(scope="module")
def cluster() -> Iterator[kk.Cluster]:
    with without_pytests_mark():
        cluster = kk.connect(2)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("experiment") / "model")


def once(cluster: kk.Cluster, max_tokens: int = 8) -> Experiment:
    assert cluster.model is not None
    with kk.experiment("tiny", max_tokens=max_tokens) as run:  # the one that is connected
        run.record("answer", cluster.model.generate("hello", max_tokens=max_tokens))
    return run.finished


def test_the_same_again_gives_the_same_tokens_and_says_so(cluster: kk.Cluster, folder: Path) -> None:
    cluster.load(folder)
    first = once(cluster)
    cluster.restart()
    cluster.load(folder)
    both = kk.experiments.compare(first, once(cluster))
    assert both.reproduced is True
    assert both.same_cluster
    assert both.differences == ()
    assert "answer: the greedy tokens are reproduced exactly, all 8." in both.sentences
    longer = kk.experiments.compare(first, once(cluster, 9))
    assert [fact.name for fact in longer.differences] == ["parameter max_tokens"]
    assert longer.reproduced is False


def test_the_record_knows_cluster_model_and_weights(
    cluster: kk.Cluster, folder: Path, tmp_path: Path
) -> None:
    cluster.load(folder)
    record = once(cluster)
    assert (record.backend, [place.rank for place in record.places]) == (cluster.backend, [0, 1])
    (host,) = record.hosts
    assert host.name == cluster.status().hosts[0].name
    assert host.mlx == cluster.rank_facts[0]["mlx"]
    assert record.text("answer").model == 0
    (model,) = record.models
    assert (model.name, model.strategy) == (str(folder), "tensor")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    listed = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    assert model.content == hashlib.sha256(listed.encode()).hexdigest()

    other = shutil.copytree(folder, tmp_path / "elsewhere")
    assert cluster.load(other).content == model.content
    weights = next(other.glob("*.safetensors"))
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert cluster.load(other).content != model.content


def test_each_text_knows_the_model_that_wrote_it(cluster: kk.Cluster, folder: Path) -> None:
    qwen = tiny.build(folder.parent / "qwen", "qwen2")
    with kk.experiment("strategies", cluster=cluster) as run:
        for strategy in ("tensor", "pipeline"):
            model = cluster.load(qwen, strategy=strategy)  # type: ignore[arg-type]
            run.record(strategy, model.generate("hello", max_tokens=4))
            run.record(f"{strategy} again", model.generate("hello", max_tokens=4))
        model.unload()
        cluster.model = None
    record = run.finished
    by_text = {text.name: record.models[text.model or 0].strategy for text in record.texts}
    assert by_text == {name: name.split()[0] for name in by_text}
    assert len({model.content for model in record.models}) == 1
    assert record.text("tensor").generation.tokens == record.text("pipeline").generation.tokens


def test_of_several_clusters_one_must_be_named(cluster: kk.Cluster) -> None:
    with without_pytests_mark(), kk.connect(1) as alone:
        with pytest.raises(ArgumentError, match="several clusters are connected"):
            kk.experiment("one")
        assert len(kk.experiment("one", cluster=alone).end().places) == 1
    assert len(kk.experiment("one").end().places) == 2


def test_without_texts_the_model_that_was_loaded_is_recorded(cluster: kk.Cluster, folder: Path) -> None:
    cluster.load(folder)
    run = kk.experiment("sums", cluster=cluster)
    cluster.run("total = mx.distributed.all_sum(mx.ones(1)).item()")
    run.record("sum", cluster["total"][0], unit="1")
    record = run.end()
    assert [model.name for model in record.models] == [str(folder)]
    assert record.figure("sum").values == (2.0,)
