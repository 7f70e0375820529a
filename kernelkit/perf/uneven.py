"""Cuts of a model over machines of different speed: more for those that read more in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import gcd

from kernelkit.catalog import Node
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.perf.costs import Cost
from kernelkit.perf.devices import Device
from kernelkit.perf.placing import MOST_SHARES, Load, Model, Placing, place
from kernelkit.perf.ranges import Range
from kernelkit.perf.result import Strategy

Costs = tuple[Cost, Cost]
# Shares are tried with so many for the slowest machine: 1,2 and 2,3 come nearest to different speeds.
_LEAST_SHARES = (1, 2, 3)
# By so much a token must be faster: an uneven cut has to be asked for, and pads more.
_WORTH = 1.02


def faster(
    model: Model,
    nodes: Sequence[Node],
    devices: Sequence[Device | None],
    strategy: Strategy,
    load: Load,
    placing: Placing,
    cost: Callable[[Placing], Costs | None],
) -> tuple[Placing, Costs | None, Range | None]:
    """The cut by speed that fits and decodes fastest, or the one that is there.

    Args:
        placing: without a thought of speed.
        cost: of a token and of a prompt.

    Returns:
        The placing, its cost, and, where another one was taken, the time of a token by the one that was
        there; None where that does not fit.
    """
    best, costs = placing, cost(placing)
    before = costs[0].total if costs else None
    rates = [device.read_bytes_per_s.mid for device in devices if device is not None]
    if len(rates) < len(nodes) or len(set(rates)) == 1:
        return best, costs, None
    needed = 1.0 / _WORTH
    for split in _splits(model, nodes, rates, strategy, placing):
        try:
            other = place(model, nodes, strategy, load, split)
        except (ArgumentError, ModelShardError):  # too many parts, or heads that no padding divides so
            continue
        found = cost(other)
        if found is None:
            continue
        if costs is None or found[0].total.mid < needed * costs[0].total.mid:
            best, costs, needed = other, found, 1.0
    return best, costs, before if best is not placing else None


def _splits(
    model: Model, nodes: Sequence[Node], rates: Sequence[float], strategy: Strategy, placing: Placing
) -> Iterator[tuple[int, ...]]:
    if strategy == "pipeline":
        layers = _layers(model, nodes, rates, placing)
        yield from () if layers is None else (layers,)
    elif model.anatomy.cuts == "any":
        seen = set()
        for least in _LEAST_SHARES:
            shares = [round(least * rate / min(rates)) for rate in rates]
            shares = [share // gcd(*shares) for share in shares]
            if 1 < max(shares) <= MOST_SHARES and tuple(shares) not in seen:
                seen.add(tuple(shares))
                yield tuple(shares)


def _layers(
    model: Model, nodes: Sequence[Node], rates: Sequence[float], placing: Placing
) -> tuple[int, ...] | None:
    """In proportion to the rates, as far as each memory goes; None where some are left over."""
    layers, outside = len(model.anatomy.layers), placing.works[0].outside.held_bytes
    held = sum(work.held_bytes - outside for work in placing.works)
    of_ranks = sum(rank.kv_bytes for rank in placing.ranks)
    alive = placing.ranks[0].activation_bytes
    each = (held + of_ranks) / layers
    room = [(node.working_set_bytes - outside - alive) // each for node in nodes]
    split = [1] * len(nodes)
    for _ in range(layers - len(nodes)):
        free = [rank for rank in range(len(nodes)) if split[rank] < room[rank]]
        if not free:
            return None
        split[min(free, key=lambda rank: ((split[rank] + 1) / rates[rank], rank))] += 1
    return tuple(split)
