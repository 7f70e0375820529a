"""Send a model's files from a host that has them to others, over the links of the live group."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import ArgumentError, CellInterruptedError, ModelPushError, from_dict
from kernelkit.model.files import SAME_KERNELKIT
from kernelkit.model.operator import OnEvent, Operator, one_per_host
from kernelkit.units import format_bytes, format_seconds

# The disk keeps some room for what else goes on there.
_SPARE_BYTES = 100_000_000
_MAKE_ROOM = "make room, or rename or remove that folder there; --to HOST leaves other hosts out"


@dataclass(frozen=True)
class Pushed:
    """What `Cluster.push_model` did.

    Attributes:
        name: of the model.
        source: the host that had it.
        folders: where it is on each host that has it now, the source left out.
        sent_bytes: of the files that went over the links, each counted once.
        total_bytes: of all files of the model.
        elapsed_s: of the sending, comparing left out.
    """

    name: str
    source: str
    folders: Mapping[str, str]
    sent_bytes: int
    total_bytes: int
    elapsed_s: float

    def __repr__(self) -> str:
        where = "\n".join(f"  {host}: {folder}" for host, folder in self.folders.items())
        if not self.sent_bytes:
            sent = f"all {format_bytes(self.total_bytes)} were there already"
        else:
            rate = f"{format_bytes(self.sent_bytes / self.elapsed_s)}/s" if self.elapsed_s else ""
            sent = f"{format_bytes(self.sent_bytes)} in {format_seconds(self.elapsed_s)}, {rate}"
            if self.sent_bytes < self.total_bytes:
                sent += f"; {format_bytes(self.total_bytes - self.sent_bytes)} were there already"
        return f"{self.name} from {self.source}: {sent}; every file's SHA-256 agrees\n{where}"


@dataclass(frozen=True)
class _Target:
    """One host that gets the model: what it said, and what came of comparing."""

    host: str
    rank: int
    survey: Mapping[str, Any]
    kept: frozenset[str] = frozenset()

    def needed(self, files: Mapping[str, int]) -> list[str]:
        return [file for file in files if file not in self.kept]

    def has_all(self, files: Mapping[str, int]) -> bool:
        there = {*self.survey["there"]} & self.kept
        return there >= {*files} and not self.survey["other"]


def push_model(
    cluster: Operator, name: str, to: Sequence[str] | None, source: str | None, on_event: OnEvent
) -> Pushed:
    """See `Cluster.push_model`."""
    ranks = one_per_host(cluster)
    source, hosts = _hosts(list(ranks), to, source)
    found = cluster.operate({ranks[source]: ("find_files", {"name": name, "whole": True})}, on_event=on_event)
    offer = found[ranks[source]]
    if "error" in offer:
        error = from_dict(offer["error"])
        error.what = f"{source} cannot send it: {error.what}"
        raise error
    files: dict[str, int] = offer["files"]
    asked = {"name": name, "kind": offer["kind"], "files": files}
    surveys = cluster.operate({ranks[host]: ("survey_target", asked) for host in hosts})
    targets = [_Target(host, ranks[host], surveys[ranks[host]]) for host in hosts]
    _refuse_at(targets, lambda target: target.survey.get("refusal", ""))
    targets = _compare(cluster, targets, ranks[source], offer["folder"], on_event)
    cure = SAME_KERNELKIT if offer["kind"] == "austen" else _MAKE_ROOM
    _refuse_at(targets, lambda target: _conflict(target, source), cure)
    lacking = [target for target in targets if not target.has_all(files)]
    needed = {file: size for file, size in files.items() if any(file in t.needed(files) for t in lacking)}
    _refuse_at(lacking, lambda target: _too_large(target, files))
    elapsed_s = 0.0
    if lacking:
        elapsed_s = _transfer(cluster, name, ranks[source], offer["folder"], lacking, files, needed, on_event)
    folders = {target.host: target.survey["folder"] for target in targets}
    return Pushed(name, source, folders, sum(needed.values()), sum(files.values()), elapsed_s)


def _hosts(hosts: list[str], to: Sequence[str] | None, source: str | None) -> tuple[str, list[str]]:
    """Who sends, and who gets it."""
    for host in [*(to or ()), *([source] if source is not None else [])]:
        if host not in hosts:
            raise ArgumentError("the cluster has no such host", expected=", ".join(hosts), got=repr(host))
    source = source or hosts[0]
    others = [host for host in (to or hosts) if host != source]
    if not others:
        raise ArgumentError(
            "there is no host to push to",
            expected=f"another host of the cluster than {source}",
            got=", ".join(to or hosts),
            cure="%cluster connect --hosts A,B" if len(hosts) == 1 else "--to another host",
        )
    return source, list(dict.fromkeys(others))


def _compare(
    cluster: Operator, targets: Sequence[_Target], source: int, folder: str, on_event: OnEvent
) -> list[_Target]:
    """Hash what is there already, on all hosts at once, and keep what is right."""
    names = {target.rank: sorted({*target.survey["there"], *target.survey["partial"]}) for target in targets}
    compared = sorted({file for files in names.values() for file in files})
    if not compared:
        return list(targets)
    requests = {
        target.rank: ("hash_files", {"folders": target.survey["look_in"], "files": names[target.rank]})
        for target in targets
    }
    requests[source] = ("hash_files", {"folders": [folder], "files": compared})
    digests = cluster.operate(requests, on_event=on_event)
    right = digests[source]
    return [
        _Target(
            target.host,
            target.rank,
            target.survey,
            frozenset(file for file, its in digests[target.rank].items() if its == right[file]),
        )
        for target in targets
    ]


def _conflict(target: _Target, source: str) -> str:
    """Why a user's own folder there is left alone, or nothing."""
    if target.survey["ours"]:
        return ""
    other = [*target.survey["other"], *sorted({*target.survey["there"]} - target.kept)]
    if not other:
        return ""
    return f"{target.survey['folder']} holds another model: {', '.join(other)} not as on {source}"


