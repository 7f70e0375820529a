"""A model over real ranks, as a user drives it: load, generate, refuse, stop, unload."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster, Generation, ShardedModel
from kernelkit.errors import (
    ArgumentError,
    CellInterruptedError,
    DoesNotFitError,
    ModelNotFoundError,
    ModelShardError,
    NoModelError,
)
from kernelkit.generation import GenerationStoppedError, Progress
from kernelkit.perf.job import Job
from kernelkit.perf.network import Link, Network
from kernelkit.perf.simulate import simulate
from tests import waiting
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
    generation = model.generate("Hi", max_tokens=3, record=True)
    assert Generation.from_dict(json.loads(json.dumps(generation.to_dict()))) == generation


def test_progress_comes_while_it_runs_and_ends_as_the_generation(model: ShardedModel) -> None:
    seen: list[Progress] = []
    generation = model.generate("Hello", max_tokens=300, on_progress=seen.append)
    assert seen[0] == Progress(generation.prompt_tokens)
    assert [len(one.token_times_s) for one in seen] == sorted(len(one.token_times_s) for one in seen)
    assert seen[-1] == Progress(generation.prompt_tokens, generation.prompt_tokens, generation.token_times_s)
    assert generation.time_to_first_token_s == generation.token_times_s[0] > 0
    assert len(generation.token_times_s) == 300
    assert repr(generation).startswith(generation.text)  # its text was not shown before


def test_a_recorded_generation_has_the_same_tokens_and_each_ranks_share(model: ShardedModel) -> None:
    plain = model.generate("Hello", max_tokens=40)
    recorded = model.generate("Hello", max_tokens=40, record=True)
    assert recorded.tokens == plain.tokens
    assert plain.communication_s == plain.communication_share == ()
    assert len(recorded.communication_share) == len(recorded.elapsed_s) == 2
    assert all(0 < share < 1 for share in recorded.communication_share)
    timeline = recorded.timeline
    assert timeline is not None
    assert timeline.world_size == 2
    assert timeline.conditions[0].startswith("recorded on one machine")
    for lane, inside_s in zip(timeline.ranks, recorded.communication_s, strict=True):
        assert lane.seconds["collective"] + lane.seconds["wait"] == pytest.approx(inside_s, rel=0.05)
    assert Generation.from_dict(recorded.to_dict()) == recorded
    assert model.generate("Hello", max_tokens=2).communication_s == ()


def test_a_recorded_run_simulated_from_its_own_spans_is_as_slow_as_its_ranks(model: ShardedModel) -> None:
    # No clock decides this: each sum takes the slower rank's computing, and what the other did not wait.
    run = model.generate("Hello", max_tokens=40, record=True).timeline
    assert run is not None
    computes_s, insides_s = [], []
    for lane in run.ranks:
        assert all(a.end_s == b.start_s for a, b in itertools.pairwise(lane.spans))
        sums = sum(span.what == "collective" for span in lane.spans)
        computes_s.append(lane.seconds["compute"] / sums)
        insides_s.append((lane.seconds["collective"] + lane.seconds["wait"]) / sums)
    job = Job((1,), tuple(computes_s), (0.0, 0.0), 1.0, 1)
    network = Network((2,), Link(0.0, 1e12), crossing_s=min(insides_s))
    simulated = simulate(job, network, tokens=3, algorithm="mesh")
    ranks_s = [sum(both) for both in zip(computes_s, insides_s, strict=True)]
    assert min(ranks_s) * 0.999 <= 1 / simulated.tokens_per_s <= max(ranks_s) * 1.001


def test_a_stop_while_recording_leaves_the_ranks_in_step(cluster: Cluster, model: ShardedModel) -> None:
    started = threading.Event()
    presser = waiting.ctrl_c_after(started)
    with pytest.raises(GenerationStoppedError) as caught:
        model.generate("Hi", max_tokens=100_000, record=True, on_text=lambda text: started.set())
    presser.join()
    partial = caught.value.partial
    assert len(partial.token_times_s) == len(partial.tokens) > 0
    assert all(0 < share < 1 for share in partial.communication_share)
    assert cluster.run("int(mx.distributed.all_sum(mx.array(1)).item())")[0].value_repr == "2"


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
    presser = waiting.ctrl_c_after(started)
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
    with pytest.raises(ModelShardError, match="4 layers cannot be spread over 2 ranks"):
        cluster.load(str(folders["llama"]), "pipeline", split=(3, 3))
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens
    with pytest.raises(ArgumentError):
        cluster.load(str(folders["llama"]), "data")  # type: ignore[arg-type]
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens


def test_heads_that_do_not_divide(start: Callable[[int], Cluster], folders: dict[str, Path]) -> None:
    alone = start(1).load(str(folders["qwen2"])).generate("Hello", max_tokens=30)
    model = start(3).load(str(folders["qwen2"]))
    assert model.generate("Hello", max_tokens=30).tokens == alone.tokens
    # 4 heads and 2 KV heads on 3 ranks.
    assert repr(model).endswith(
        "\nSo that all divides: 4 → 6 heads (2 of zeros), 2 → 3 KV heads (1 of zeros), "
        "128 → 129 MLP rows (1 of zeros); rank 2 holds heads of zeros alone: fewer ranks, or another "
        "--split, would use the memory better"
    )
    held = [model.shards.heads_of(rank) for rank in range(3)]
    assert [share and share[:3] for share in held] == [(0, 2, 0), (2, 4, 0), (4, 4, 2)]


def test_shares_of_different_size(
    cluster: Cluster, start: Callable[[int], Cluster], folders: dict[str, Path]
) -> None:
    alone = start(1).load(str(folders["qwen2"])).generate("Hello", max_tokens=30)
    model = cluster.load(str(folders["qwen2"]), split=(3, 1))
    assert model.generate("Hello", max_tokens=30).tokens == alone.tokens
    assert [model.summaries[rank]["heads_here"] for rank in range(2)] == [3, 1]
    assert repr(model).endswith("\nSo that all divides: 2 → 4 KV heads (each 2 times)")
    assert model.shards.size_bytes(0) > model.shards.size_bytes(1)
    for split in ((1,), (1, 0), (1, 2, 3)):
        with pytest.raises(ArgumentError, match="shares"):
            cluster.load(str(folders["qwen2"]), split=split)
    assert cluster.model is model


def test_weights_quantized_in_memory(
    cluster: Cluster, start: Callable[[int], Cluster], folders: dict[str, Path]
) -> None:
    alone = start(1).load(str(folders["llama"]), quantize=8)
    model = cluster.load(str(folders["llama"]), quantize=8)
    assert model.summaries[1]["quantization_in_memory"] == {"group_size": 64, "bits": 8, "mode": "affine"}
    assert model.generate("Hi", max_tokens=20).tokens == alone.generate("Hi", max_tokens=20).tokens
    with pytest.raises(ArgumentError, match="quantization"):
        cluster.load(str(folders["llama"]), quantize=3)


def test_what_does_not_fit_is_refused_before_it_is_read(cluster: Cluster, model: ShardedModel) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        cluster.load(model.path, context=10**9)
    error = caught.value
    assert error.needed_bytes > error.available_bytes > 0
    assert "ranks 0, 1, which share one memory" in str(error)
    assert "--context " in error.cure
    assert cluster.model is model
    assert model.generate("Hi", max_tokens=2).tokens


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
    assert "<table " in model._repr_mimebundle_()["text/html"]


def test_a_broken_callback_breaks_the_generation_off_in_step(cluster: Cluster, model: ShardedModel) -> None:
    def broken(piece: str) -> None:
        raise ZeroDivisionError(piece)

    with pytest.raises(ZeroDivisionError):
        model.generate("Hi", max_tokens=2000, on_text=broken)
    assert cluster.state == "idle"
    assert len(model.generate("Hi", max_tokens=3).tokens) == 3


def test_a_load_that_is_interrupted_while_it_reads_says_what_is_gone(
    fresh: Cluster, folders: dict[str, Path]
) -> None:
    fresh.load(str(folders["llama"]))

    def stop(rank: int, event: dict[str, Any]) -> None:
        if event["phase"] == "weights":
            os.kill(os.getpid(), signal.SIGINT)

    def load_on() -> None:
        for _ in range(20):  # the reading of so small a model may be over before the signal is seen
            fresh.load(str(folders["qwen2"]), on_event=stop)

    with pytest.raises(CellInterruptedError, match="so no model is loaded now") as caught:
        load_on()
    assert "%cluster recover" in caught.value.cure
    assert fresh.model is None
    assert fresh.recover().model
    assert fresh.model is not None


@pytest.mark.parametrize(
    "layout",
    [
        {"stages": 0, "strategy": "hybrid"},
        {"context": 3_000_000_000},
        {"context": 1.5},
        {"split": (15.0, 15.0), "strategy": "pipeline"},
        {"split": (10**30, 1)},
        {"split": (55, 46)},
    ],
)
def test_a_layout_that_makes_no_sense_is_refused_in_the_notebook(
    cluster: Cluster, model: ShardedModel, layout: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentError):
        cluster.load(model.path, **layout)
    assert cluster.model is model


def test_an_unloaded_model_is_not_loaded_again_by_a_recovery(
    fresh: Cluster, folders: dict[str, Path]
) -> None:
    fresh.load(str(folders["llama"])).unload()
    pid = fresh.status().ranks[1].pid
    os.kill(pid, signal.SIGKILL)
    assert not fresh.recover().model
