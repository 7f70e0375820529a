"""Compare a collective with the other ranks before it runs: what `%%sharded --check` does.

MLX does not notice when ranks call different collectives: bytes of one go into the other, and the numbers
are wrong without an error. Here each rank first gathers a fixed-size header from all, which fits
whatever they are about to do; where the headers differ, every rank raises the same error, nothing wrong was
computed, and the group stays in step.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import mlx.core as mx
import numpy as np

from kernelkit.errors import CollectiveMismatchError
from kernelkit.places import Call

_HEADER_BYTES = 512
_SOURCE_CHARS = 60

# MLX's own, taken before the ledger puts its functions in front.
_all_gather = mx.distributed.all_gather


def before_running(call: dict[str, Any], group: mx.distributed.Group | None) -> None:
    """Gather what every rank is about to run.

    Args:
        call: this rank's, as the ledger describes it.
        group: the one it runs in.

    Raises:
        CollectiveMismatchError: on every rank alike, with each rank's call and line.
    """
    mine = {**call, "source": call["source"][:_SOURCE_CHARS]}
    text = json.dumps(mine).encode()
    if len(text) > _HEADER_BYTES:  # a shape of very many dimensions, or a line of escaped characters
        shape = call["shape"]
        short = [*shape[:20], zlib.crc32(str(shape).encode())] if len(shape) > 20 else shape
        text = json.dumps({**mine, "source": "", "shape": short}).encode()
    header = mx.array(np.frombuffer(text.ljust(_HEADER_BYTES), np.uint8))
    gathered = np.array(_all_gather(header, group=group)).reshape(-1, _HEADER_BYTES)
    headers = [bytes(row).rstrip() for row in gathered]
    if any(header != headers[0] for header in headers):
        _compare([Call.from_dict(json.loads(header)) for header in headers])


def run_at_once(out: mx.array) -> bool:
    """Run the collective where it was called, so that order of calls and of execution are one.

    Returns:
        False inside `mx.compile` and `mx.vmap`, where nothing can run yet.
    """
    try:
        mx.eval(out)
    except ValueError:
        return False
    return True


def _compare(calls: list[Call]) -> None:
    """Equal calls from different lines are no mismatch: `if rank == 0: ... else: ...` is common."""
    if all(call.fits(calls[0]) for call in calls):
        return
    raise CollectiveMismatchError(
        "the ranks are about to run different collectives",
        expected="the same operation, shape and dtype on every rank",
        got="; ".join(f"rank {rank}: {call}" for rank, call in enumerate(calls)),
        cure="mend the lines above; nothing wrong was computed, and the cluster is still usable",
    )
