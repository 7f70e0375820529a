"""What each stage of a job does, operation by operation, to decode some tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.perf.job import Job


@dataclass(frozen=True)
class Compute:
    """Every rank of the stage, each its own time.

    Attributes:
        of: `layer` or `head`.
        share: of that time.
        name: such as `layer 3`.
    """

    of: str
    share: float
    name: str


@dataclass(frozen=True)
class Collective:
    """All ranks of the stage, or of the job: `all_sum` or `all_gather`."""

    name: str


@dataclass(frozen=True)
class Send:
    """Each rank to the one in its place in another stage."""

    stage: int


@dataclass(frozen=True)
class Recv:
    """From the rank in its place in another stage."""

    stage: int


@dataclass(frozen=True)
class TokenEnd:
    """The token of all sequences is there."""

    token: int


Op = Compute | Collective | Send | Recv | TokenEnd


def programs(job: Job, tokens: Sequence[int], micro_batches: int) -> list[list[Op]]:
    """By stage.

    With one micro-batch a pipeline's ranks gather the result, and each computes the head, as in MLX LM. With
    more, the last stage computes it and sends the token to the first, while other micro-batches are on their
    way; MLX LM does not do that today.
    """
    ends = [sum(job.layers[: stage + 1]) for stage in range(job.stages)]
    made: list[list[Op]] = [[] for _ in ends]
    for token in tokens:
        for batch in range(micro_batches):
            for stage, ops in enumerate(made):
                _pass(ops, job, stage, ends, several=micro_batches > 1, again=token > tokens[0])
                if stage == job.stages - 1 and batch == micro_batches - 1:
                    ops.append(TokenEnd(token))
    # What the last stage sent of the last token.
    if job.stages > 1 and micro_batches > 1 and tokens:
        made[0] += [Recv(job.stages - 1)] * micro_batches
    return made


def _pass(ops: list[Op], job: Job, stage: int, ends: Sequence[int], *, several: bool, again: bool) -> None:
    """One micro-batch through one stage."""
    last = job.stages - 1
    if stage > 0:
        ops.append(Recv(stage - 1))
    elif several and again and last:
        ops.append(Recv(last))
    for layer in range(ends[stage] - job.layers[stage], ends[stage]):
        sums = job.sums_per_layer if job.ranks_per_stage > 1 else 0
        part = Compute("layer", 1 / max(1, sums), f"layer {layer}")
        for _ in range(sums):
            ops += [part, Collective("all_sum")]
        if not sums:
            ops.append(part)
    if stage < last:
        ops.append(Send(stage + 1))
    if last and not several:
        ops.append(Collective("all_gather"))
    if stage == last or not several:
        ops.append(Compute("head", 1.0, "head"))
    if stage == last and last and several:
        ops.append(Send(0))
