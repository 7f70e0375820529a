"""The wires: a switch that joins all hosts and the controller, cables between two hosts, and their faults.

The switch is a namespace with bridges in it, so the machine's own interfaces and routes stay as they are.
A cable runs through that namespace as well, by a bridge of its own with two ports. So it can be pulled as a
network cable can: both devices lose their carrier and keep their addresses and routes, which the two ends of
one veth pair would not.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from tests.hosts.lab.delay import DelayLine
from tests.hosts.lab.leftovers import remove_namespaces
from tests.hosts.lab.shaping import shaping
from tests.hosts.lab.tools import ip, run, tc

CONTROLLER = "10.77.0.254"
_BRIDGE = "type bridge stp_state 0 forward_delay 0"
_FIRST_DEVICE = 5  # The first Thunderbolt port of a Mac is often en5 or so.


@dataclass(frozen=True)
class _Line:
    """One host's end of a wire: its own device, and the port of the switch that it is plugged into."""

    namespace: str
    device: str
    port: str


class Network:
    """Namespaces, one per host, and the wires between them.

    Attributes:
        hosts: the hosts' namespaces.
        controller: the namespace of the notebook.
        addresses: by host.
    """

    def __init__(self, prefix: str, names: list[str]) -> None:
        """Name everything; `up` builds it."""
        self.hosts = [f"{prefix}.{name}" for name in names]
        self.controller = f"{prefix}.controller"
        self.addresses = [f"10.77.0.{i + 1}" for i in range(len(names))]
        self._switch = f"{prefix}.switch"
        self._lines = [
            _Line(namespace, "eth0", name) for namespace, name in zip(self.hosts, names, strict=True)
        ]
        self._cables: dict[tuple[int, int], _Line] = {}
        self._bridges: list[str] = []  # Of the cables.
        self._delays: list[DelayLine] = []
        self._subnets = 0  # Of cables and delays that were laid.
        self._devices = [0 for _ in names]  # A host's devices, but for eth0.

    def up(self, stack: ExitStack) -> None:
        """Build the namespaces and the switch; the stack takes them away."""
        namespaces = [self._switch, self.controller, *self.hosts]
        stack.callback(remove_namespaces, namespaces)
        for namespace in namespaces:
            run(["ip", "netns", "add", namespace])
        stack.callback(self._end_delays)
        ip(self._switch, "link set lo up", f"link add br0 {_BRIDGE}", "link set br0 up")
        self._plug(_Line(self.controller, "eth0", "controller"), "br0", f"{CONTROLLER}/24")
        for i, line in enumerate(self._lines):
            self._plug(line, "br0", f"{self.addresses[i]}/24")

    def cable(self, i: int, j: int) -> tuple[str, str]:
        """Lay a cable of its own between two hosts; its address on each."""
        if (i, j) in self._cables:
            raise ValueError(f"there is a cable between hosts {i} and {j} already")
        addresses = self._next_subnet()
        bridge = f"cable{self._subnets}"
        self._bridges.append(bridge)
        ip(self._switch, f"link add {bridge} {_BRIDGE}", f"link set {bridge} up")
        for here, there, address in ((i, j, addresses[0]), (j, i, addresses[1])):
            line = _Line(self.hosts[here], self._next_device(here), f"{bridge}.{here}")
            self._plug(line, bridge, f"{address}/30")
            self._cables[here, there] = line
        return addresses

    def delay(self, i: int, j: int, delay_s: float) -> tuple[str, str]:
        """Lay a line between two hosts that delays each packet; its address on each."""
        addresses = self._next_subnet()
        ends = [
            (self.hosts[host], self._next_device(host), f"{address}/30")
            for host, address in zip((i, j), addresses, strict=True)
        ]
        self._delays.append(DelayLine(ends, delay_s))
        return addresses

    def shape(self, i: int, to: int | None, rate: str | None) -> None:
        """Limit both directions of a wire to a rate, or to none."""
        line = self._wire(i, to)[0]  # Both directions pass this end; the other end of a cable stays as it is.
        for namespace, device in ((line.namespace, line.device), (self._switch, line.port)):
            # Replaced by what a veth has anyway, since a qdisc that is not there cannot be deleted.
            tc(namespace, shaping(device, rate) if rate else f"qdisc replace dev {device} root noqueue")

    def plug(self, i: int, to: int | None, state: str) -> None:
        """Pull a wire, or plug it in again: `state` is down or up."""
        ip(self._switch, *(f"link set {line.port} {state}" for line in self._wire(i, to)))

    def restore(self) -> None:
        """Take cables and delays away; the wires to the switch whole and unshaped."""
        self._end_delays()
        gone = [*(line.port for line in self._cables.values()), *self._bridges]
        ip(self._switch, *(f"link del {device}" for device in gone))
        self._cables.clear()
        self._bridges.clear()
        self._subnets = 0
        self._devices = [0 for _ in self.hosts]
        for i, _ in enumerate(self.hosts):
            self.shape(i, None, None)
            self.plug(i, None, "up")

    def _wire(self, i: int, to: int | None) -> list[_Line]:
        """A wire's ends at hosts, that of host i first: one where it leads to the switch, two for a cable."""
        if to is None:
            return [self._lines[i]]
        if (i, to) not in self._cables:
            raise ValueError(f"there is no cable between hosts {i} and {to}")
        return [self._cables[i, to], self._cables[to, i]]

    def _plug(self, line: _Line, bridge: str, address: str) -> None:
        ip(
            self._switch,
            f"link add {line.port} type veth peer name {line.device} netns {line.namespace}",
            f"link set {line.port} master {bridge} up",
        )
        ip(
            line.namespace,
            "link set lo up",
            f"addr add {address} dev {line.device}",
            f"link set {line.device} up",
        )

    def _next_subnet(self) -> tuple[str, str]:
        self._subnets += 1
        return f"10.78.{self._subnets}.1", f"10.78.{self._subnets}.2"

    def _next_device(self, i: int) -> str:
        self._devices[i] += 1
        return f"en{_FIRST_DEVICE + self._devices[i] - 1}"

    def _end_delays(self) -> None:
        while self._delays:
            self._delays.pop().close()
