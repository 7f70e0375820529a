"""MLX's hostfile: the JSON that `mlx.launch --hostfile` reads, as plain data, read and written.

It has two forms, a list of hosts, or an object with what goes for all of them::

    {
        "backend": "jaccl", "envs": ["KEY=VALUE"],
        "hosts": [
            {"ssh": "mac1", "ips": ["10.0.0.1"], "rdma": [null, "rdma_en2"]},
            {"ssh": "mac2", "ips": ["10.0.0.2"], "rdma": ["rdma_en2", null]}
        ]
    }

A host is a rank, so one machine may stand there several times. As for MLX, only `hosts` and `ssh` must
be there, and fields of other names mean nothing and are not kept. One field is kernelkit's own, and means
nothing to MLX: `"python": "/path/to/python"` of a host.
"""

from __future__ import annotations

import json
import re
import reprlib
from dataclasses import dataclass, field
from typing import Any

from kernelkit.errors import ArgumentError

BACKENDS = ("ring", "jaccl", "jaccl-ring", "mpi", "nccl")

# Neither NUL nor half a surrogate pair can stand in a process's environment.
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\0\ud800-\udfff]*")
# A dash in front would make an option of it, on the command line of ssh.
NAME = re.compile(r"[^\s-]\S*")
_CURE = "%cluster discover HOST... writes one, as mlx.distributed_config does"


@dataclass(frozen=True)
class Host:
    """One rank's host.

    Attributes:
        ssh: what `ssh` calls it.
        ips: where the other ranks reach it, one address for each of the ring's connections.
        rdma: its RDMA device to each rank, a tuple for several cables, None for none; or empty.
        python: the Python that runs its rank, or empty for the path of the notebook's.
    """

    ssh: str
    ips: tuple[str, ...] = ()
    rdma: tuple[str | tuple[str, ...] | None, ...] = ()
    python: str = ""

    def devices(self, rank: int) -> tuple[str, ...]:
        """Its RDMA devices to that rank, however many there are."""
        devices = self.rdma[rank] if rank < len(self.rdma) else None
        return (devices,) if isinstance(devices, str) else devices or ()

    def to_dict(self) -> dict[str, Any]:
        """The host as it stands in a hostfile."""
        rdma = [list(entry) if isinstance(entry, tuple) else entry for entry in self.rdma]
        python = {"python": self.python} if self.python else {}
        return {"ssh": self.ssh, "ips": list(self.ips), "rdma": rdma, **python}


@dataclass(frozen=True)
class Hostfile:
    """What a hostfile says.

    Attributes:
        hosts: by rank.
        backend: one of `BACKENDS`, or empty where the file leaves the choice to who reads it.
        envs: `KEY=VALUE`, set for every rank.
        bare: written as a list of hosts alone, which has no room for a backend or envs.
    """

    hosts: tuple[Host, ...]
    backend: str = ""
    envs: tuple[str, ...] = ()
    bare: bool = field(default=False, compare=False)

    def check(self, backend: str) -> None:
        """Refuse hosts over which MLX could form no group of that backend.

        The caller names the backend, since `mlx.launch --backend` overrides the file's as well.

        Raises:
            ArgumentError: there is no such backend, or a field lacks what it needs.
        """
        if backend not in BACKENDS:
            raise _refusal("backend", " or ".join(BACKENDS), backend)
        if backend == "ring":
            self._check_addresses()
        elif backend != "mpi" and not self.hosts[0].ips:
            raise _refusal(
                f"hosts[0].ips ({self.hosts[0].ssh})",
                f"an address: for {backend} all ranks meet at rank 0's",
                [],
            )
        if backend in ("jaccl", "jaccl-ring"):
            self._check_cables(backend)

    def _check_addresses(self) -> None:
        count = len(self.hosts[0].ips)
        for i, host in enumerate(self.hosts):
            if not host.ips or len(host.ips) != count:
                some = f"{count} address{'es' if count > 1 else ''}"
                expected = f"{some}, as many as hosts[0] has" if count else "at least one address"
                raise _refusal(f"hosts[{i}].ips ({host.ssh})", expected, list(host.ips))
            for k, ip in enumerate(host.ips):
                if ":" in ip:  # MLX appends the port, and takes for it what follows the first colon.
                    expected = "an IPv4 address without a port, since MLX's ring knows no IPv6"
                    raise _refusal(f"hosts[{i}].ips[{k}] ({host.ssh})", expected, ip)

    def _check_cables(self, backend: str) -> None:
        """A mesh needs a cable between any two hosts, a ring as many between any two neighbours."""
        size = len(self.hosts)
        if all(host.devices(j) for i, host in enumerate(self.hosts) for j in range(size) if i != j):
            return  # For jaccl-ring as well: where the counts differ, MLX takes the mesh.
        ring = backend == "jaccl-ring"
        count = len(self.hosts[0].devices(1)) if ring else 0
        for i, host in enumerate(self.hosts):
            peers = {(i - 1) % size, (i + 1) % size} if ring else set(range(size))
            for j in sorted(peers - {i}):
                devices = host.devices(j)
                if not devices or count not in (0, len(devices)):
                    expected = f"{count or 'at least 1'} of its devices: {backend} needs that cable"
                    raise _refusal(f"hosts[{i}].rdma[{j}] ({host.ssh})", expected, list(devices))


