"""A model on one of several hosts: told where it lacks, sent over their links, and run by all."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from kernelkit.errors import ModelNotFoundError, ModelPushError
from tests.hosts.conftest import Start
from tests.hosts.lab import Lab
from tests.hosts.lab.files import script
from tests.rank import tiny
from tests.test_wheel import build_wheel

NAME = "~/models/m"


def home(lab: Lab, i: int) -> Path:
    """Of host i, for who comes by ssh."""
    return lab.folder / lab.names[i] / "home"


def test_a_model_goes_from_one_host_to_the_others(inside: Lab, start: Start) -> None:
    folder = tiny.build(home(inside, 0) / "models" / "m")
    (folder / "more.txt").write_bytes(bytes(range(256)) * 50_000)
    cluster = start(0, 1, 2)
    with pytest.raises(ModelNotFoundError, match="on kk0, but not on kk1, kk2") as caught:
        cluster.load(NAME)
    assert caught.value.cure == f"%model push {NAME}"

    # kk1 only hands on what kk2 gets; from there it goes to kk1, the other way round the ring.
    pushed = cluster.push_model(NAME, to="kk2")
    assert [*pushed.folders] == ["kk2"]
    assert not (home(inside, 1) / "models").exists()
    pushed = cluster.push_model(NAME, source="kk2")
    assert pushed.sent_bytes == pushed.total_bytes
    copies = [home(inside, i) / "models" / "m" for i in range(3)]
    files = [{path.name: path.read_bytes() for path in copy.iterdir()} for copy in copies]
    assert files[0] == files[1] == files[2]

    shared = cluster.load(NAME).generate("Hello", max_tokens=8)
    assert len(shared.tokens) == 8
    (copies[2] / "config.json").write_text((copies[2] / "config.json").read_text() + "\n")
    with pytest.raises(ModelNotFoundError, match="different files") as caught:
        cluster.load(NAME)
    assert "config.json on kk2 is not that of kk0" in caught.value.got


def test_the_model_that_comes_along_where_kernelkit_is_installed(
    inside: Lab, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kk1 has kernelkit from its wheel, kk0 the checkout."""
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(installed)
    python = script(tmp_path / "python", f'PYTHONPATH={installed} exec {sys.executable} "$@"')
    monkeypatch.chdir(tmp_path)  # ranks begin in the notebook's folder, and import what is there first
    cluster = start(0, 1, pythons={1: str(python)})
    austen = installed / "kernelkit" / "data" / "models" / "austen"
    pushed = cluster.push_model("austen")
    assert (pushed.folders, pushed.sent_bytes) == ({"kk1": str(austen)}, 0)
    assert pushed.total_bytes > 9_000_000
    assert "were there already" in repr(pushed)
    model = cluster.load("austen")
    assert len(model.generate("It is a truth", max_tokens=4).tokens) == 4

    # Another kernelkit's is another one, and stays.
    config = austen / "config.json"
    config.write_text(config.read_text() + "\n")
    before = config.read_bytes()
    for ask, kind in ((cluster.load, ModelNotFoundError), (cluster.push_model, ModelPushError)):
        with pytest.raises(kind) as caught:
            ask("austen")
        assert "config.json" in caught.value.got
        assert "install the same kernelkit" in caught.value.cure
    assert config.read_bytes() == before
    assert cluster.state == "idle"
