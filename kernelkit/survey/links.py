"""Measure every link between the hosts: two short-lived processes at its ends, one link after the other.

The ranks of a running cluster take no part; the two form a group of their own. A link that fails leaves its
reason in the report, and the others go on. However it ends, no process is left.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any

from kernelkit.errors import KernelkitError
from kernelkit.hosts.linkfit import PING_BYTES, SIZES_BYTES, Sample, Skip, format_size
from kernelkit.hosts.linkreport import Flow, Link, LinkReport, Software
from kernelkit.survey.linkends import Ends, StartTask, Task, in_a_line
from kernelkit.survey.linkplan import PlannedLink
from kernelkit.units import format_bytes

__all__ = ["MODULE", "StartTask", "Task", "measure_links"]

MODULE = "kernelkit.rank.probe"
LINK_LIMIT_S = 9.5
_TCP_BUDGET_S = 2.6
_MLX_BUDGET_S = 4.5
# Between the end of the measurement's own budget and the limit: its last message may be misjudged.
_RESERVE_S = 0.8
_LEAST_BUDGET_S = 0.5
_START_S = 5.0

Report = Callable[[str], None]


def measure_links(
    plan: Sequence[PlannedLink],
    start_task: StartTask,
    report: Report,
    *,
    backend: str = "ring",
    sizes_bytes: Sequence[int] = SIZES_BYTES,
    limit_s: float = LINK_LIMIT_S,
) -> LinkReport:
    """Measure every planned link, both ways, over MLX and over plain TCP.

    Args:
        start_task: starts a module of kernelkit on a host and gives it its boot line: `(host, module, boot)`.
        report: told in a few words what is being measured, often.
        backend: MLX's, for the report; each planned link brings its own way to join.
        limit_s: for one link, its processes' start included.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    links = []
    software: dict[str, Software] = {}
    for number, planned in enumerate(plan, 1):
        with ExitStack() as undo:  # whatever goes wrong, Ctrl-C too, nothing stays behind
            run = _Run(planned, partial(_numbered, report, f"({number} of {len(plan)})"), limit_s)
            links.append(run.measure(start_task, undo, sizes_bytes))
            software |= run.software
    return LinkReport(began, backend, tuple(links), tuple(software.values()))


def _numbered(report: Report, number: str, text: str) -> None:
    report(f"{text} {number}")


@dataclass
class _Run:
    """One link's measurement, and what has come of it so far."""

    planned: PlannedLink
    report: Report
    limit_s: float
    software: dict[str, Software] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    skipped: dict[tuple[str, str], list[Skip]] = field(default_factory=dict)
    began_s: float = field(default_factory=monotonic)

    def measure(self, start_task: StartTask, undo: ExitStack, sizes_bytes: Sequence[int]) -> Link:
        error = self.planned.hindrance
        try:
            if not error:
                self._measure(self._start(start_task, undo), sizes_bytes)
        except KernelkitError as failure:
            error = in_a_line(failure)
        planned = self.planned
        return Link(
            planned.ends,
            planned.way,
            planned.best,
            planned.in_use,
            mlx=self._flows("mlx"),
            tcp=self._flows("tcp"),
            error=error,
            duration_s=monotonic() - self.began_s,
        )

    def _start(self, start_task: StartTask, undo: ExitStack) -> Ends:
        self.report(f"{self.planned.name}: starting")
        both = Ends(tuple(end.host for end in self.planned.ends), self._note)
        for rank, end in enumerate(self.planned.ends):
            task = start_task(end.host, MODULE, {"rank": rank, "addresses": [end.address]})
            undo.callback(task.end)
            both.tasks.append(task)
        return both

    def _measure(self, both: Ends, sizes_bytes: Sequence[int]) -> None:
        ends = self.planned.ends
        said = both.hear("ports", _START_S, "start")
        for end, facts in zip(ends, said, strict=True):
            known = {name: facts[name] for name in ("os", "python", "mlx", "kernelkit")}
            self.software[end.host] = Software(end.host, **known)
        sizes = {"sizes_bytes": list(sizes_bytes)}
        if self.planned.tcp:
            budget_s = self._budget_s(_TCP_BUDGET_S)
            meet = {"peer": [ends[0].address, said[0]["tcp_port"]], "nonce": secrets.token_hex(16)}
            both.tell({"op": "tcp", "budget_s": budget_s, **sizes, **meet})
            both.hear("done", self._left_s(), "tcp")
        self._join(
            both, [[f"{end.address}:{facts['ports'][0]}"] for end, facts in zip(ends, said, strict=True)]
        )
        both.tell({"op": "measure", "budget_s": self._budget_s(_MLX_BUDGET_S), **sizes})
        both.hear("done", self._left_s(), "mlx")

    def _join(self, both: Ends, meets: Sequence[Sequence[str]]) -> None:
        """Both load MLX, then rank 0 goes ahead: rank 1 dials it, and a refused call costs a second."""
        self.report(f"{self.planned.name}: forming a group")
        joins = self.planned.joins(meets)
        for task, join in zip(both.tasks, joins, strict=True):
            task.tell({"op": "load", "env": join.env})
        both.hear("done", self._left_s(), "load")
        nonce = secrets.randbelow(2**30)
        for rank, join in enumerate(joins):
            request = {"op": "join", "backend": join.backend, "env": join.env, "files": join.files}
            both.tasks[rank].tell({**request, "nonce": nonce})
            both.hear("joining", self._left_s(), "join", [rank])
        both.hear("done", self._left_s(), "join")

    def _note(self, op: str, said: dict[str, Any]) -> None:
        if said["event"] not in ("sample", "skipped"):
            return
        key = (op, said["direction"])
        if said["event"] == "skipped":
            self.skipped.setdefault(key, []).append(Skip(said["size_bytes"], said["reason"]))
            return
        fields = ("size_bytes", "seconds", "repeats", "low_s", "p90_s", "how")
        sample = Sample(**{name: said[name] for name in fields})
        self.samples.setdefault(key, []).append(sample)
        if sample.size_bytes > PING_BYTES:
            rate = f"{format_bytes(sample.size_bytes / sample.seconds)}/s"
            by = " by plain TCP" if op == "tcp" else ""
            self.report(f"{self.planned.name}: {format_size(sample.size_bytes)}, {rate}{by}")

    def _flows(self, op: str) -> tuple[Flow, ...]:
        ranks = [end.rank for end in self.planned.ends]
        flows = []
        for direction, (sender, receiver) in (("0>1", ranks), ("1>0", ranks[::-1])):
            samples = tuple(self.samples.get((op, direction), ()))
            skipped = tuple(self.skipped.get((op, direction), ()))
            if samples:
                flows.append(Flow.measured(sender, receiver, samples, skipped))
        return tuple(flows)

    def _left_s(self) -> float:
        return self.limit_s - (monotonic() - self.began_s)

    def _budget_s(self, most_s: float) -> float:
        return max(_LEAST_BUDGET_S, min(most_s, self._left_s() - _RESERVE_S))
