"""A model's files on the hosts of a cluster: each host finds its own, and all must have the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import KernelkitError, ModelNotFoundError, from_dict
from kernelkit.model.operator import OnEvent, Operator, ask_all, one_per_host
from kernelkit.units import format_bytes

# The model that comes with kernelkit is not sent into another one.
SAME_KERNELKIT = "install the same kernelkit on all hosts; austen comes with it"


@dataclass(frozen=True)
class Files:
    """A model as each host has it.

    Attributes:
        name: as the user said it.
        by_host: what `rank.files.find_files` found there, rank 0's host first.
        rank_hosts: the host of each rank.
    """

    name: str
    by_host: Mapping[str, Mapping[str, Any]]
    rank_hosts: tuple[str, ...]

    @property
    def folders(self) -> dict[int, str]:
        """The folder that each rank loads from."""
        return {rank: self.by_host[host]["folder"] for rank, host in enumerate(self.rank_hosts)}

    @property
    def complete(self) -> bool:
        """Whether no host lacks weights."""
        return not any(found["lacking"] for found in self.by_host.values())


def find_files(cluster: Operator, name: str, on_event: OnEvent) -> Files:
    """Find a model on every host, one rank for each host and all of them at once.

    Weights of a hub's model that a host does not have yet are left for `fetch_wanted`.

    Raises:
        ModelNotFoundError: it is not on some host, or the hosts have different files.
    """
    ranks = one_per_host(cluster)
    request = ("find_files", {"name": name})
    answers = cluster.operate(dict.fromkeys(ranks.values(), request), on_event=on_event)
    by_host = {host: answers[rank] for host, rank in ranks.items()}
    errors = {host: from_dict(found["error"]) for host, found in by_host.items() if "error" in found}
    if errors:
        raise _not_everywhere(name, list(by_host), errors)
    if different := list(_differences(by_host)):
        first = next(iter(by_host))
        cure = f"%model push {name} sends them from {first}; or bring the folders in line by hand"
        raise ModelNotFoundError(
            f"the hosts have different files of {name}",
            expected=f"those of {first} on every host",
            got="\n    ".join(["", *different]),
            cure=SAME_KERNELKIT if by_host[first]["kind"] == "austen" else cure,
        )
    return Files(name, by_host, tuple(cluster.rank_hosts))


def fetch_wanted(cluster: Operator, files: Files, on_event: OnEvent) -> bool:
    """Once the ranks have prepared their parts: download the weight files that hold them, host by host.

    Returns:
        Whether anything was downloaded; what was prepared must then be prepared again.

    Raises:
        ModelNotFoundError: a host could not download them.
    """
    if files.complete:
        return False
    folders = files.folders
    requests = {rank: ("wanted_files", {"path": folder}) for rank, folder in folders.items()}
    wanted = cluster.operate(requests)
    fetches = {}
    for host, first in one_per_host(cluster).items():
        there = [rank for rank, its_host in enumerate(files.rank_hosts) if its_host == host]
        names = sorted({file for rank in there for file in wanted[rank]})
        if names:
            asked = {"name": files.name, "path": folders[first], "files": names}
            fetches[first] = ("fetch_files", asked)
    if not fetches:
        return False
    ask_all(cluster, "forget_prepared")
    cluster.operate(fetches, on_event=on_event)
    return True


def _not_everywhere(name: str, hosts: list[str], errors: Mapping[str, KernelkitError]) -> KernelkitError:
    """The error of the one host that all ranks are on, or of all hosts alike; else who has it and who not."""
    first = next(iter(errors.values()))
    if len(errors) == len(hosts) and len({error.what for error in errors.values()}) == 1:
        return first
    having = [host for host in hosts if host not in errors]
    told = [f"{host}: {error.what}{f' ({error.got})' if error.got else ''}" for host, error in errors.items()]
    if not having:
        return ModelNotFoundError(f"{name} is on none of the hosts", got="\n    ".join(["", *told]))
    source = "" if having[0] == hosts[0] else f" --from {having[0]}"
    return ModelNotFoundError(
        f"{name} is on {', '.join(having)}, but not on {', '.join(errors)}",
        got="\n    ".join(["", *told]),
        cure=f"%model push {name}{source}",
    )


def _differences(by_host: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """How each host's files differ from those of the first, a line each."""
    (first, own), *others = by_host.items()
    for host, theirs in others:
        for file, size_bytes in own["sizes"].items():
            if file not in theirs["sizes"]:
                yield f"{host} has no {file}"
            elif theirs["sizes"][file] != size_bytes:
                sizes = f"{_bytes(theirs['sizes'][file])} on {host}, {_bytes(size_bytes)} on {first}"
                yield f"{file} has {sizes}"
        for file in theirs["sizes"]:
            if file not in own["sizes"]:
                yield f"{first} has no {file}, {host} has"
        for file in sorted({*own["digests"], *theirs["digests"]}):
            one, other = own["digests"].get(file), theirs["digests"].get(file)
            if one is None or other is None:
                yield f"{first if one is None else host} has no {file}"
            elif one != other:
                yield f"{file} on {host} is not that of {first}"


def _bytes(size_bytes: int) -> str:
    """Both the digits that differ and the size that one can read."""
    return f"{size_bytes} bytes ({format_bytes(size_bytes)})"
