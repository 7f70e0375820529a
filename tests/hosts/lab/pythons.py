"""Pythons that another host might have: with packages of other versions, or without kernelkit."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.hosts.lab.files import script


def other_python(folder: Path, versions: dict[str, str]) -> Path:
    """This Python, but its importlib.metadata reports these versions; modules themselves stay the same.

    It works by PYTHONPATH, so the options -E and -I undo it.
    """
    packages = folder / "packages"
    for name, version in versions.items():
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    path = folder / "python"
    script(path, f'PYTHONPATH={packages}${{PYTHONPATH:+:$PYTHONPATH}} exec {sys.executable} "$@"')
    return path


def bare_python(folder: Path) -> Path:
    """A Python with the standard library alone."""
    folder.mkdir()
    path = folder / "python"
    # The one behind the virtual environment; -I leaves out the working folder as well, -S the site-packages.
    script(path, f'exec {Path(sys.executable).resolve()} -I -S "$@"')
    return path
