"""What joins GPUs, by what `nvidia-smi topo -m` printed on machines with two and more."""

from __future__ import annotations

from kernelkit.hosts.gpulinks import parse_gpu_links

TWO = (
    "\t\x1b[4mGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV18\t0-31\t0\t\tN/A\n"
    "GPU1\tNV18\t X \t0-31\t0\t\tN/A\n"
    "\nLegend:\n\n  X    = Self\n  NV#  = Connection traversing a bonded set of # NVLinks\n"
)
WITH_A_CARD = (
    "\tGPU0\tGPU1\tGPU2\tNIC0\tCPU Affinity\n"
    "GPU0\t X \tPIX\tSYS\tPXB\t0-31\n"
    "GPU1\tPIX\t X \tSYS\tPXB\t0-31\n"
    "GPU2\tSYS\tSYS\t X \tSYS\t32-63\n"
    "NIC0\tPXB\tPXB\tSYS\t X \t\n"
)


def test_every_two_gpus_once_and_no_network_card() -> None:
    assert parse_gpu_links(TWO) == ((0, 1, "NV18"),)
    assert parse_gpu_links(WITH_A_CARD) == ((0, 1, "PIX"), (0, 2, "SYS"), (1, 2, "SYS"))


def test_one_gpu_or_none_has_no_links() -> None:
    assert parse_gpu_links("\tGPU0\tCPU Affinity\nGPU0\t X \t0-31\n") == ()
    assert parse_gpu_links("nvidia-smi has failed\n") == ()
    assert parse_gpu_links("") == ()
