"""Simulate a job on a network, event by event: many ranks, of which some are slow and some are lost.

A run without chance gives what formulas give: a ring's all_sum takes `2 (n - 1) (latency + bytes / n /
bandwidth)`, a pipeline of `s` even stages with `m` micro-batches is idle for `(s - 1) / (m + s - 1)` of its
time. What formulas do not give is what becomes of ranks that differ: everyone waits for the slowest of each
layer, which with chance is another one each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kernelkit.amounts import check_amount, check_whole, shown
from kernelkit.errors import ArgumentError
from kernelkit.perf.engine import Engine
from kernelkit.perf.job import Job
from kernelkit.perf.lanes import lanes_of
from kernelkit.perf.mishaps import Lost as Lost
from kernelkit.perf.mishaps import Mishaps
from kernelkit.perf.network import Network
from kernelkit.perf.program import programs
from kernelkit.perf.schedules import Algorithm, Times, all_gather, all_sum
from kernelkit.perf.stage import Channel, Meeting, Record, Stage
from kernelkit.perf.timeline import Timeline

# A layer takes some 0.3 ms, so that these are minutes.
_MOST_LAYERS = 500_000


def simulate(
    job: Job,
    network: Network,
    *,
    tokens: int = 16,
    algorithm: Algorithm = "ring",
    micro_batches: int = 1,
    slow: Mapping[int, float] | None = None,
    jitter: float = 0.0,
    seed: int = 0,
    lost: Lost | Sequence[Lost] = (),
) -> Timeline:
    """Decode some tokens on all ranks.

    Args:
        job: what each rank computes and sends.
        network: its hosts, one for each rank of the job.
        tokens: of each sequence; of all tokens and micro-batches half a million layers at the most.
        algorithm: of the all_sums, one of `kernelkit.perf.schedules.ALGORITHMS`. `ring` is MLX's over TCP; a
            plan over RDMA, whose backend is jaccl, reckons with `mesh`.
        micro_batches: of `job.batch` sequences each, which follow each other through the stages.
        slow: by rank, by how much longer it computes.
        jitter: each computing takes a random factor, drawn anew for each rank and time: lognormal, of mean 1,
            and of this standard deviation of its logarithm, at most 1.5.
        seed: of what is drawn; the same seed gives the same run.
        lost: ranks that die; while there is no group, or after the last token, it changes nothing.

    Raises:
        ArgumentError: job and network have not as many ranks, or a figure makes no sense.
    """
    _check(job, network, tokens, micro_batches)
    losses = _losses(lost)
    mishaps = Mishaps(slow or {}, jitter, seed, tuple(losses))
    mishaps.check(job.world_size)
    run = _Run(job, network, algorithm, micro_batches, mishaps)
    start_s, happened = 0.0, []
    for one in losses:
        if start_s <= one.at_s and len(run.token_s) < tokens:
            run.decode(tokens, start_s, one.at_s)
            if len(run.token_s) < tokens:
                happened.append(one)
                start_s = run.lose(one)
    run.decode(tokens, start_s, math.inf)
    said = [_title(job, network, algorithm, micro_batches)]
    said += replace(mishaps, lost=tuple(happened)).words()
    times_s = tuple(run.token_s[token] for token in range(tokens))
    lanes = lanes_of(run.records, job.world_size)
    return Timeline("simulated", lanes, times_s, job.batch * micro_batches, tuple(said))


def _losses(lost: Any) -> list[Lost]:
    """In order of time."""
    losses = [lost] if isinstance(lost, Lost) else lost
    if not isinstance(losses, Sequence) or not all(isinstance(one, Lost) for one in losses):
        raise ArgumentError("lost is no loss of ranks", expected="kk.Lost(...), or a list", got=shown(lost))
    for one in losses:
        check_amount("at_s of a lost rank", one.at_s)
    return sorted(losses, key=lambda one: one.at_s)


def _check(job: Job, network: Network, tokens: int, micro_batches: int) -> None:
    for given, kind in ((job, Job), (network, Network)):
        if not isinstance(given, kind):
            raise ArgumentError(
                f"this is no {kind.__name__}", expected=f"kk.{kind.__name__}", got=shown(given)
            )
    if job.world_size != network.world_size:
        expected, got = str(job.world_size), str(network.world_size)
        raise ArgumentError("job and network have not as many ranks", expected=expected, got=got)
    for name, value in (("tokens", tokens), ("micro_batches", micro_batches)):
        check_whole(name, value)
    if (steps := tokens * micro_batches * sum(job.layers)) > _MOST_LAYERS:
        raise ArgumentError(
            "this simulation would take longer than anyone waits",
            expected=f"tokens * micro_batches * layers of up to {_MOST_LAYERS:,}",
            got=f"{steps:,}",
            cure="fewer tokens: after the first ones they are alike, but for chance",
        )


def _title(job: Job, network: Network, algorithm: str, micro_batches: int) -> str:
    many, stages = job.ranks_per_stage, job.stages
    cut = f"{stages} stages of {many} rank{'' if many == 1 else 's'}" if stages > 1 else "tensor parallel"
    sums = f", all_sum by {algorithm}" if many > 1 else ""
    several = f", {micro_batches} micro-batches" if micro_batches > 1 else ""
    return f"{job.name or 'a job'}, {cut}{several}; {network}{sums}"


class _Run:
    """Records and tokens so far."""

    def __init__(
        self,
        job: Job,
        network: Network,
        algorithm: Algorithm,
        micro_batches: int,
        mishaps: Mishaps,
    ) -> None:
        self._job, self._network, self._micro_batches = job, network, micro_batches
        self._factors, self._jitter = mishaps.factors(job.world_size), mishaps.jitter
        self._random = np.random.default_rng(mishaps.seed)
        many = job.ranks_per_stage
        # The first layers lie on the last ranks.
        self._ranks = [list(range(i * many, (i + 1) * many)) for i in reversed(range(job.stages))]
        self._sums = [all_sum(algorithm, ranks, network, job.message_bytes) for ranks in self._ranks]
        self._gather = all_gather(algorithm, range(job.world_size), network, job.message_bytes)
        self.records: list[tuple[list[int], list[Record], float]] = []
        self.token_s: dict[int, float] = {}

    def decode(self, tokens: int, start_s: float, until_s: float) -> None:
        """The tokens that are still to come, and of them what begins before `until_s`."""
        engine = Engine(self._network, start_s)
        left = range(len(self.token_s), tokens)
        made = programs(self._job, left, self._micro_batches)
        stages = [
            Stage(
                number,
                ranks,
                program,
                {"layer": self._of(self._job.layer_s, ranks), "head": self._of(self._job.head_s, ranks)},
                engine=engine,
                message_bytes=self._job.message_bytes,
                draw=self._draw,
                start_s=start_s,
            )
            for number, (ranks, program) in enumerate(zip(self._ranks, made, strict=True))
        ]
        # Where one stage is all there is, its collectives have the uplinks to themselves.
        alone = len(stages) == 1
        gather = Meeting(engine, self._gather, not self._gather.crosses)
        channels = {(i, j): Channel() for i in range(len(stages)) for j in range(len(stages)) if i != j}
        for stage, schedule in zip(stages, self._sums, strict=True):
            quiet = not schedule.crosses or (alone and not schedule.contends)
            stage.meetings = {"all_sum": Meeting(engine, schedule, quiet), "all_gather": gather}
            stage.channels, stage.peers = channels, stages
            stage.go(until_s)
        engine.run(until_s)
        for stage in stages:
            self.records.append((stage.ranks, stage.records, until_s))
            self.token_s.update((t, at_s) for t, at_s in stage.token_s.items() if at_s <= until_s)

    def lose(self, one: Lost) -> float:
        """All ranks stop; returns when they go on."""
        known_s = one.at_s + one.detect_s
        again_s = known_s + one.recover_s
        for rank in range(self._job.world_size):
            at, known, again = (np.array([time_s]) for time_s in (one.at_s, known_s, again_s))
            waits = Record(at, known, "wait", f"rank {one.rank}, which is lost")
            gone = Record(at, again, "lost", "lost")
            mine = [gone] if rank == one.rank else [waits, Record(known, again, "lost", "recovery")]
            self.records.append(([rank], mine, math.inf))
        return again_s

    def _of(self, seconds: Sequence[float], ranks: list[int]) -> Times:
        return np.array([seconds[rank] for rank in ranks]) * self._factors[ranks]

    def _draw(self, count: int) -> Times:
        if not self._jitter:
            return np.ones(count)
        return self._random.lognormal(-(self._jitter**2) / 2, self._jitter, count)
