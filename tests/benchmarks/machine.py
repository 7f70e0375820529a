"""What the figures were taken on: without it they mean nothing to the next reader."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from kernelkit.launch.openblas import find_openblas

_PACKAGES = ("kernelkit", "mlx", "mlx-lm", "ipykernel", "jupyter_client", "ipython", "ipyparallel", "pyzmq")


def describe(root: Path) -> dict[str, Any]:
    """Versions and machine, JSON-like, with the load as it is now.

    Args:
        root: the repository, for its commit.
    """
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "commit": _commit(root),
        "os": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "blas": _blas(),
        "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit(root: Path) -> str:
    """The commit, with `-dirty` where the tree holds changes; empty outside of a checkout."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return _first_line(command)


def _cpu() -> str:
    if sys.platform == "darwin":
        return _first_line(["sysctl", "-n", "machdep.cpu.brand_string"])
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _blas() -> str:
    """The library that ranks preload; what it reports of itself is among the facts of `decode`."""
    if sys.platform == "darwin":
        return "Accelerate"
    path = find_openblas()
    return str(Path(path).resolve()) if path else "MLX's own"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip()
