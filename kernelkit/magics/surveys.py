"""`%cluster discover`, `doctor`, `links` and `calibrate`: look at machines and what joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kernelkit.errors import CellInterruptedError
from kernelkit.magics import show

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster
    from kernelkit.hosts.calibration import Calibration
    from kernelkit.hosts.linkreport import LinkReport
    from kernelkit.survey import Diagnosis, Discovery

T = TypeVar("T")
HOSTFILE = "hosts.json"


def discover(argument: str, flags: Mapping[str, Any]) -> Discovery:
    """Look at the named hosts and write the hostfile."""
    from kernelkit.survey import discover

    found = _with_progress("discover", lambda report: discover(argument, report=report))
    file = flags.get("save", HOSTFILE)
    how = f"%cluster connect --hostfile {file}" if "save" in flags else "%cluster connect"
    with show.saving():
        show.say(f"{found.save(file)}; {how}")
    return found


def doctor(argument: str, flags: Mapping[str, Any], cluster: Cluster | None) -> Diagnosis:
    """Check the named hosts, else the cluster's, else those of the hostfile that connect would find."""
    from kernelkit.cluster.site import find_site
    from kernelkit.survey import doctor

    if argument:
        hosts: Any = argument
        pythons: Mapping[str, str] = {}
    else:
        running = cluster is not None and cluster.state != "stopped"
        site = cluster.site if cluster is not None and running else find_site()
        hosts, pythons = site.hosts, site.pythons
    python = flags.get("python") or pythons
    return _with_progress("doctor", lambda report: doctor(hosts, python=python, report=report))


def links(cluster: Cluster, flags: Mapping[str, Any]) -> LinkReport:
    """Measure every link of the cluster, and save what came out if a file is named."""
    measured = _with_progress("links", lambda report: cluster.links(report=report))
    show.save(measured, flags)
    return measured


def calibrate(cluster: Cluster, flags: Mapping[str, Any]) -> Calibration:
    """Measure the ranks' devices with a bar per rank, and save what came out if a file is named."""
    with show.bars() as draw:
        found = cluster.calibrate(on_event=draw)
    show.save(found, flags)
    return found


def _with_progress(name: str, work: Callable[[Callable[[str], None]], T]) -> T:
    with show.new_slot() as slot:
        try:
            return work(lambda text: slot.show(text, text))
        except KeyboardInterrupt:
            raise CellInterruptedError(f"%cluster {name} was interrupted; nothing was changed") from None
