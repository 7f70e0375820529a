"""The one object that a user holds: connect, run, push, pull, load, stop."""

from kernelkit.cluster.cluster import Cluster, connect
from kernelkit.cluster.recovery import Recovery
from kernelkit.cluster.result import Result
from kernelkit.cluster.status import ClusterStatus, RankStatus

__all__ = ["Cluster", "ClusterStatus", "RankStatus", "Recovery", "Result", "connect"]
