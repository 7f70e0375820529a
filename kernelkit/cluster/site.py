"""Where the ranks of a cluster are to run: what the user asked for, as one hostfile."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kernelkit.cluster.checks import check_world_size
from kernelkit.errors import ArgumentError
from kernelkit.hosts.hostfile import BACKENDS, NAME, Host, Hostfile, parse_hostfile
from kernelkit.launch.ssh import is_local

LOOPBACK = "127.0.0.1"
VARIABLE = "KERNELKIT_HOSTFILE"
FOUND = "hosts.json"
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


@dataclass(frozen=True)
class Site:
    """Hosts by rank, and how they are reached.

    Attributes:
        hostfile: one entry per rank.
        backend: one of MLX's, or `auto`.
        pythons: host to the Python that is to run there, where it is not the notebook's path.
        source: where this came from, for the line that says it.
        gpu_ids: host to the GPUs that its ranks may use, where they compute on NVIDIA's.
    """

    hostfile: Hostfile
    backend: str = "auto"
    pythons: Mapping[str, str] = field(default_factory=dict)
    source: str = "this machine"
    gpu_ids: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Each host once, rank 0's first."""
        return list(dict.fromkeys(self.by_rank))

    @property
    def by_rank(self) -> list[str]:
        return [host.ssh for host in self.hostfile.hosts]

    @property
    def world_size(self) -> int:
        return len(self.hostfile.hosts)

    @property
    def is_local(self) -> bool:
        """Whether all of it is this machine, by the Python that runs the notebook."""
        return all(is_local(host) for host in self.hosts) and not self.pythons

    def with_addresses(self, addresses: Mapping[str, str]) -> Site:
        """The same with an address for each host that had none."""
        hosts = tuple(
            host if host.ips else replace(host, ips=(addresses[host.ssh],)) for host in self.hostfile.hosts
        )
        return replace(self, hostfile=replace(self.hostfile, hosts=hosts))


def own_ranks() -> int:
    """How many ranks this machine gets unasked: one for each of its NVIDIA GPUs, else two."""
    from kernelkit.launch.hello import abilities

    return len(abilities()["gpu_ids"]) or 2


def local_site(world_size: int, backend: str = "auto") -> Site:
    """That many ranks on this machine."""
    check_world_size(world_size)
    _check_backend(backend)
    return Site(Hostfile((Host(LOOPBACK, (LOOPBACK,)),) * world_size), backend)


def find_site(
    world_size: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    hosts: str | Sequence[str] | None = None,
    backend: str = "auto",
    python: str | None = None,
    ranks_per_host: int | None = None,
) -> Site:
    """The site that these arguments mean; with none of them a hostfile that is found, else local ranks.

    Args:
        ranks_per_host: so many for each host of `hosts` or of a hostfile that names every host once.

    Raises:
        ArgumentError: they contradict each other, or the hostfile cannot be used.
    """
    given = {"a number of ranks": world_size, "a hostfile": hostfile, "hosts": hosts}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ArgumentError(
            "where to run is said twice", expected="one of N, hostfile, hosts", got=" and ".join(named)
        )
    _check_backend(backend)
    if world_size is not None:
        _check_python(python)
        if ranks_per_host is not None:
            cure = "leave one of the two out"
            raise ArgumentError(
                "the ranks of this machine are counted twice", got="N and N per host", cure=cure
            )
        return local_site(world_size, backend)
    if ranks_per_host is not None and not (type(ranks_per_host) is int and ranks_per_host > 0):
        raise ArgumentError(
            "this is no number of ranks per host", expected="a whole number above 0", got=repr(ranks_per_host)
        )
    if hosts is not None:
        return _repeated(_listed(hosts, backend, python), ranks_per_host)
    path = hostfile if hostfile is not None else _found()
    if path is None:
        _check_python(python)
        return local_site(ranks_per_host or own_ranks(), backend)
    found_by = f" (${VARIABLE})" if hostfile is None and path != FOUND else ""
    return _repeated(_read(path, backend, python, found_by), ranks_per_host)


