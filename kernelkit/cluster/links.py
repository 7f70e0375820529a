"""Measure the links of a running cluster: what joins its hosts is asked first, then every link is tried."""

from __future__ import annotations

from kernelkit.cluster.bringup import Report
from kernelkit.cluster.site import Site
from kernelkit.hosts.linkreport import LinkReport
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.topology import Topology, topology_of
from kernelkit.survey.links import StartTask, measure_links
from kernelkit.survey.linkways import plan_links
from kernelkit.survey.machines import survey


def measure_cluster(site: Site, backend: str, start_task: StartTask, report: Report) -> LinkReport:
    """Every link between the hosts of a site.

    MPI cannot form a group of two beside the ranks that it started, so for `mpi` MLX's ring stands in.
    """
    measured = "ring" if backend in ("mpi", "none") else backend
    machines, topology = {}, Topology(tuple(site.hosts))
    if len(site.hosts) > 1 or measured == "nccl":
        report("asking the hosts what joins them")
        asked = survey(site.hosts, report=report)
        # One that takes no new login now is in the cluster all the same: its addresses are known.
        silent = tuple(Machine(host) for host, _ in asked.failures)
        machines = {machine.host: machine for machine in (*asked.machines, *silent)}
        topology = topology_of([*asked.machines, *silent])
    plan = plan_links(site.hostfile.hosts, measured, machines, topology, site.gpu_ids)
    return measure_links(plan, start_task, report, backend=measured)
