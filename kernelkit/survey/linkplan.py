"""Which links are to be measured, and how the two processes at the ends of each join."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.linkreport import LinkEnd, Way
from kernelkit.launch.command import Join, jaccl_joins, nccl_joins, ring_joins

# The `ip:port`s of each of the two, as `ring_joins` takes them.
Meets = Sequence[Sequence[str]]
JoinBuilder = Callable[[Meets], Sequence[Join]]


@dataclass(frozen=True)
class PlannedLink:
    """One link to measure.

    Attributes:
        ends: the lower rank's first; their `address` is where the two meet, for plain TCP as well.
        way: what kind of link it is.
        best: the best that the two hosts have; None where it is not known.
        in_use: whether the ranks' messages take this one.
        joins: how the two join, from the one `ip:port` of each; see `jaccl_pair` and `nccl_pair`.
        hindrance: why it cannot be measured, where that is known beforehand.
        tcp: whether to measure plain TCP too; not where the addresses lie on another cable than the link.
    """

    ends: tuple[LinkEnd, LinkEnd]
    way: Way
    best: Way | None = None
    in_use: bool = True
    joins: JoinBuilder = ring_joins
    tcp: bool = True
    hindrance: str = ""

    @property
    def name(self) -> str:
        first, second = self.ends
        return f"rank {first.rank} - rank {second.rank}, {first.interface or self.way.title}"


def jaccl_pair(devices: tuple[str, str]) -> JoinBuilder:
    """How two ranks join over one RDMA cable, by the name of its device at either end."""
    hosts = [Host("0", rdma=(None, devices[0])), Host("1", rdma=(devices[1], None))]

    def joins(meets: Meets) -> Sequence[Join]:
        return jaccl_joins(hosts, meets[0][0], ring=False)

    return joins


def nccl_pair(devices: tuple[str, str], interfaces: tuple[str, str] | None = None) -> JoinBuilder:
    """How two ranks join over NCCL.

    Args:
        devices: the CUDA device of each, as its own host counts them.
        interfaces: the network device at either end, for a link between hosts: NCCL else chooses by itself.
    """

    def joins(meets: Meets) -> Sequence[Join]:
        address, port = meets[0][0].rsplit(":", 1)
        pair = nccl_joins([Host("0"), Host("1")], address, int(port))
        return [
            replace(join, env={**join.env, "CUDA_VISIBLE_DEVICES": devices[rank], **_only(interfaces, rank)})
            for rank, join in enumerate(pair)
        ]

    return joins


def _only(interfaces: tuple[str, str] | None, rank: int) -> dict[str, str]:
    # With a sign of equality the name is meant as a whole, not as a beginning.
    return {"NCCL_SOCKET_IFNAME": f"={interfaces[rank]}"} if interfaces else {}