def parse_hostfile(text: str) -> Hostfile:
    """Read a hostfile's text.

    Raises:
        ArgumentError: it is no JSON, or a field, which the error names, is not what MLX takes there.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "the hostfile is not JSON"
        raise ArgumentError(what, expected="a list or an object", got=str(error), cure=_CURE) from error
    bare = isinstance(data, list)
    fields = {"hosts": data} if bare else _object(data, "top level")
    hosts = _list(fields.get("hosts"), "hosts")
    if not hosts:
        raise _refusal("hosts", "at least one host", hosts)
    backend = fields.get("backend")
    if not isinstance(backend, str | None):
        raise _refusal("backend", " or ".join(BACKENDS), backend)
    envs = _list(fields.get("envs"), "envs")
    for i, env in enumerate(envs):
        if not isinstance(env, str) or not _ENV.fullmatch(env):
            raise _refusal(f"envs[{i}]", "KEY=VALUE", env)
    read = tuple(_host(host, rank, len(hosts)) for rank, host in enumerate(hosts))
    return Hostfile(read, backend or "", tuple(envs), bare)


def format_hostfile(hostfile: Hostfile) -> str:
    """The text, laid out as `mlx.distributed_config` writes it: a file of its comes back as it was."""
    hosts = [host.to_dict() for host in hostfile.hosts]
    if hostfile.bare and not hostfile.backend and not hostfile.envs:
        return json.dumps(hosts, indent=4)
    return json.dumps({"backend": hostfile.backend, "envs": hostfile.envs, "hosts": hosts}, indent=4)


def _host(data: object, rank: int, size: int) -> Host:
    where = f"hosts[{rank}]"
    fields = _object(data, where)
    ssh = _name(fields.get("ssh"), f"{where}.ssh")
    try:
        return _rest_of_host(ssh, fields, rank, size)
    except ArgumentError as error:
        error.what = error.what.replace(" cannot be used", f" ({ssh}) cannot be used")
        raise


def _rest_of_host(ssh: str, fields: dict[str, Any], rank: int, size: int) -> Host:
    where = f"hosts[{rank}]"
    ips = _list(fields.get("ips"), f"{where}.ips")
    rdma = _list(fields.get("rdma"), f"{where}.rdma")
    if rdma and len(rdma) != size:
        raise _refusal(f"{where}.rdma", f"none, or one entry for each of the {size} hosts", rdma)
    if rdma and rdma[rank] is not None:
        raise _refusal(f"{where}.rdma[{rank}]", "null, since this is the host itself", rdma[rank])
    devices = tuple(_devices(entry, f"{where}.rdma[{j}]") for j, entry in enumerate(rdma))
    python = fields.get("python")
    if not isinstance(python, str | None) or (python and not python.isprintable()):
        raise _refusal(f"{where}.python", "the path of a Python", python)
    return Host(ssh, _names(ips, f"{where}.ips"), devices, python or "")


def _devices(data: object, where: str) -> str | tuple[str, ...] | None:
    if data is None:
        return None
    return _names(data, where) if isinstance(data, list) else _name(data, where)


def _names(data: list[Any], where: str) -> tuple[str, ...]:
    return tuple(_name(name, f"{where}[{i}]") for i, name in enumerate(data))


def _name(data: object, where: str) -> str:
    if not isinstance(data, str) or not NAME.fullmatch(data) or not data.isprintable():
        raise _refusal(where, "a name or an address without spaces", data)
    return data


def _object(data: object, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _refusal(where, "an object", data)
    return data


def _list(data: object, where: str) -> list[Any]:
    """The list there; null counts as left out, and what is left out as empty."""
    if data is not None and not isinstance(data, list):
        raise _refusal(where, "a list", data)
    return data or []


def _refusal(where: str, expected: str, got: object) -> ArgumentError:
    shown = "nothing" if got is None else reprlib.repr(got)
    return ArgumentError(f"hostfile: {where} cannot be used", expected=expected, got=shown, cure=_CURE)
