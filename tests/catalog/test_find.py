"""A model's config by every way to name it."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

import kernelkit as kk
from kernelkit.catalog import find_model, models
from kernelkit.catalog.files import data_file
from kernelkit.errors import ArgumentError, ModelNotFoundError
from kernelkit.sharding.anatomies import anatomy
from tests.hub import COMMIT

CONFIG = {"model_type": "llama", "hidden_size": 64}
HUB_ID = "someone/their-model"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and an empty cache."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return cache


def written(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.parametrize("name", ["kimi-k2-thinking", "Kimi K2 Thinking", "moonshotai/Kimi-K2-Thinking"])
def test_by_short_name_title_and_hub_id(name: str) -> None:
    config, title = find_model(name)
    assert config == models()["kimi-k2-thinking"].config
    assert title == "Kimi K2 Thinking"


def test_a_shard_map_is_planned_by_a_name_as_by_its_config() -> None:
    named = kk.planned_shards("llama-3.3-70b", 2)
    assert named == kk.planned_shards(models()["llama-3.3-70b"].config, 2, model=named.model)
    assert named.model == "Llama 3.3 70B Instruct"
    with pytest.raises(ModelNotFoundError) as caught:
        kk.planned_shards("lama-3.3-70b", 2)
    assert "llama-3.3-70b" in caught.value.cure


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("mlx-community/DeepSeek-V3.1-4bit", "4bit"),
        ("mlx-community/GLM-4.7-8bit-gs32", "8bit-gs32"),
        ("mlx-community/gpt-oss-120b-MXFP4-Q8", "mxfp4-q8"),
        ("mlx-community/GLM-5-8bit-MXFP8", "8bit"),
        ("mlx-community/llama-3.3-70b-instruct-fp16", "fp16"),
    ],
)
def test_a_converted_checkpoint_says_by_its_name_how_it_is_packed(name: str, quantization: str) -> None:
    config, title = find_model(name)
    assert (config["quantization"], title) == (quantization, name)
    assert "quantization_config" not in config


@pytest.mark.parametrize("way", ["folder", "file", "path", "mapping"])
def test_what_is_there_goes_before_names(way: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "kimi-k2")
    ways: dict[str, Any] = {
        "folder": "kimi-k2",
        "file": str(folder / "config.json"),
        "path": folder,
        "mapping": CONFIG,
    }
    config, title = find_model(ways[way])
    assert config == CONFIG
    assert title == ("" if way == "mapping" else "kimi-k2")


def test_a_hub_id_is_read_from_the_hubs_cache_first(offline: Path) -> None:
    name = "mlx-community/DeepSeek-V3.1-4bit"
    folder = offline / "models--mlx-community--DeepSeek-V3.1-4bit"
    written(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    assert find_model(name) == (CONFIG, name)


def test_a_hub_id_that_nothing_here_knows_is_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, file: str) -> str:
        asked.append((name, file))
        return str(written(tmp_path / "downloaded") / file)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_model(HUB_ID) == (CONFIG, HUB_ID)
    assert asked == [(HUB_ID, "config.json")]


def test_without_a_network_there_is_one_clear_error() -> None:
    with pytest.raises(ModelNotFoundError, match=rf"(?s)no model '{HUB_ID}'.*hub cannot be reached"):
        find_model(HUB_ID)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        # As its address is given, the hub's client has read it long ago.
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda name, file: f"{url}/{name}/{file}")

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed at the test's end
                    return
                asked.append(connection)
                connection.close()

        answering = threading.Thread(target=hang_up, daemon=True)
        answering.start()
        with pytest.raises(ModelNotFoundError, match=rf"(?s)no model '{HUB_ID}'.*hub cannot be reached"):
            find_model(HUB_ID)
        server.shutdown(socket.SHUT_RDWR)
    answering.join(5)
    assert len(asked) == 1


def test_the_teaching_model_is_a_model_as_others() -> None:
    config, title = find_model("austen")
    assert title == "austen"
    published = json.loads(data_file("models/austen/config.json").read_text())
    assert config.items() <= published.items()
    assert anatomy(config) == anatomy(published)


def test_what_is_misspelt_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match=r"(?s)no model 'gpt-os-120b'.*did you mean gpt-oss-120b"):
        find_model("gpt-os-120b")
    with pytest.raises(ArgumentError, match="no model's config"):
        find_model(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["./nope", "../x", "org/模型", "-x/y", "x" * 300, "~nobody-of-that-name/y", "a/b/c", "nope/", "/"]
)
def test_what_can_be_no_model_is_told_in_our_words(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model") as caught:
        find_model(name)
    assert caught.value.expected
    assert caught.value.cure
