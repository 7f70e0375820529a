"""What every link between two hosts carries: plain data, stored as JSON, that shows itself as a table.

A *link* is one cable or network between two ranks' hosts. A pair of hosts may have several; the one that the
ranks' messages take is marked, and each knows the best way that its pair of hosts has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from kernelkit.hosts import linkfit, linkwords
from kernelkit.hosts.linkfit import Sample, Skip
from kernelkit.jsonfile import Stored

# Seconds, bytes and their rates lie between these, and pictures can scale all that does; a NaN does not.
_LEAST, _MOST = 1e-18, 1e18


@dataclass(frozen=True)
class LinkEnd:
    """Where a link comes to a host.

    Attributes:
        rank: the rank there.
        host: what the user calls the host.
        interface: the network device, such as `en5`.
        address: its IPv4 address; empty for a cable without one.
        device: its RDMA device, where the link is one.
    """

    rank: int
    host: str
    interface: str
    address: str
    device: str = ""


@dataclass(frozen=True)
class Way:
    """What kind of link it is.

    Attributes:
        kind: its key in `kernelkit.catalog`, or empty where it is not known.
        title: its name for people, such as `Thunderbolt 5`.
        nominal_bits_per_s: each way, by the data sheet; None where there is none.
        interface: the network device on the lower rank's host.
    """

    kind: str
    title: str
    nominal_bits_per_s: float | None = None
    interface: str = ""


@dataclass(frozen=True)
class Flow:
    """One direction of a link by one means, MLX or plain TCP.

    Attributes:
        sender, receiver: ranks.
        latency_s: of 4 bytes, half a ping-pong; None where it was not measured.
        bandwidth_bytes_per_s: of large messages, by the formula of `linkfit`; None where not measured.
        samples: what that follows from, by size.
        skipped: sizes left out, and why.
    """

    sender: int
    receiver: int
    latency_s: float | None
    bandwidth_bytes_per_s: float | None
    samples: tuple[Sample, ...] = ()
    skipped: tuple[Skip, ...] = ()

    @classmethod
    def measured(
        cls, sender: int, receiver: int, samples: tuple[Sample, ...], skipped: tuple[Skip, ...]
    ) -> Flow:
        """The flow with the figures that follow from its samples."""
        latency_s, bandwidth = linkfit.latency_s(samples), linkfit.bandwidth_bytes_per_s(samples)
        return cls(sender, receiver, latency_s, bandwidth, samples, skipped)


@dataclass(frozen=True)
class Link:
    """One link, measured.

    Attributes:
        ends: the lower rank's first.
        way: what kind of link it is.
        best: the best that these two hosts have, which may be this one; None where it is not known.
        in_use: whether the ranks' messages take it.
        mlx, tcp: one flow for each direction; none where it was not measured.
        error: why it, or the rest of it, could not be measured.
        duration_s: what the measurement took, its processes' start included.
    """

    ends: tuple[LinkEnd, LinkEnd]
    way: Way
    best: Way | None = None
    in_use: bool = True
    mlx: tuple[Flow, ...] = ()
    tcp: tuple[Flow, ...] = ()
    error: str = ""
    duration_s: float = 0.0

    @property
    def ranks(self) -> tuple[int, int]:
        return self.ends[0].rank, self.ends[1].rank

    def flow(self, sender: int, receiver: int, *, tcp: bool = False) -> Flow | None:
        """One direction, by MLX or by plain TCP; None where it was not measured."""
        flows = self.tcp if tcp else self.mlx
        return next((flow for flow in flows if (flow.sender, flow.receiver) == (sender, receiver)), None)


@dataclass(frozen=True)
class Software:
    """What one host ran while it was measured."""

    host: str
    os: str
    python: str
    mlx: str
    kernelkit: str


@dataclass(frozen=True)
class LinkReport(Stored):
    """All links of a cluster.

    Attributes:
        time: when the measurement began, ISO 8601, UTC.
        backend: MLX's, over which was measured.
        links: by ranks.
        software: of each host, as far as it answered.
    """

    _key = "kernelkit_links"
    _name = "link report"

    time: str
    backend: str
    links: tuple[Link, ...]
    software: tuple[Software, ...] = ()

    def latency_s(self, sender: int, receiver: int, *, tcp: bool = False) -> float | None:
        """Seconds for 4 bytes from one rank to another, on the quickest link in use; None if not measured."""
        known = self._figures(sender, receiver, tcp, lambda flow: flow.latency_s)
        return min(known, default=None)

    def bandwidth_bytes_per_s(self, sender: int, receiver: int, *, tcp: bool = False) -> float | None:
        """Bytes per second from one rank to another, on the widest link in use; None if not measured."""
        known = self._figures(sender, receiver, tcp, lambda flow: flow.bandwidth_bytes_per_s)
        return max(known, default=None)

    def _figures(
        self, sender: int, receiver: int, tcp: bool, figure: Callable[[Flow], float | None]
    ) -> list[float]:
        """Of the pair's links in use, or of all that it has where none of those was measured."""
        links = [link for link in self.links if set(link.ranks) == {sender, receiver}]
        for chosen in ([link for link in links if link.in_use], links):
            flows = [flow for link in chosen if (flow := link.flow(sender, receiver, tcp=tcp))]
            if known := [value for flow in flows if (value := figure(flow)) is not None]:
                return known
        return []

    @property
    def sentences(self) -> list[str]:
        """What a reader should know: slow, lopsided and failed links, in words."""
        return list(linkwords.sentences(self))

    def check(self) -> None:
        """Refuse figures that no measurement gives.

        Raises:
            ValueError: it names the field.
        """
        _check(self)

    def __repr__(self) -> str:
        return linkwords.as_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": linkwords.as_text(self), "text/html": linkwords.as_html(self)}


def _check(data: Any, name: str = "") -> None:
    """Refuse figures that no measurement gives: not finite, negative, or beyond all that there is.

    Raises:
        ValueError: it names the field.
    """
    if is_dataclass(data):
        for field in fields(data):
            _check(getattr(data, field.name), field.name)
    elif isinstance(data, tuple):
        for item in data:
            _check(item, name)
    elif isinstance(data, int | float) and data != 0 and not _LEAST <= data <= _MOST:
        raise ValueError(f"{name} is {data!r:.50}, not 0 or from {_LEAST:g} to {_MOST:g}")
