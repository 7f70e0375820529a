"""From what stages did together to what each rank did: columns of a timeline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernelkit.perf.stage import Record
from kernelkit.perf.timeline import Lane


def lanes_of(parts: Sequence[tuple[list[int], list[Record], float]], world_size: int) -> tuple[Lane, ...]:
    """By rank.

    Args:
        parts: of some ranks, their records in order of time, and until when they count; of each rank in
            order.
    """
    columns: list[list[Lane]] = [[] for _ in range(world_size)]
    for ranks, records, until_s in parts:
        if not records:
            continue
        starts_s = np.array([record.start_s for record in records])
        ends_s = np.minimum(np.array([record.end_s for record in records]), until_s)
        kept = ends_s > starts_s
        for place, rank in enumerate(ranks):
            mine = np.flatnonzero(kept[:, place])
            own = [records[i] for i in mine.tolist()]
            columns[rank].append(
                Lane(
                    tuple(starts_s[mine, place].tolist()),
                    tuple(ends_s[mine, place].tolist()),
                    tuple([record.what for record in own]),
                    tuple([record.name for record in own]),
                    tuple([record.size_bytes for record in own]),
                )
            )
    return tuple(map(_joined, columns))


def _joined(lanes: Sequence[Lane]) -> Lane:
    if len(lanes) == 1:
        return lanes[0]
    return Lane(
        sum((lane.start_s for lane in lanes), ()),
        sum((lane.end_s for lane in lanes), ()),
        sum((lane.what for lane in lanes), ()),
        sum((lane.name for lane in lanes), ()),
        sum((lane.size_bytes for lane in lanes), ()),
    )
