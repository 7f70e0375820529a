"""What kind of link two GPUs of one host have; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernelkit.catalog import link_kind
from kernelkit.hosts.gpulinks import GpuLinks
from kernelkit.hosts.linkreport import Way

# The generation stands nowhere in NVIDIA's matrix: that of these chips is on their data sheets.
_NVLINK_4 = re.compile(r"\bH[12]00\b")
_OVER_PCIE = ("PIX", "PXB", "PHB", "NODE", "SYS")


def gpu_way(links: GpuLinks, gpus: tuple[str, str], names: Sequence[str]) -> Way:
    """What kind of link two GPUs have.

    Args:
        gpus: what CUDA_VISIBLE_DEVICES calls them.
        names: of the host's GPUs, by number.
    """
    pair = tuple(sorted(int(gpu) for gpu in gpus if gpu.isdigit()))
    how = next((how for a, b, how in links if (a, b) == pair), "")
    if how.startswith("NV"):
        if all(_NVLINK_4.search(names[gpu]) for gpu in pair if gpu < len(names)):
            return link_kind("nvlink4").way()
        return Way("", f"NVLink, {how.removeprefix('NV')} links")
    return Way("", f"PCIe ({how})" if how in _OVER_PCIE else "between GPUs")
