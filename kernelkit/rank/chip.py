"""What this host computes with, in the words of its maker."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import mlx.core as mx

_SYSCTL_S = 5.0


def describe() -> str:
    """`Apple M3 Ultra`, `AMD EPYC 7763, 8 cores`, `NVIDIA H200, Intel Xeon Platinum 8480C, 128 cores`."""
    if sys.platform == "darwin":  # processor and GPU are one chip
        return _sysctl("machdep.cpu.brand_string") or gpu() or platform.processor()
    name = model_name(_cpuinfo()) or platform.processor() or platform.machine()
    cores = os.cpu_count() or 1
    return ", ".join(filter(None, (gpu(), name, f"{cores} core{'s' if cores != 1 else ''}")))


def gpu() -> str:
    """The GPU that MLX computes with; empty where it has none or does not name it."""
    if mx.default_device() != mx.Device(mx.gpu):
        return ""
    return str(mx.device_info().get("device_name", ""))


def is_cuda() -> bool:
    """Whether MLX computes on a GPU of NVIDIA's."""
    return sys.platform != "darwin" and mx.default_device() == mx.Device(mx.gpu)


def model_name(cpuinfo: str) -> str:
    """The first processor's name in the text of `/proc/cpuinfo`; ARM's has none."""
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == "model name":
            return " ".join(value.replace("(R)", "").replace("(TM)", "").split())
    return ""


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    command = ["/usr/sbin/sysctl", "-n", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SYSCTL_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
