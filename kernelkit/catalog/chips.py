"""Chips that MLX runs on: memory, its bandwidth, compute and ports, each figure with its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from kernelkit.catalog.files import check_figures, data_file, read_list
from kernelkit.catalog.links import links
from kernelkit.catalog.listing import Listing
from kernelkit.catalog.own import merged, stamps
from kernelkit.catalog.words import amount
from kernelkit.errors import ArgumentError

GIB = 2**30
FILE = "chips/chips.json"
_COLUMNS = ("key", "chip", "memory GB", "bandwidth", "measured", "FP16", "links")


@dataclass(frozen=True)
class Chip:
    """One chip with its GPU: variants that differ in cores are chips of their own, of one family.

    A figure without a source is not there (None, or empty).

    Attributes:
        key: such as `m4-max`; of a variant with fewer cores `m4-max-32c`.
        title: such as `M4 Max (40-core GPU)`.
        family: the key that stands for all its variants; the one that offers the memory asked for is taken,
            and of several the one with the most cores.
        gpu_cores: Apple's GPU cores.
        memory_sizes_gib: sizes that are sold, in GB as they are sold, which are 2^30 bytes.
        memory_nominal_bytes_per_s: memory bandwidth of the data sheet.
        memory_measured_bytes_per_s: lowest and highest that a program measured which does nothing else.
        decode_measured_bytes_per_s: weights read per second by a program that decoded at batch 1: less than
            the memory gives, by all else that a token costs.
        prefill_measured_flop_per_s: operations of the matrix products per second, while a program read a
            prompt.
        fp32_flop_per_s: operations per second of the GPU's arithmetic, by data sheet or reckoning.
        fp16_flop_per_s: the same of matrix products with 16-bit inputs, by the fastest unit that MLX uses:
            from M5 on the neural accelerators of the GPU, on NVIDIA's chips the tensor cores without
            sparsity.
        links: keys of the links that are built in, fastest first. Any machine may have Ethernet and Wi-Fi
            too.
        note: what else one must know.
    """

    name: ClassVar[str] = "chip"

    key: str
    title: str
    family: str = ""
    gpu_cores: int | None = None
    gpu_source: str = ""
    memory_sizes_gib: tuple[int, ...] = ()
    memory_sizes_source: str = ""
    memory_nominal_bytes_per_s: float | None = None
    memory_nominal_source: str = ""
    memory_measured_bytes_per_s: tuple[float, float] | None = None
    memory_measured_source: str = ""
    decode_measured_bytes_per_s: float | None = None
    decode_measured_source: str = ""
    prefill_measured_flop_per_s: float | None = None
    prefill_measured_source: str = ""
    fp32_flop_per_s: float | None = None
    fp32_source: str = ""
    fp16_flop_per_s: float | None = None
    fp16_source: str = ""
    links: tuple[str, ...] = ()
    links_source: str = ""
    note: str = ""

    def check(self) -> None:
        """See `files.check_figures`."""
        check_figures(self)

    @property
    def memory_sizes_bytes(self) -> tuple[int, ...]:
        """Sizes that are sold."""
        return tuple(size * GIB for size in self.memory_sizes_gib)

    @property
    def rdma(self) -> bool:
        """Whether MLX's jaccl can use its Thunderbolt ports."""
        return "tb5-rdma" in self.links

    @property
    def is_apple(self) -> bool:
        """Whether its memory is a Mac's, of which Metal recommends to use a part only."""
        return self.gpu_cores is not None

    @property
    def variant(self) -> str:
        """A name for this variant alone, also of the one that has its family's key: `m4-max-40c`."""
        return f"{self.family or self.key}-{self.gpu_cores}c" if self.gpu_cores else self.key


@dataclass(frozen=True)
class WorkingSet:
    """What Metal recommends to use at most of a Mac's memory.

    Attributes:
        memory_gib: of the Mac.
        share: of it.
        source: who saw it.
    """

    name: ClassVar[str] = "working set"

    memory_gib: int
    share: float
    source: str

    @property
    def key(self) -> str:
        return str(self.memory_gib)

    def check(self) -> None:
        """See that the share is one.

        Raises:
            ValueError: it is not.
        """
        if self.memory_gib < 1 or not 0 < self.share <= 1:
            raise ValueError("share is to be above 0, up to 1, of 1 GB or more")


def chips() -> Listing[Chip]:
    """All chips by key, the user's own included.

    Raises:
        KernelkitError: kernelkit's file is not there.
        ArgumentError: a file is not what it should be; the error names file, entry and field.
    """
    return _listing(stamps())


@cache
def _listing(_: object) -> Listing[Chip]:
    entries = merged("chips", Chip, (FILE,))
    for chip in entries.values():
        for key in chip.links:
            if key not in links():
                raise ArgumentError(f"chip {chip.key} has no such link", expected=", ".join(links()), got=key)
    aliases = {chip.variant: chip.key for chip in entries.values()}
    return Listing(Chip.name, entries, _COLUMNS, _row, aliases, call="chips")


def working_set_share(memory_bytes: int) -> float:
    """The share of a Mac's memory that Metal recommends to use at most.

    As logs show it for a Mac of this memory. Between two sizes that were seen, the smaller of their two
    shares: it grows with the memory nearly everywhere.
    """
    seen = sorted((each.memory_gib * GIB, each.share) for each in _working_sets().values())
    below = [share for size, share in seen if size <= memory_bytes]
    above = [share for size, share in seen if size >= memory_bytes]
    return min([*below[-1:], *above[:1]])


@cache
def _working_sets() -> dict[str, WorkingSet]:
    return read_list(data_file(FILE), "working_sets", WorkingSet)


def _row(chip: Chip) -> tuple[str, ...]:
    measured = chip.memory_measured_bytes_per_s
    return (
        chip.key,
        chip.title,
        ", ".join(map(str, chip.memory_sizes_gib)),
        _rate(chip.memory_nominal_bytes_per_s, "B"),
        "" if measured is None else _rate(measured[1], "B"),
        _rate(chip.fp16_flop_per_s, "FLOP"),
        ", ".join(chip.links),
    )


def _rate(value: float | None, unit: str) -> str:
    return "" if value is None else f"{amount(value, unit)}/s"
