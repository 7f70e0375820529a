"""Checks that only a Mac can pass or fail: what Thunderbolt, RDMA and the GPU ask of macOS."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kernelkit.hosts.addressing import Wire, setup_commands
from kernelkit.hosts.cables import format_link
from kernelkit.hosts.checks import NOT_A_MAC, OK, PROBLEM, UNKNOWN, WARNING, Check
from kernelkit.hosts.machine import MACOS_WITH_RDMA, Machine, ThunderboltPort
from kernelkit.hosts.thunderbolt import THUNDERBOLT_5_ABOVE_BITS_PER_S
from kernelkit.units import format_bytes

CABLE_ADDRESSES = "cable addresses"
_SYSTEM_NEEDS_BYTES = 4 * 1024**3
_RECOVERY = "shut down, hold the power button, Options, Utilities, Terminal: rdma_ctl enable; then restart"
_FIREWALL = "System Settings, Network, Firewall, Options: allow incoming connections for python"
_LOCAL_NETWORK = "System Settings, Privacy & Security, Local Network: allow the program that starts Python"


def mac_checks(machine: Machine, wires: Sequence[Wire]) -> tuple[Check, ...]:
    """All of them; on another system each says that it is none."""
    checks: dict[str, Callable[[Machine], Check]] = {
        "macOS": check_macos,
        "Thunderbolt": check_thunderbolt,
        "RDMA": check_rdma,
        "RDMA ports": check_rdma_ports,
        "Thunderbolt bridge": check_bridge,
        "port next to Ethernet": check_studio_port,
        CABLE_ADDRESSES: lambda mac: check_cables(mac, wires),
        "MLX_METAL_FAST_SYNCH": check_fast_synch,
        "wired memory": check_wired,
        "firewall": check_firewall,
        "local network": check_local_network,
    }
    if not machine.is_mac:
        return tuple(Check(name, NOT_A_MAC, machine.system or "unknown system") for name in checks)
    return tuple(check(machine) for check in checks.values())


def has_thunderbolt_5(machine: Machine) -> bool | None:
    """By its ports' own speeds, else by its chip: M3 Ultra, M4 Pro and Max, and what came after those."""
    speeds = [s for port in machine.ports or () for s in (port.link_bits_per_s, port.top_bits_per_s) if s]
    if any(speed > THUNDERBOLT_5_ABOVE_BITS_PER_S for speed in speeds):
        return True
    chip = re.search(r"\bM(\d{1,2})(?: (Pro|Max|Ultra))?", machine.chip, re.ASCII)
    if chip is None:
        return False if speeds else None
    generation, size = int(chip[1]), chip[2] or ""
    return generation >= {"Ultra": 3, "Max": 4, "Pro": 4}.get(size, 1000)


def check_macos(machine: Machine) -> Check:
    enough = machine.version_at_least(MACOS_WITH_RDMA)
    if enough is None:
        return Check("macOS", UNKNOWN, "sw_vers said nothing")
    if enough:
        return Check("macOS", OK, machine.version)
    state = WARNING if has_thunderbolt_5(machine) is False else PROBLEM
    return Check(
        "macOS", state, f"{machine.version}; RDMA needs 26.2", "System Settings, General, Software Update"
    )


def check_thunderbolt(machine: Machine) -> Check:
    """Its generation, and what each cable to another computer runs at."""
    five = has_thunderbolt_5(machine)
    if machine.ports is None or five is None:
        return Check("Thunderbolt", UNKNOWN, f"{machine.chip or 'chip unknown'}; its ports could not be read")
    links = [f"{_name(port)} at {format_link(port.link_bits_per_s)}" for port in _cabled(machine)]
    seen = f"{machine.chip or 'chip unknown'}, Thunderbolt {5 if five else '4 or older'}"
    seen += f": {', '.join(links)}" if links else ", no cable to another computer"
    if not five:
        return Check("Thunderbolt", WARNING, seen, "none here; RDMA needs M4 Pro, M4 Max, M3 Ultra or later")
    slow = [port for port in _cabled(machine) if not _fast(port)]
    if slow:
        names = ", ".join(_name(port) for port in slow)
        return Check("Thunderbolt", WARNING, seen, f"{names}: Thunderbolt 5 cable and Mac at both ends?")
    return Check("Thunderbolt", OK, seen)


def check_rdma(machine: Machine) -> Check:
    if machine.rdma_enabled:
        return Check("RDMA", OK, "enabled")
    if has_thunderbolt_5(machine) is False:
        return Check("RDMA", OK, "not enabled; without Thunderbolt 5 there is none")
    if machine.rdma_enabled is None:
        return Check("RDMA", UNKNOWN, "there is no rdma_ctl", "macOS 26.2 or later has it")
    return Check("RDMA", PROBLEM, "not enabled", _RECOVERY)


def check_rdma_ports(machine: Machine) -> Check:
    """A port is active when the Macs at both ends have RDMA enabled."""
    if machine.ports is None:
        return Check("RDMA ports", UNKNOWN, "the ports could not be read")
    able = [p for p in _cabled(machine) if _fast(p) and not machine.no_rdma_here(p.interface)]
    if not able:
        return Check("RDMA ports", OK, "no Thunderbolt 5 cable to another computer")
    without = [_name(port) for port in able if port.rdma_device is None]
    down = [_name(port) for port in able if port.rdma_active is False]
    if without:
        return Check("RDMA ports", UNKNOWN, f"no RDMA device for {', '.join(without)}", "see RDMA above")
    if down:
        cure = "enable RDMA on the Mac at the other end too, then plug the cable in again"
        return Check("RDMA ports", PROBLEM, f"{', '.join(down)} down", cure)
    return Check("RDMA ports", OK, f"{', '.join(_name(port) for port in able)} active")