def _too_large(target: _Target, files: Mapping[str, int]) -> str:
    needed_bytes = sum(files[file] for file in target.needed(files))
    free_bytes = target.survey["free_bytes"]
    if needed_bytes + _SPARE_BYTES <= free_bytes:
        return ""
    return (
        f"{format_bytes(needed_bytes)} are to go to {target.survey['folder']}, "
        f"{format_bytes(free_bytes)} are free there"
    )


def _refuse_at(targets: Sequence[_Target], why: Callable[[_Target], str], cure: str = _MAKE_ROOM) -> None:
    """Before anything is sent.

    Raises:
        ModelPushError: some host cannot take it.
    """
    refused = [f"{target.host}: {reason}" for target in targets if (reason := why(target))]
    if refused:
        raise ModelPushError(
            "nothing was sent",
            got="\n    ".join(["", *refused]),
            cure=cure,
        )


def _transfer(
    cluster: Operator,
    name: str,
    source: int,
    folder: str,
    targets: Sequence[_Target],
    files: Mapping[str, int],
    needed: Mapping[str, int],
    on_event: OnEvent,
) -> float:
    """Let all ranks take part; seconds that it took."""
    push = secrets.token_hex(8)
    writers = {
        str(target.rank): {
            "folder": target.survey["folder"],
            "ours": target.survey["ours"],
            "needed": target.needed(files),
            "kept": sorted(target.kept),
        }
        for target in targets
    }
    asked = {"push": push, "source": source, "writers": writers, "files": [*needed.items()], "folder": folder}
    answers = cluster.operate(
        dict.fromkeys(range(cluster.world_size), ("transfer", asked)),
        on_event=on_event,
        on_interrupt=lambda: bool(cluster.ask("stop_transfer", {"push": push})),
    )
    end = answers[source]["end"]
    if end == "stopped":
        raise CellInterruptedError(
            f"the push of {name} was stopped; no host has half a model, and whole files are kept",
            cure=f"%model push {name} goes on with it",
        )
    if end == "failed":
        hosts = cluster.rank_hosts
        errors = [f"{hosts[rank]}: {answer['error']}" for rank, answer in answers.items() if answer["error"]]
        raise ModelPushError(
            f"{name} could not be sent whole; no host has half a model",
            got="\n    ".join(["", *errors]),
            cure="mend that, then push again: files that arrived whole elsewhere are kept",
        )
    return float(answers[source]["elapsed_s"])
