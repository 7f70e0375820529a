"""A model goes from one rank to another, each with a home and a cache of its own as two hosts have them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster, connect
from kernelkit.errors import ArgumentError, CellInterruptedError, ModelNotFoundError, ModelPushError
from kernelkit.rank.convey import CHUNK_BYTES
from tests import waiting
from tests.cluster.conftest import without_pytests_mark
from tests.cluster.twohosts import NAME, TwoHosts
from tests.rank import tiny


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    homes = [tmp_path_factory.mktemp(host) for host in "ab"]
    with without_pytests_mark(), pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERNELKIT_CACHE", raising=False)
        patch.delenv("XDG_CACHE_HOME", raising=False)
        cluster = connect(2)
    yield TwoHosts.of(cluster, homes)
    cluster.stop()


@pytest.fixture
def model(both: TwoHosts) -> Path:
    """A model in a's home; files of no byte, of one chunk exactly and of more are among its own."""
    for home in both.homes:
        for name in ("models", ".cache"):
            _remove(home / name)
    folder = tiny.build(both.homes[0] / "models" / "m")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "one.txt").write_bytes(os.urandom(CHUNK_BYTES))
    (folder / "more.txt").write_bytes(os.urandom(2 * CHUNK_BYTES + 5))
    (folder / "picture.png").write_bytes(b"no part of a model")
    return folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wanted(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name != "picture.png"}


def test_a_model_arrives_as_it_is_and_loads(both: TwoHosts, model: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="on a, but not on b") as caught:
        both.load()
    assert caught.value.cure == f"%model push {NAME}"
    events: list[tuple[int, dict[str, Any]]] = []
    pushed = both.push(on_event=lambda rank, event: events.append((rank, event)))
    assert pushed.folders == {"b": str(both.homes[1] / "models" / "m")}
    assert contents(both.homes[1] / "models" / "m") == wanted(model)
    assert [path.name for path in (both.homes[1] / "models").iterdir()] == ["m"]
    assert pushed.sent_bytes == pushed.total_bytes == sum(map(len, wanted(model).values()))
    assert "every file's SHA-256 agrees" in repr(pushed)
    sending = [event for rank, event in events if rank == 0 and event["phase"].startswith("sending")]
    assert sending[-1]["fraction"] == 1
    assert all(event["bytes_per_s"] > 0 for event in sending)
    assert len(both.load().generate("Hello", max_tokens=4).tokens) == 4
    again = both.push()
    assert (again.sent_bytes, again.total_bytes) == (0, pushed.total_bytes)
    assert "were there already" in repr(again)


def test_backwards_and_only_what_is_lacking(both: TwoHosts, model: Path) -> None:
    both.push()
    for name in ("more.txt", "config.json"):
        (model / name).unlink()
    pushed = both.push(source="b", to=["a"])
    there = contents(both.homes[1] / "models" / "m")
    assert pushed.sent_bytes == len(there["more.txt"]) + len(there["config.json"])
    assert wanted(model) == there
    assert (model / "picture.png").exists()


def test_another_model_in_the_place_is_left_alone(both: TwoHosts, model: Path) -> None:
    other = tiny.build(both.homes[1] / "models" / "m", "qwen2")
    (other / "model-2.safetensors").write_bytes(b"stale")
    before = contents(other)
    with pytest.raises(ModelPushError, match="nothing was sent") as caught:
        both.push()
    assert f"b: {other} holds another model" in caught.value.got
    for name in ("config.json", "model-2.safetensors"):
        assert name in caught.value.got
    assert contents(other) == before


def test_where_the_path_cannot_be_it_goes_into_the_cache(both: TwoHosts, model: Path) -> None:
    (both.homes[1] / "models").write_text("a file")
    pushed = both.push()
    copy = Path(pushed.folders["b"])
    assert both.homes[1] / ".cache" in copy.parents
    assert contents(copy) == wanted(model)
    assert len(both.load().generate("Hello", max_tokens=4).tokens) == 4
    # In the cache a copy that has become old is replaced.
    (model / "more.txt").write_bytes(b"new")
    (copy / "model-old.safetensors").write_bytes(b"old")
    assert both.push().sent_bytes == 3
    assert contents(copy) == wanted(model)


