"""Find out how hosts are cabled, pick the fastest backend, and write the hostfile for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.hosts.addressing import Wire, address_cables, setup_commands
from kernelkit.hosts.cablemap import map_of_topology
from kernelkit.hosts.clustermap import ClusterMap
from kernelkit.hosts.hostfile import Hostfile, format_hostfile, parse_hostfile
from kernelkit.hosts.machine import Machine
from kernelkit.hosts.plan import Plan, make_plan
from kernelkit.hosts.topology import COLUMNS as CABLE_COLUMNS
from kernelkit.hosts.topology import Topology, topology_of
from kernelkit.survey.machines import TIMEOUT_S, Report, add_routes, host_names, survey
from kernelkit.tables import html_table, text_table

_COLUMNS = ("rank", "host", "ips", "RDMA", "to set up")


@dataclass(frozen=True)
class Discovery:
    """What was found, and what to do about it.

    Attributes:
        over: what the bytes go over: Thunderbolt RDMA, Thunderbolt, Ethernet or Wi-Fi.
        why: one sentence on why it is this backend.
        setup: for each host that needs it, the commands that its owner must run; they last until it restarts.
        cables_to_add: a line for each cable that a full mesh lacks.
    """

    backend: str
    over: str
    why: str
    hostfile: Hostfile
    topology: Topology
    setup: tuple[tuple[str, tuple[str, ...]], ...] = ()
    cables_to_add: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def save(self, path: str | Path) -> str:
        """Write the hostfile, and say so; a different file there is kept under another name.

        Raises:
            ArgumentError: it cannot be written there.
        """
        try:
            return self._save(Path(path).expanduser())
        except OSError as error:
            raise ArgumentError(f"{path} cannot be written", got=error.strerror or str(error)) from error

    def _save(self, path: Path) -> str:
        text = format_hostfile(self.hostfile)
        if not path.exists():
            path.write_text(text, encoding="utf-8")
            return f"wrote {path}"
        if path.read_bytes() == text.encode():
            return f"{path} is right as it is"
        backup = _free_name(path)
        path.rename(backup)
        path.write_text(text, encoding="utf-8")
        return f"wrote {path}; what was there is kept as {backup}"

    def map(self) -> ClusterMap:
        """Hosts and cables as one picture needs them, and what the hostfile makes of them."""
        return map_of_topology(self.topology, self.hostfile)

    def to_dict(self) -> dict[str, Any]:
        fields = {**asdict(self), "topology": self.topology.to_dict()}
        return {**fields, "hostfile": format_hostfile(self.hostfile)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Discovery:
        return cls(
            data["backend"],
            data["over"],
            data["why"],
            parse_hostfile(data["hostfile"]),
            Topology.from_dict(data["topology"]),
            tuple((host, tuple(commands)) for host, commands in data["setup"]),
            tuple(data["cables_to_add"]),
            tuple(data["warnings"]),
        )

    def _rows(self) -> list[tuple[str, ...]]:
        setup = dict(self.setup)
        return [
            (
                str(rank),
                host.ssh,
                ", ".join(host.ips),
                ", ".join("+".join(host.devices(j)) or "-" for j in range(len(host.rdma))),
                _commands(len(setup.get(host.ssh, ()))),
            )
            for rank, host in enumerate(self.hostfile.hosts)
        ]

    def _captions(self) -> tuple[str, ...]:
        return f"{self.backend} over {self.over}: {self.why}", *(f"warning: {text}" for text in self.warnings)

    def _notes(self) -> list[str]:
        """What is left to do, as lines."""
        lines = []
        if self.cables_to_add:
            lines += ["Cables that a full mesh lacks:", *(f"  {line}" for line in self.cables_to_add)]
        if self.setup:
            lines.append("To run on each host before ranks start, and again after it restarts:")
        for host, commands in self.setup:
            lines += [f"  on {host}:", *(f"    {command}" for command in commands)]
        return lines

    def __repr__(self) -> str:
        tables = [*self._captions(), text_table(_COLUMNS, self._rows())]
        if self.topology.cables:
            tables += ["", self.topology.title(), text_table(CABLE_COLUMNS, self.topology.rows())]
        notes = self._notes()
        return "\n".join([*tables, *([""] if notes else []), *notes])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = html_table(_COLUMNS, self._rows(), *self._captions())
        if self.topology.cables:
            html += html_table(CABLE_COLUMNS, self.topology.rows(), self.topology.title())
        if notes := self._notes():
            html += html_table(("to do",), [(line.strip(),) for line in notes])
        return {"text/plain": repr(self), "text/html": html}


def discover(
    hosts: str | Iterable[str], *, report: Report | None = None, timeout_s: float = TIMEOUT_S
) -> Discovery:
    """Ask hosts what they are and how they are cabled, and make the hostfile for the fastest backend.

    Nothing is changed on any of them: what needs root is listed for their owner.

    Raises:
        ArgumentError: these are no two hosts.
        HostError: some cannot be reached, or they have nothing in common; it names all of them.
    """
    names = host_names(hosts)
    if len(names) < 2:
        raise ArgumentError(
            "one host needs no hostfile", expected="two hosts or more", got=", ".join(names) or "none",
            cure="%cluster connect starts ranks on this machine",
        )  # fmt: skip
    machines = list(survey(names, report=report, timeout_s=timeout_s).complete())
    topology = topology_of(machines)
    machines = with_routes(machines, topology, timeout_s)
    return discovery_of(machines, topology)


def with_routes(machines: Sequence[Machine], topology: Topology, timeout_s: float) -> list[Machine]:
    """The machines, and how each would reach the other ends of its cables."""
    peers: dict[str, list[str]] = {}
    for wire in _wires(machines, topology):
        if not wire.fresh:
            for host in (wire.cable.a, wire.cable.b):
                peers.setdefault(host, []).append(wire.address(wire.cable.other(host)))
    return add_routes(machines, peers, timeout_s)


def discovery_of(machines: Sequence[Machine], topology: Topology) -> Discovery:
    """What machines that have answered make up."""
    plan = make_plan(machines, topology)
    commands = ((machine.host, setup_commands(machine, plan.wires)) for machine in machines)
    only_macs = all(machine.is_mac for machine in machines)
    return Discovery(
        plan.backend,
        plan.over,
        plan.why,
        plan.hostfile,
        topology,
        tuple((host, lines) for host, lines in commands if lines),
        tuple(str(missing) for missing in topology.missing()) if only_macs else (),
        tuple(_warnings(plan, machines, topology)),
    )


def _warnings(plan: Plan, machines: Sequence[Machine], topology: Topology) -> list[str]:
    blind = [machine.host for machine in machines if machine.is_mac and machine.ports is None]
    unread = [f"the Thunderbolt ports of {host} could not be read" for host in blind]
    synch = [
        f"{m.host} sets MLX_METAL_FAST_SYNCH={m.fast_synch}, which can wedge a Mac's GPU"
        for m in machines
        if m.fast_synch
    ]
    slow = [
        f"{cable.a} {cable.a_interface} to {cable.b} {cable.b_interface} can do no RDMA: {cable.no_rdma}; "
        "%cluster doctor has the cures"
        for cable in topology.cables
        if cable.no_rdma
    ]
    return [*plan.warnings, *unread, *topology.strangers, *slow, *synch]


def _wires(machines: Sequence[Machine], topology: Topology) -> tuple[Wire, ...]:
    known: Mapping[str, Machine] = {machine.host: machine for machine in machines}
    return address_cables(known, topology.cables)


def _free_name(path: Path) -> Path:
    """`hosts.json.bak`, or with a number behind: what is kept there already is not written over."""
    names = [path.with_name(f"{path.name}.bak{number or ''}") for number in (0, *range(2, 1000))]
    return next(name for name in names if not name.exists())


def _commands(count: int) -> str:
    return "nothing" if not count else f"{count} command{'s' if count > 1 else ''}"