def check_bridge(machine: Machine) -> Check:
    name = "Thunderbolt bridge"
    if not machine.interfaces:
        return Check(name, UNKNOWN, "ifconfig said nothing")
    ports = {interface.name for interface in machine.interfaces if interface.kind == "thunderbolt"}
    up = {bridge: port for port in sorted(ports) if (bridge := machine.bridge_over(port))}
    if not up:
        return Check(name, OK, "down")
    members = [f"{bridge} is up, with {', '.join(_members(machine, bridge, ports))}" for bridge in up]
    cure = "; ".join(f"sudo ifconfig {bridge} down" for bridge in up)
    menu = "for good: System Settings, Network, Thunderbolt Bridge, Make Service Inactive"
    return Check(name, PROBLEM, "; ".join(members), f"{cure} ({menu})")


def check_studio_port(machine: Machine) -> Check:
    name = "port next to Ethernet"
    if machine.ports is None or not machine.kind:
        return Check(name, UNKNOWN, "the ports could not be read")
    used = [port for port in _cabled(machine) if machine.no_rdma_here(port.interface) and _fast(port)]
    if used:
        return Check(
            name, WARNING, f"{_name(used[0])} is cabled, and can do no RDMA", "move it to another port"
        )
    return Check(name, OK, "not cabled" if machine.kind == "Mac Studio" else f"a {machine.kind} has none")


def check_cables(machine: Machine, wires: Sequence[Wire]) -> Check:
    """Do both ends have addresses of their own, and does the way there lead through the cable?"""
    name = CABLE_ADDRESSES
    own = [wire for wire in wires if machine.host in (wire.cable.a, wire.cable.b)]
    if not own:
        return Check(name, OK, "no cable to another host that was asked")
    seen, known = [], True
    for wire in own:
        interface = wire.cable.interface(machine.host)
        peer = wire.cable.other(machine.host)
        route = machine.route(wire.address(peer))
        known = known and route is not None
        if wire.fresh:
            seen.append(f"{interface} has none that fits {peer}'s")
        elif route not in (None, interface):
            seen.append(f"{wire.address(peer)} ({peer}) is reached by {route}, not by {interface}")
    if seen:
        commands = [line for line in setup_commands(machine, own) if not line.endswith(" down")]
        return Check(name, PROBLEM, "; ".join(seen), "; ".join(commands))
    fits = ", ".join(f"{w.cable.interface(machine.host)} {w.address(machine.host)}" for w in own)
    return Check(name, OK, fits) if known else Check(name, UNKNOWN, f"{fits}; routes could not be read")


def check_fast_synch(machine: Machine) -> Check:
    name = "MLX_METAL_FAST_SYNCH"
    if machine.fast_synch is None:
        return Check(name, UNKNOWN, "the environment could not be read")
    if not machine.fast_synch:
        return Check(name, OK, "not set")
    cure = f"take it out of ~/.zshenv; launchctl unsetenv {name}"
    return Check(name, WARNING, f"set to {machine.fast_synch}: it can wedge the GPU", cure)


def check_wired(machine: Machine) -> Check:
    """How much of its memory the GPU may hold: more than that, and weights do not fit."""
    limit, total = machine.wired_limit_bytes, machine.memory_bytes
    if limit is None or not total:
        return Check("wired memory", UNKNOWN, "sysctl did not say")
    if limit == 0:
        return Check("wired memory", OK, f"macOS' own limit, of {format_bytes(total)}")
    seen = f"limit {format_bytes(limit)} of {format_bytes(total)}"
    if limit > total - _SYSTEM_NEEDS_BYTES:
        fits = max(total - 2 * _SYSTEM_NEEDS_BYTES, total // 2) // 1024**2
        return Check("wired memory", WARNING, f"{seen}: too little is left for macOS", _wired_cure(fits))
    if limit < total // 2:
        return Check("wired memory", WARNING, f"{seen}: less than macOS' own", _wired_cure(0))
    return Check("wired memory", OK, seen)


def check_firewall(machine: Machine) -> Check:
    if machine.firewall is None:
        return Check("firewall", UNKNOWN, "its state could not be read", _FIREWALL)
    if machine.firewall:
        return Check("firewall", WARNING, "on: ranks of other hosts may not get in", _FIREWALL)
    return Check("firewall", OK, "off")


def check_local_network(machine: Machine) -> Check:
    """macOS shows its prompt on the screen, and keeps the answer to itself."""
    seen = "macOS asks on its screen, once for each program; it tells nobody the answer"
    return Check("local network", UNKNOWN, seen, _LOCAL_NETWORK)


def _wired_cure(limit_mib: int) -> str:
    return f"sudo sysctl iogpu.wired_limit_mb={limit_mib}"


def _cabled(machine: Machine) -> list[ThunderboltPort]:
    return [port for port in machine.ports or () if port.peer_uuid]


def _fast(port: ThunderboltPort) -> bool:
    return (port.link_bits_per_s or 0.0) > THUNDERBOLT_5_ABOVE_BITS_PER_S


def _name(port: ThunderboltPort) -> str:
    return port.interface or f"port {port.receptacle}"


def _members(machine: Machine, bridge: str, ports: set[str]) -> list[str]:
    known = machine.interface(bridge)
    return [member for member in known.members if member in ports] if known else []
