"""Finding an OpenBLAS, and leaving it alone where none is wanted."""

from importlib import metadata
from pathlib import Path

import pytest

from kernelkit.launch import openblas


@pytest.fixture
def linux_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(openblas, "_has_cuda_mlx", lambda: False)


def places(monkeypatch: pytest.MonkeyPatch, *patterns: str) -> None:
    monkeypatch.setattr(openblas, "_PATTERNS", patterns)


def library(folder: Path, name: str = "libopenblas.so.0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.touch()
    return path


@pytest.mark.usefixtures("linux_cpu")
def test_the_first_place_that_has_one_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    second, third = library(tmp_path / "b"), library(tmp_path / "c")
    places(monkeypatch, *(f"{tmp_path}/{name}/libopenblas.so.0" for name in "abc"))
    assert openblas.find_openblas() == str(second)
    second.unlink()
    assert openblas.find_openblas() == str(third)


@pytest.mark.usefixtures("linux_cpu")
def test_a_pattern_matches_any_architecture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = library(tmp_path / "aarch64-linux-gnu")
    places(monkeypatch, f"{tmp_path}/*-linux-gnu/libopenblas.so.0")
    assert openblas.find_openblas() == str(found)


@pytest.mark.usefixtures("linux_cpu")
def test_none_is_found_where_none_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places(monkeypatch, f"{tmp_path}/nowhere/libopenblas.so.0")
    assert openblas.find_openblas() is None


def test_none_is_wanted_on_a_mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = library(tmp_path)
    places(monkeypatch, str(found))
    monkeypatch.setattr(openblas, "_has_cuda_mlx", lambda: False)
    monkeypatch.setattr("sys.platform", "darwin")
    assert openblas.find_openblas() is None


@pytest.mark.parametrize("wheel", ["mlx-cuda-12", "mlx-cuda-13"])
def test_none_is_wanted_where_mlx_computes_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: str
) -> None:
    found = library(tmp_path)
    places(monkeypatch, str(found))
    monkeypatch.setattr("sys.platform", "linux")

    def distribution(name: str) -> object:
        if name != wheel:
            raise metadata.PackageNotFoundError(name)
        return object()

    monkeypatch.setattr(metadata, "distribution", distribution)
    assert openblas.find_openblas() is None


@pytest.mark.usefixtures("linux_cpu")
def test_the_real_places_give_a_file_or_nothing() -> None:
    found = openblas.find_openblas()
    assert found is None or Path(found).is_file()
