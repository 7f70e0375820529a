"""A picture in its three forms: what front ends are given, what is saved, and what comes back."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib.figure import Figure

from kernelkit.errors import ArgumentError
from kernelkit.views.picture import MIME, Picture


class _Twin:
    @staticmethod
    def figure(scene: dict[str, Any]) -> Figure:
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, scene["words"])
        return figure


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch) -> Picture:
    monkeypatch.setitem(sys.modules, "kernelkit.views.topology_png", _Twin)
    return Picture("topology", {"words": "two hosts"}, "a table", "Two hosts.")


def test_an_output_carries_the_scene_its_twin_and_a_table(picture: Picture) -> None:
    data, metadata = picture._repr_mimebundle_()
    assert list(data) == [MIME, "image/png", "text/plain"]
    assert data[MIME] == {"kind": "topology", "scene": {"words": "two hosts"}, "alt": "Two hosts."}
    assert base64.b64decode(data["image/png"]) == picture.png()
    assert data["text/plain"] == repr(picture) == "a table"
    assert metadata == {"image/png": {"alt": "Two hosts."}}


def test_the_twin_is_the_same_from_run_to_run(picture: Picture) -> None:
    assert picture.png() == picture.png()


@pytest.mark.parametrize(("ending", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_saved_for_a_paper(picture: Picture, tmp_path: Path, ending: str, start: bytes) -> None:
    picture.save(tmp_path / f"figure{ending}")
    assert (tmp_path / f"figure{ending}").read_bytes().startswith(start)


def test_saved_and_loaded(picture: Picture, tmp_path: Path) -> None:
    picture.save(tmp_path / "p.json")
    assert Picture.load(tmp_path / "p.json") == picture


def test_refused_endings_and_folders(picture: Picture, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"\.png, \.svg, \.pdf or \.json"):
        picture.save(tmp_path / "p.gif")
    with pytest.raises(ArgumentError, match="cannot be written"):
        picture.save(tmp_path / "nowhere" / "p.png")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kernelkit_picture": 2}', '{"kernelkit_picture": 1, "kind": "cake", "scene": {}}',
     '{"kernelkit_picture": 1, "kind": "links", "scene": []}', '{"kernelkit_picture": 1, "kind": ["links"]}'],
)  # fmt: skip
def test_foreign_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ArgumentError):
        Picture.load(tmp_path / "p.json")


def test_the_output_fits_a_notebook_file(picture: Picture) -> None:
    data, metadata = picture.bundle()
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    nbformat.validate(json.loads(nbformat.writes(notebook)))
