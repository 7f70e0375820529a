"""`%cluster connect`: where to, what to say when it stands, and what to warn of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError, CellInterruptedError
from kernelkit.interrupts import Interrupts
from kernelkit.magics import show

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster


def connect(argument: str, flags: Mapping[str, Any]) -> Cluster:
    """Connect as the line says, show progress meanwhile, and say what came of it."""
    if argument and not re.fullmatch(r"-?\d{1,9}", argument, re.ASCII):
        cure = f"--hosts {','.join(argument.split())} for a host; a number starts ranks on this machine"
        usage = "%cluster connect [N]"
        raise ArgumentError("this is no number of ranks", expected=usage, got=repr(argument), cure=cure)
    with Interrupts():  # a library that is broken off while it loads stays broken
        from kernelkit.cluster import connect

    with show.new_slot() as slot:
        try:
            cluster = connect(
                int(argument) if argument else None, report=lambda text: slot.show(text, text), **flags
            )
        except KeyboardInterrupt:
            raise CellInterruptedError("%cluster connect was interrupted; nothing was started") from None
    show.say(_described(cluster))
    for note in cluster.notes:
        show.warn(note)
    _warn_of_crowding(cluster)
    return cluster


def _described(cluster: Cluster) -> str:
    ranks = show.ranks_text(cluster.world_size)
    site = cluster.site
    if site.is_local:
        where = "this machine" if site.source == "this machine" else f"this machine ({site.source})"
        return f"{ranks} on {where}, backend {cluster.backend}"
    return f"{ranks} on {', '.join(site.hosts)} ({site.source}), backend {cluster.backend}: {cluster.why}"


def _warn_of_crowding(cluster: Cluster) -> None:
    cores = os.cpu_count() or 1
    if cluster.site.is_local and cluster.backend == "ring" and cluster.world_size > cores:
        show.warn(
            f"{cluster.world_size} ranks share {cores} cores: ranks of a ring spin while they wait, so "
            "collectives get some 100 times slower. Good for trying things out, not for timing them."
        )
