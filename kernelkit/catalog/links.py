"""Kinds of links, each figure with its source: what one could carry, and what others have measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

from kernelkit.catalog.files import check_figures
from kernelkit.catalog.listing import Listing
from kernelkit.catalog.own import merged, stamps
from kernelkit.catalog.words import amount, span
from kernelkit.hosts.linkreport import Way
from kernelkit.units import format_seconds


@dataclass(frozen=True)
class LinkKind:
    """One kind of link. A figure without a source is not there.

    Attributes:
        key: such as `tb5`, as a command line spells it.
        title: such as `Thunderbolt 5`.
        nominal_bits_per_s: each way, by the standard or the data sheet; None where there is none.
        nominal_source: which one.
        latency_s: lowest and highest published time of a small message one way; twice the same for one.
        latency_source: who measured it, and how.
        bandwidth_bytes_per_s: lowest and highest published rate of large messages one way.
        bandwidth_source: who measured it, and how.
        backend: the MLX backend that uses it: `jaccl` where every pair of hosts has a cable of its own,
            `ring` over TCP, `nccl` between NVIDIA's GPUs.
        most_ranks: that it can join, as a bridge between two cards; None where it has no such limit.
        note: what else one must know of these figures.
    """

    name: ClassVar[str] = "kind of link"

    key: str
    title: str
    nominal_bits_per_s: float | None = None
    nominal_source: str = ""
    latency_s: tuple[float, float] | None = None
    latency_source: str = ""
    bandwidth_bytes_per_s: tuple[float, float] | None = None
    bandwidth_source: str = ""
    backend: Literal["jaccl", "ring", "nccl"] = "ring"
    most_ranks: int | None = None
    note: str = ""

    def check(self) -> None:
        """See `files.check_figures`."""
        check_figures(self)

    def way(self, interface: str = "") -> Way:
        """This kind as a link report names it."""
        return Way(self.key, self.title, self.nominal_bits_per_s, interface)


def link_kind(key: str) -> LinkKind:
    """The kind of that key.

    Raises:
        ArgumentError: there is none.
    """
    return links()[key]


def links() -> Listing[LinkKind]:
    """All kinds by key, the user's own included.

    Raises:
        KernelkitError: kernelkit's file is not there.
        ArgumentError: a file is not what it should be; the error names file, entry and field.
    """
    return _listing(stamps())


@cache
def _listing(_: object) -> Listing[LinkKind]:
    entries = merged("links", LinkKind, ("links/links.json",))
    return Listing(
        LinkKind.name,
        entries,
        ("key", "link", "nominal", "latency", "bandwidth", "backend"),
        _row,
        call="links",
    )


def _row(kind: LinkKind) -> tuple[str, ...]:
    nominal = kind.nominal_bits_per_s
    return (
        kind.key,
        kind.title,
        f"{amount(nominal, 'bit')}/s" if nominal else "",
        span(kind.latency_s, format_seconds),
        span(kind.bandwidth_bytes_per_s, lambda value: f"{amount(value, 'B')}/s"),
        kind.backend,
    )
