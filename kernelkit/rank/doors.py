"""Ports of a rank: free ones for MLX to listen on, and a try whether the other ranks can be reached."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from kernelkit.errors import ConnectError, HostError
from kernelkit.rank import state

_held: list[socket.socket] = []


def reserve_ports(addresses: Sequence[str]) -> list[int]:
    """Find a free port on each of these addresses of this host, and hold them until `release`.

    Raises:
        HostError: this host has no such address.
        ConnectError: no port is free there.
    """
    release()
    for address in addresses:
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        _held.append(held)
        # MLX binds with the same option, so the moment between our close and its bind is no TIME_WAIT.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((address, 0))
        except OSError as error:
            release()
            raise _refused(address, error) from error
    return [int(held.getsockname()[1]) for held in _held]


def release() -> None:
    """Let go of the ports, for MLX to take them."""
    while _held:
        _held.pop().close()


def open_doors(addresses: Sequence[str]) -> list[int]:
    """As `reserve_ports`, and listen there, so that others can try to reach us."""
    ports = reserve_ports(addresses)
    for held in _held:
        held.listen(64)
    return ports


def reach(peers: Sequence[tuple[str, int, int]], timeout_s: float) -> None:
    """Try to connect to others' open doors: what fails here would keep MLX waiting for ever.

    Args:
        peers: address, port and rank of each.

    Raises:
        HostError: one cannot be reached from this host.
    """
    for address, port, rank in peers:
        try:
            socket.create_connection((address, port), timeout_s).close()
        except OSError as error:
            reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise HostError(
                f"rank {state.rank} cannot reach rank {rank} at {address}: {reason}",
                cure="a cable, a route, a firewall, or on a Mac the Local Network permission "
                "(System Settings, Privacy & Security): %cluster doctor looks at them",
            ) from error


def _refused(address: str, error: OSError) -> ConnectError:
    where = f"rank {state.rank}"
    if error.errno == errno.EADDRNOTAVAIL:
        return HostError(
            f"the host of {where} has no address {address}",
            got=", ".join(_own_addresses()),
            cure="mend the ips of that host in the hostfile; %cluster discover reads them from the machines",
        )
    if isinstance(error, socket.gaierror):
        cure = "IPv4 addresses in the ips of that host; %cluster discover reads them from the machines"
        return HostError(
            f"{where} cannot listen on {address}, which is no address: {error.strerror}", cure=cure
        )
    return ConnectError(f"{where} finds no free port on {address}: {os.strerror(error.errno or 0)}")


def _own_addresses() -> list[str]:
    import psutil

    return [
        f"{a.address} ({name})"
        for name, addresses in psutil.net_if_addrs().items()
        for a in addresses
        if a.family == socket.AF_INET
    ]
