"""The one object that a user holds: connect, run, push, pull, load, stop."""

from kernelkit.cluster.cluster import Cluster
from kernelkit.cluster.connecting import connect, connected
from kernelkit.cluster.recovery import Recovery
from kernelkit.cluster.result import Result
from kernelkit.hosts.status import ClusterStatus, HostStatus, RankStatus

__all__ = [
    "Cluster",
    "ClusterStatus",
    "HostStatus",
    "RankStatus",
    "Recovery",
    "Result",
    "connect",
    "connected",
]
