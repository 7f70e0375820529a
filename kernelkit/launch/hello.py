"""What an agent says of its machine: versions, addresses, and what MLX could use there; never imports mlx."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil

from kernelkit.hosts.naming import own_name

FOLDER = Path(__file__).resolve().parents[1]
_PACKAGES = ("kernelkit", "mlx", "mlx-lm")
_LIST_S = 10.0


def abilities() -> dict[str, Any]:
    """What MLX's backends need to know of a machine.

    Returns:
        `system`, `os`, `mpirun`, `cuda` (whether its MLX is one for CUDA), and `gpu_ids`: what ranks there
        may name in CUDA_VISIBLE_DEVICES, one each.
    """
    return {
        "system": platform.system(),
        "os": _os_name(),
        "mpirun": shutil.which("mpirun"),
        "cuda": (cuda := any(version_of(name) for name in ("mlx-cuda-12", "mlx-cuda-13"))),
        "gpu_ids": gpu_ids() if cuda else [],
    }


def describe() -> dict[str, Any]:
    """JSON-like; the same fields on every system.

    `addresses` are IPv4 ones in CIDR form by interface, without loopback; `entered_at` is the address
    that ssh came in on, or empty.
    """
    stats = psutil.net_if_stats()
    return {
        **abilities(),
        "host": own_name(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": {name: version_of(name) for name in _PACKAGES},
        "code": code_digest(),
        "folder": str(FOLDER),
        "cores": os.cpu_count() or 1,
        "addresses": {
            name: [cidr(a.address, a.netmask) for a in addresses if _is_useful(a)]
            for name, addresses in psutil.net_if_addrs().items()
            if name in stats and stats[name].isup
        },
        "speeds_bits_per_s": {name: stat.speed * 1_000_000 for name, stat in stats.items() if stat.speed > 0},
        "entered_at": " ".join(os.environ.get("SSH_CONNECTION", "").split()[2:3]),
    }


def gpu_ids() -> list[str]:
    """Of the NVIDIA GPUs here, or of those among them that CUDA_VISIBLE_DEVICES leaves to this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA takes the names before the first that it does not know; -1 is the usual way to give it none.
        names = [name.strip() for name in visible.split(",")]
        known = takewhile(lambda name: name and not name.startswith("-"), names)
        return list(dict.fromkeys(known))
    count = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or _listed_gpus()
    return [str(number) for number in range(count)]


def _listed_gpus() -> int:
    """By NVIDIA's own tool, where the driver shows no files, as under WSL."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_LIST_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def code_digest() -> str:
    """Of kernelkit's own source: two hosts may have one version number and different code.

    Its data, which an installed package has within and a checkout beside it, are not among that.
    """
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*.py")):
        if path.is_relative_to(FOLDER / "data"):
            continue
        digest.update(str(path.relative_to(FOLDER)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def cidr(address: str, netmask: str | None) -> str:
    """`('10.0.0.1', '255.255.255.252') -> '10.0.0.1/30'`."""
    bits = sum(int(part).bit_count() for part in (netmask or "255.255.255.255").split("."))
    return f"{address}/{bits}"


def _is_useful(address: Any) -> bool:
    return address.family == socket.AF_INET and not address.address.startswith("127.")


def version_of(name: str) -> str:
    """Of an installed package; empty where it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _os_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"
