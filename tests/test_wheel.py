"""The wheel holds all that the package reads: data, the teaching model, pictures, JupyterLab's extension."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kernelkit.launch.hello import code_digest

ROOT = Path(__file__).parents[1]
LAB = "kernelkit-{version}.data/data/share/jupyter/labextensions/kernelkit"


def build_wheel(folder: Path) -> Path:
    """Of the checkout, in half a second."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is in it, by name."""
    path = build_wheel(tmp_path_factory.mktemp("wheel"))
    version = path.name.split("-")[1]
    with zipfile.ZipFile(path) as archive:
        return {name.replace(version, "{version}"): archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("kernelkit", "kernelkit"),
        ("data/chips", "kernelkit/data/chips"),
        ("data/links", "kernelkit/data/links"),
        ("data/models", "kernelkit/data/models"),
        ("data/measurements/published.json", "kernelkit/data/measurements/published.json"),
        ("extensions/jupyterlab", LAB),
        ("kernelkit/views/static", f"{LAB}/static/views"),
    ],
)
def test_it_holds_what_the_checkout_has(wheel: dict[str, bytes], here: str, there: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", here],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert files
    for name in files:
        assert wheel[there + name.removeprefix(here)] == (ROOT / name).read_bytes()


def test_installed_it_is_the_same_code_to_other_hosts(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(tmp_path / "installed")
    ask = "from kernelkit.launch import hello; print(hello.FOLDER, hello.code_digest())"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    run = [sys.executable, "-c", ask]
    answer = subprocess.run(run, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert answer.stdout.split() == [str(tmp_path / "installed" / "kernelkit"), code_digest()]


def test_it_holds_nothing_else(wheel: dict[str, bytes]) -> None:
    tops = {"kernelkit", LAB.partition("/")[0], "kernelkit-{version}.dist-info"}
    assert {name.partition("/")[0] for name in wheel} == tops
    assert not [name for name in wheel if "__pycache__" in name]
