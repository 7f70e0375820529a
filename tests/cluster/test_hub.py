"""Models of a hub on real ranks: what is asked of it, when, and what is done without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import CellError, ModelNotFoundError
from tests.cluster.conftest import without_pytests_mark
from tests.hub import Hub, serve, split_by_layers
from tests.rank import tiny

NAME = "org/model"


@dataclass
class House:
    hub: Hub
    cluster: Cluster
    folder: Path
    files: list[str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two ranks with empty caches, and a hub with one model of four layers in three weight files."""
    from kernelkit import connect

    base = tmp_path_factory.mktemp("hub")
    folder = tiny.build(base / "model", "qwen2")
    files = split_by_layers(folder, 2)
    (folder / "README.md").write_text("not for mlx-lm")
    with serve({NAME: folder}) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(base / "hf"))
        patch.setenv("KERNELKIT_CACHE", str(base / "cache"))
        with without_pytests_mark():
            cluster = connect(2)
        yield House(hub, cluster, folder, files)
        cluster.stop()


def test_first_what_is_small_then_what_a_rank_holds(house: House) -> None:
    cluster, hub = house.cluster, house.hub
    found = cluster.operate({0: ("find_files", {"name": NAME})})[0]
    assert hub.weights == []
    assert sorted(hub.parts) == sorted(found["lacking"]) == house.files
    assert "README.md" not in hub.whole
    assert "tokenizer.json" in hub.whole
    sizes = {file: (house.folder / file).stat().st_size for file in house.files}
    assert found["sizes"] == sizes

    asked = {"path": found["folder"], "strategy": "pipeline"}
    cluster.operate(dict.fromkeys((0, 1), ("prepare", asked)))
    wanted = cluster.operate(dict.fromkeys((0, 1), ("wanted_files", {"path": found["folder"]})))
    # Rank 0 runs the last layers; what is in no layer is for both.
    assert wanted == {0: house.files[1:], 1: [house.files[0], house.files[2]]}
    cluster.operate({0: ("fetch_files", {"name": NAME, "path": found["folder"], "files": wanted[0]})})
    assert hub.weights == wanted[0]
    # What is not here is an error when it is read, never zeros.
    cluster.operate(dict.fromkeys((0, 1), ("prepare", asked)))
    with pytest.raises(CellError, match="rank 1 failed: RuntimeError"):
        cluster.operate(dict.fromkeys((0, 1), ("read", {})))
    assert cluster.state == "idle"


def test_a_model_of_the_hub_is_what_it_is_as_a_folder(house: House) -> None:
    seen: list[dict[str, Any]] = []
    model = house.cluster.load(NAME, "pipeline", on_event=lambda rank, event: seen.append(event))
    assert house.hub.weights == house.files  # the rest of them, and each once
    assert any(event["phase"] == "downloading" for event in seen)
    tokens = model.generate("Hello", max_tokens=20).tokens
    house.hub.forget()
    house.cluster.load(NAME, "pipeline")
    assert house.hub.whole == []
    assert house.hub.parts == []
    assert house.cluster.load(str(house.folder), "pipeline").generate("Hello", max_tokens=20).tokens == tokens
    assert house.cluster.load(NAME).generate("Hello", max_tokens=20).tokens == tokens


def test_a_name_that_the_hub_does_not_know(house: House) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model 'org/other'"):
        house.cluster.load("org/other")


def test_what_is_here_needs_no_hub(
    house: House, start: Callable[[int], Cluster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = house.cluster.run("import os; os.environ['HF_HOME']")[0].value_repr or ""
    monkeypatch.setenv("HF_HOME", cache.strip("'"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    alone = start(1)
    assert len(alone.load(NAME).generate("Hello", max_tokens=5).tokens) == 5
    with pytest.raises(ModelNotFoundError, match="'org/never'"):
        alone.load("org/never")