def _repeated(site: Site, ranks_per_host: int | None) -> Site:
    """Every host so often, its ranks one after the other."""
    if ranks_per_host in (None, 1):
        return site
    if len(site.hosts) != site.world_size:
        raise ArgumentError(
            f"{site.source} names a host more than once",
            expected="each host once, where --ranks-per-host says how often",
            got=", ".join(site.by_rank),
        )
    if any(host.rdma for host in site.hostfile.hosts):
        raise ArgumentError(
            f"{site.source} has RDMA devices from rank to rank", expected="one rank for each host"
        )
    hosts = tuple(host for host in site.hostfile.hosts for _ in range(ranks_per_host or 1))
    return replace(site, hostfile=replace(site.hostfile, hosts=hosts))


def _found() -> str | None:
    if Path(FOUND).is_file():
        return FOUND
    return os.environ.get(VARIABLE) or None


def _read(named: str | os.PathLike[str], backend: str, python: str | None, found_by: str) -> Site:
    try:
        path = Path(named).expanduser()
        text = path.read_text()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home folder of nobody
        cure = "%cluster discover HOST... writes one; %cluster connect 2 needs none"
        what = f"the hostfile {os.fspath(named)}{found_by} cannot be read"
        raise ArgumentError(what, got=str(error), cure=cure) from error
    try:
        parsed = parse_hostfile(text)
    except ArgumentError as error:
        raise ArgumentError(
            f"{path}: {error.what}", expected=error.expected, got=error.got, cure=error.cure
        ) from error
    parsed = _by_one_name(parsed)
    pythons: dict[str, str] = {}
    for host in parsed.hosts:
        if (found := host.python) and pythons.setdefault(host.ssh, found) != found:
            got = f"{pythons[host.ssh]} and {found}"
            raise ArgumentError(
                f"{path}: {host.ssh} has two Pythons", expected="one python per host", got=got
            )
    return Site(parsed, backend, {**_elsewhere(parsed, python), **pythons}, str(path))


def _elsewhere(hostfile: Hostfile, python: str | None) -> dict[str, str]:
    """A Python that was named is that of the other hosts; where there are none, that of this machine."""
    names = {host.ssh for host in hostfile.hosts}
    others = {name for name in names if not is_local(name)}
    return dict.fromkeys(others or names, python) if python else {}


def _listed(hosts: str | Sequence[str], backend: str, python: str | None) -> Site:
    names = [name.strip() for name in hosts.split(",")] if isinstance(hosts, str) else list(hosts)
    expected = "names or addresses for ssh: a,b,c"
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name) or not name.isprintable():
            raise ArgumentError("this is no name of a host", expected=expected, got=repr(name))
    if not names:
        raise ArgumentError("no host is named", expected=expected, got=repr(hosts))
    entries = [{"ssh": name, "ips": _address(name)} for name in names]
    parsed = _by_one_name(parse_hostfile(json.dumps(entries)))
    return Site(parsed, backend, _elsewhere(parsed, python), "--hosts")


def _address(name: str) -> list[str]:
    """The name itself, where it is an address at which others can reach the host."""
    return [name] if _IPV4.fullmatch(name) and not name.startswith("127.") else []


def _by_one_name(hostfile: Hostfile) -> Hostfile:
    """This machine by the first of its names: all of its ranks belong to one agent."""
    own = next((host.ssh for host in hostfile.hosts if is_local(host.ssh)), "")
    hosts = tuple(replace(host, ssh=own) if is_local(host.ssh) else host for host in hostfile.hosts)
    return replace(hostfile, hosts=hosts)


def _check_python(python: str | None) -> None:
    if python is not None:
        cure = "--hosts 127.0.0.1,127.0.0.1 for ranks of another Python on this machine"
        raise ArgumentError("a python is for named hosts", got=repr(python), cure=cure)


def _check_backend(backend: str) -> None:
    if backend not in ("auto", *BACKENDS):
        raise ArgumentError(
            "MLX has no such backend", expected=" or ".join(("auto", *BACKENDS)), got=repr(backend)
        )
