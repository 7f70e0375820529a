"""What a host computes with: the processor's name where the system says one, and never nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from kernelkit.rank import chip

INTEL = """\
processor\t: 0
model name\t: Intel(R) Xeon(R)  Platinum 8480C
processor\t: 1
model name\t: Intel(R) Xeon(R)  Platinum 8480C
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n"


def test_the_first_processor_names_them_all_without_its_marks() -> None:
    assert chip.model_name(INTEL) == "Intel Xeon Platinum 8480C"


@pytest.mark.parametrize("text", ["", ARM, "model name"])
def test_no_name_is_none(text: str) -> None:
    assert chip.model_name(text) == ""


@pytest.mark.skipif(platform.system() != "Linux", reason="of Linux: a Mac's chip is its own name")
def test_processor_and_cores_of_this_machine() -> None:
    said = chip.describe()
    assert said.endswith(f"{os.cpu_count()} core{'s' if os.cpu_count() != 1 else ''}")
    assert chip.model_name(Path("/proc/cpuinfo").read_text()) in said


def test_a_gpu_stands_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip, "gpu", lambda: "NVIDIA H200")
    monkeypatch.setattr(chip, "_cpuinfo", lambda: INTEL)
    monkeypatch.setattr(chip.sys, "platform", "linux")
    monkeypatch.setattr(chip.os, "cpu_count", lambda: 128)
    assert chip.describe() == "NVIDIA H200, Intel Xeon Platinum 8480C, 128 cores"


def test_a_mac_is_its_chip_and_asks_the_system_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def sysctl(name: str) -> str:
        asked.append(name)
        return "Apple M3 Ultra"

    monkeypatch.setattr(chip.sys, "platform", "darwin")
    monkeypatch.setattr(chip, "_sysctl", sysctl)
    assert chip.describe() == "Apple M3 Ultra"
    assert asked == ["machdep.cpu.brand_string"]


def test_a_mac_whose_sysctl_says_nothing_has_the_name_of_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip.sys, "platform", "darwin")
    monkeypatch.setattr(chip, "_sysctl", lambda name: "")
    monkeypatch.setattr(chip, "gpu", lambda: "Apple M4 Max")
    assert chip.describe() == "Apple M4 Max"
