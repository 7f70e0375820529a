"""Maps, statuses and link reports for tests, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelkit.hosts.linkfit import KIB, MIB, Sample
from kernelkit.hosts.linkreport import Flow, Link, LinkEnd, LinkReport, Way
from kernelkit.hosts.status import ClusterStatus, HostStatus, RankStatus

TB5 = Way("tb5", "Thunderbolt 5", 80e9, "en5")
WIFI = Way("wifi6e", "Wi-Fi 6E", 2.402e9, "en0")
LOOPBACK = Way("loopback", "loopback", None, "lo")
GB = 10**9


def status(hosts: Sequence[str], backend: str = "ring", state: str = "idle") -> ClusterStatus:
    """Of one rank for each name; a name may come several times."""
    ranks = [
        RankStatus(i, host, 100 + i, "gpu", "Accelerate", "0.32.4", GB, GB // 2, "idle")
        for i, host in enumerate(hosts)
    ]
    known = [HostStatus(host, "Apple M3 Ultra", 512 * GB, 100 * GB) for host in dict.fromkeys(hosts)]
    return ClusterStatus(state, backend, tuple(ranks), tuple(known))


def flow(sender: int, receiver: int, bandwidth: float, latency: float = 3e-5) -> Flow:
    sizes = (4, KIB, MIB, 2 * MIB)
    times = [latency + (size / bandwidth if size > 4 else 0) for size in sizes]
    samples = tuple(Sample(size, t, 3, t, t, "send") for size, t in zip(sizes, times, strict=True))
    return Flow.measured(sender, receiver, samples, ())


def link(a: int, b: int, there: float | None, back: float | None = None, **more: Any) -> Link:
    """A link between two ranks, on hosts mac1 and on, with those bandwidths."""
    ends = (
        LinkEnd(a, f"mac{a + 1}", "en5", f"10.0.0.{a + 1}"),
        LinkEnd(b, f"mac{b + 1}", "en4", f"10.0.0.{b + 1}"),
    )
    flows = (flow(a, b, there), flow(b, a, back or there)) if there else ()
    return Link(**{"ends": ends, "way": TB5, "best": TB5, "mlx": flows, **more})


def report(*links: Link, backend: str = "jaccl") -> LinkReport:
    return LinkReport("2026-01-02T03:04:05+00:00", backend, links)
