"""A model over real ranks, as a user drives it: load, generate, refuse, stop, unload."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster, Generation, ShardedModel
from kernelkit.errors import ArgumentError, ModelNotFoundError, ModelShardError, NoModelError
from kernelkit.generation import GenerationStoppedError
from tests.rank import tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny.build(base / kind, kind) for kind in ("llama", "qwen2")}


@pytest.fixture
def model(cluster: Cluster, folders: dict[str, Path]) -> ShardedModel:
    return cluster.load(str(folders["llama"]))


@pytest.mark.parametrize(("kind", "strategy"), [("llama", "tensor"), ("qwen2", "pipeline")])
def test_two_ranks_write_what_one_writes(
    cluster: Cluster, start: Callable[[int], Cluster], folders: dict[str, Path], kind: str, strategy: Any
) -> None:
    alone = start(1).load(str(folders[kind])).generate("Hello", max_tokens=40)
    shared = cluster.load(str(folders[kind]), strategy).generate("Hello", max_tokens=40)
    assert shared.tokens == alone.tokens
    assert shared.text == alone.text
    assert len(shared.tokens) == 40
    assert len(shared.peak_memory_bytes) == 2


def test_loading_reports_the_progress_of_every_rank(cluster: Cluster, folders: dict[str, Path]) -> None:
    seen: dict[int, list[tuple[str, float]]] = {}
    cluster.load(
        str(folders["llama"]),
        on_event=lambda rank, event: seen.setdefault(rank, []).append((event["phase"], event["fraction"])),
    )
    assert sorted(seen) == [0, 1]
    assert all(("weights", 1.0) in events for events in seen.values())


def test_the_ranks_know_the_model_by_its_names(cluster: Cluster, model: ShardedModel) -> None:
    assert cluster.run("type(model).__name__, tokenizer is not None")[1].value_repr == "('Model', True)"


def test_the_text_streams_and_adds_up(model: ShardedModel) -> None:
    pieces: list[str] = []
    generation = model.generate("Hi", max_tokens=30, on_text=pieces.append)
    assert "".join(pieces) == generation.text
    assert generation.text not in repr(generation)


def test_drawing_follows_the_seed_and_reports_it(model: ShardedModel) -> None:
    first = model.generate("Hi", max_tokens=30, temp=1.0)
    again = model.generate("Hi", max_tokens=30, temp=1.0, seed=first.seed)
    other = model.generate("Hi", max_tokens=30, temp=1.0, seed=first.seed + 1)
    assert again.tokens == first.tokens
    assert other.tokens != first.tokens
    assert f"seed {first.seed}" in first.summary


def test_a_generation_survives_json(model: ShardedModel) -> None:
    generation = model.generate("Hi", max_tokens=3)
    data = generation.to_dict()
    assert Generation(**{**data, "peak_memory_bytes": tuple(data["peak_memory_bytes"])}) == generation


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"prompt": 5},
        {"max_tokens": 0},
        {"temp": -1.0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"prompt": ""},
    ],
)
def test_settings_out_of_range(cluster: Cluster, model: ShardedModel, settings: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        model.generate(**{"prompt": "Hi", **settings})
    assert cluster.state == "idle"


def test_ctrl_c_stops_all_ranks_after_the_same_token(cluster: Cluster, model: ShardedModel) -> None:
    started = threading.Event()

    def press() -> None:
        started.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(GenerationStoppedError) as caught:
        model.generate("Hi", max_tokens=100_000, on_text=lambda text: started.set())
    presser.join()
    partial = caught.value.partial
    assert partial.finish_reason == "stopped"
    assert partial.tokens
    assert model.generate("Hi", max_tokens=20).tokens[: len(partial.tokens)] == partial.tokens[:20]
    assert cluster.run("int(mx.distributed.all_sum(mx.array(1)).item())")[0].value_repr == "2"


@pytest.mark.parametrize("name", ["/no/such/folder", "nonsense", ""])
def test_a_path_that_is_no_model_leaves_the_loaded_one(
    cluster: Cluster, model: ShardedModel, name: str
) -> None:
    with pytest.raises(ModelNotFoundError):
        cluster.load(name)
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens


def test_a_cut_that_cannot_be_leaves_the_loaded_one(
    cluster: Cluster, model: ShardedModel, folders: dict[str, Path]
) -> None:
    with pytest.raises(ModelShardError, match="llama"):
        cluster.load(str(folders["llama"]), "pipeline")
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens
    with pytest.raises(ArgumentError):
        cluster.load(str(folders["llama"]), "data")  # type: ignore[arg-type]
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens


def test_heads_that_do_not_divide(start: Callable[[int], Cluster], folders: dict[str, Path]) -> None:
    three = start(3)
    with pytest.raises(ModelShardError, match="heads") as caught:
        three.load(str(folders["qwen2"]))
    assert caught.value.cure
    assert three.state == "idle"


def test_an_old_model_does_not_speak_for_the_new_one(
    cluster: Cluster, model: ShardedModel, folders: dict[str, Path]
) -> None:
    new = cluster.load(str(folders["qwen2"]))
    with pytest.raises(NoModelError):
        model.generate("Hi")
    new.unload()
    new.unload()
    with pytest.raises(NoModelError):
        new.generate("Hi")
    assert cluster.run("'model' in globals()")[0].value_repr == "False"


def test_its_table_names_every_ranks_share(model: ShardedModel) -> None:
    text = repr(model)
    assert "tensor parallel over 2 ranks" in text
    assert "llama, 4 layers" in text
    assert len(text.splitlines()) == 5
    assert "<table>" in model._repr_mimebundle_()["text/html"]
