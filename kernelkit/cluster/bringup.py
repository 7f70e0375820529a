"""Bring a cluster up: agents, ranks, connections, and MLX's group, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from kernelkit.channel.connection import Keys
from kernelkit.channel.jupyter import JupyterChannel
from kernelkit.cluster.joining import form_group
from kernelkit.cluster.running import raise_if_lost
from kernelkit.cluster.site import LOOPBACK, Site
from kernelkit.errors import ConnectError, GroupError, RankLostError
from kernelkit.hosts.addresses import choose_addresses
from kernelkit.hosts.agreement import Own, check_agreement
from kernelkit.hosts.backend import choose_backend
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import gpus_by_rank, start_specs, usual_env
from kernelkit.launch.ssh import is_local

START_TIMEOUT_S = 60.0
GREET_TIMEOUT_S = 30.0
_TRIES = 3
_LAST_WORDS_S = 0.5
# RDMA devices must be closed by the ranks themselves; see the agent.
_GRACE_S = {"jaccl": 2.0, "jaccl-ring": 2.0}

Report = Callable[[str], None]


@dataclass
class Members:
    """What a connected cluster consists of.

    Attributes:
        agent: parents of the ranks.
        channel: the way to talk to them.
        site: where the ranks run, with the addresses that were found.
        backend: MLX's name of the data plane, `none` for one rank alone.
        why: why it is this one.
        notes: differences between the hosts that do no harm.
        facts: per rank, what does not change: host, pid, device, versions.
    """

    agent: Agents
    channel: JupyterChannel
    site: Site
    backend: str
    why: str = ""
    notes: list[str] = field(default_factory=list)
    facts: dict[int, dict[str, Any]] = field(default_factory=dict)

    def close(self) -> None:
        """End the ranks and everything that belongs to them."""
        self.agent.stop()
        self.channel.close()


def bring_up(site: Site, report: Report) -> Members:
    """Start the ranks where the site says, and form a group of them.

    A port that was free a moment ago can be taken, by a stranger or by another ring; a group that
    did not form or that answers with another nonce is thrown away whole, and new ranks try again.

    Raises:
        ConnectError: the ranks did not start, or formed no group in three tries.
        HostError: a host cannot be reached, or differs from the others.
        RankLostError: a rank's process ended before the group was formed.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _try(site, report)
        except RankLostError as error:
            error.cure = "mend what its last lines say, then try again; nothing is left running"
            raise
        except GroupError:
            if attempt == _TRIES:
                raise
            report("the group did not form; trying with new ranks and ports")
    raise AssertionError("unreachable")


def _try(site: Site, report: Report) -> Members:
    with ExitStack() as undo:  # whatever goes wrong, Ctrl-C too, nothing stays behind
        agents = Agents(site.hosts, site.pythons)
        undo.callback(agents.stop)
        site, backend, why, notes = _settle(agents, site, report)
        count = f"{site.world_size} rank{'s' if site.world_size > 1 else ''}"
        report(f"starting {count}" + ("" if site.is_local else f" on {len(site.hosts)} hosts"))
        keys = Keys.new()
        env = dict(e.split("=", 1) for e in site.hostfile.envs)
        agents.start(  # the keys in no variable here, which a traceback might show
            start_specs(
                site.world_size,
                keys.to_dict(),
                env,
                _gpus(site),
                usual_env(backend, site.world_size),
            ),
            site.by_rank,
            grace_s=_GRACE_S.get(backend, 0.0),
            mpi=backend == "mpi",
        )
        _await_ranks(agents, site)
        try:
            places = agents.connect()
        except ConnectError:
            agents.wait_for(lambda: bool(agents.exits), _LAST_WORDS_S)
            raise_if_lost(agents)  # a host that is gone forwards nothing
            raise
        channel = JupyterChannel(keys, places, START_TIMEOUT_S, lambda: raise_if_lost(agents))
        undo.callback(channel.close)
        members = Members(agents, channel, site, backend, why, notes)
        report("forming the group")
        members.facts = form_group(members, site, backend)
        for rank, facts in members.facts.items():
            facts["host"] = agents.host_name(rank, facts["host"])
        undo.pop_all()
        return members


def _settle(agents: Agents, site: Site, report: Report) -> tuple[Site, str, str, list[str]]:
    """Compare the hosts, and find the addresses and the backend that the user left open."""
    if all(map(is_local, site.hosts)):
        site = site.with_addresses(dict.fromkeys(site.hosts, LOOPBACK))
    if site.is_local:
        from kernelkit.launch.hello import abilities

        hellos = dict.fromkeys(site.hosts, abilities())
        notes = []
    else:
        report(f"reaching {', '.join(site.hosts)}")
        hellos = agents.greet(GREET_TIMEOUT_S)
        hellos = {host: hellos[host] for host in site.hosts}  # rank 0's first
        notes = check_agreement(hellos, _own())
        if not all(host.ips for host in site.hostfile.hosts):
            site = site.with_addresses(choose_addresses(hellos))
    site = replace(site, gpu_ids={host: hello["gpu_ids"] for host, hello in hellos.items()})
    notes = [*notes, *_idle_gpus(site)]
    if site.world_size == 1:
        return site, "none", "one rank needs no group", notes
    backend, why = choose_backend(site.hostfile, site.backend, hellos)
    return site, backend, why, notes


def _gpus(site: Site) -> list[str]:
    """A GPU of its own for each rank where there are enough, over ring and mpi too; else none is named."""
    enough = all(len(ids) >= site.by_rank.count(host) for host, ids in site.gpu_ids.items())
    return gpus_by_rank(site.hostfile.hosts, site.gpu_ids) if enough and site.world_size > 1 else []


def _idle_gpus(site: Site) -> list[str]:
    """Hosts other than this machine alone, whose user may not have counted their GPUs."""
    if site.is_local:
        return []
    counts = {host: (len(site.gpu_ids[host]), site.by_rank.count(host)) for host in site.hosts}
    return [
        f"{host} has {gpus} GPUs and {ranks} rank{'s' if ranks > 1 else ''}: --ranks-per-host {gpus} uses all"
        for host, (gpus, ranks) in counts.items()
        if gpus > ranks
    ]


def _own() -> Own:
    from kernelkit.launch.hello import FOLDER, code_digest, version_of

    return Own(version_of("kernelkit"), code_digest(), str(FOLDER))


def _await_ranks(agents: Agents, site: Site) -> None:
    size = site.world_size
    agents.wait_for(
        lambda: len(agents.ready) == size or bool(agents.exits or agents.mpirun) or not agents.alive,
        START_TIMEOUT_S,
    )
    raise_if_lost(agents)
    if (ended := agents.mpirun) is not None:
        raise ConnectError(f"mpirun ended ({ended})", got="\n    ".join(ended.stderr[:20]))
    if len(agents.ready) < size:
        missing = [rank for rank in range(size) if rank not in agents.ready]
        raise ConnectError(
            f"ranks {missing} did not start within {START_TIMEOUT_S:.0f} s",
            cure="fewer ranks, or a calmer machine",
        )