@pytest.fixture
def small_files(both: TwoHosts) -> Iterator[None]:
    """Rank 1 can write no file of more than one chunk and a half, as if its disk were full then."""
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({}, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    both.cluster.run(limit.format(CHUNK_BYTES * 3 // 2), ranks=[1])
    yield
    both.cluster.run(limit.format("r.getrlimit(r.RLIMIT_FSIZE)[1]"), ranks=[1])


def test_a_disk_that_fills_is_told_and_cleaned(both: TwoHosts, model: Path, small_files: None) -> None:
    with pytest.raises(ModelPushError, match="half a model") as caught:
        both.push()
    assert "b: [Errno 27]" in caught.value.got
    assert "a:" not in caught.value.got
    assert "mend that, then push again" in caught.value.cure
    assert [*(both.homes[1] / "models").iterdir()] == []
    assert both.in_step()


def test_a_source_that_changes_meanwhile(
    both: TwoHosts, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def operate(requests: Any, **how: Any) -> dict[int, Any]:
        if requests[min(requests)][0] == "transfer":
            (model / "more.txt").write_bytes(b"short")
        return both.cluster.operate(requests, **how)

    monkeypatch.setattr(both, "operate", operate)
    with pytest.raises(ModelPushError) as caught:
        both.push()
    assert "a: " in caught.value.got
    assert "has become shorter" in caught.value.got
    assert not (both.homes[1] / "models" / "m").exists()
    assert both.in_step()
    monkeypatch.undo()
    assert both.push().sent_bytes < sum(map(len, wanted(model).values()))  # the others were kept


def test_ctrl_c_ends_it_on_all_ranks_and_the_next_goes_on(both: TwoHosts, model: Path) -> None:
    with (model / "zeros.txt").open("wb") as file:
        file.truncate(2**33)
    started = threading.Event()

    def take(rank: int, event: dict[str, Any]) -> None:
        if event["phase"] == "sending zeros.txt":
            started.set()

    presser = waiting.ctrl_c_after(started)
    with pytest.raises(CellInterruptedError, match="whole files are kept") as caught:
        both.push(on_event=take)
    assert caught.value.cure == f"%model push {NAME} goes on with it"
    presser.join()
    assert not (both.homes[1] / "models" / "m").exists()
    unfinished = [path.name for path in (both.homes[1] / "models" / ".m.partial").iterdir()]
    assert "more.txt" in unfinished
    assert not [name for name in unfinished if name.startswith((".", "zeros"))]
    assert both.in_step()
    (model / "zeros.txt").write_bytes(b"end")
    assert both.push().sent_bytes == 3
    assert contents(both.homes[1] / "models" / "m") == wanted(model)


def test_hosts_that_cannot_be_meant(both: TwoHosts, start: Callable[[int], Cluster]) -> None:
    for how in ({"to": ["c"]}, {"source": "c"}, {"to": ["a"]}):
        with pytest.raises(ArgumentError):
            both.push(**how)
    with pytest.raises(ArgumentError, match="no host to push to"):
        both.cluster.push_model("smollm2")
    with pytest.raises(ModelNotFoundError, match="a cannot send it"):
        both.push("~/models/none")


def test_no_room(both: TwoHosts, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def operate(requests: Any, **how: Any) -> dict[int, Any]:
        answers = both.cluster.operate(requests, **how)
        if requests[min(requests)][0] == "survey_target":
            answers[1]["free_bytes"] = 10_000_000
        return answers

    monkeypatch.setattr(both, "operate", operate)
    with pytest.raises(ModelPushError, match="nothing was sent") as caught:
        both.push()
    assert "10 MB are free there" in caught.value.got
    assert "make room" in caught.value.cure
    assert "--to HOST leaves other hosts out" in caught.value.cure
