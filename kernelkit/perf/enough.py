"""The fewest machines that would do, and what would run the model there: a strategy, a link, a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.catalog import LinkKind, Node, link_kind, links
from kernelkit.errors import ArgumentError
from kernelkit.perf.collectives import able, backend_of
from kernelkit.perf.placing import Load, Model
from kernelkit.perf.result import Strategy
from kernelkit.sharding.capacity import smallest_cluster

# Any machine can have it.
_ELSE = "10gbe"
_STRATEGIES: tuple[Strategy, ...] = ("tensor", "pipeline")


@dataclass(frozen=True)
class Enough:
    """So many machines.

    Attributes:
        nodes: how many.
        strategy: by which it fits there.
        link: between them, by its key; empty where only the backend is known.
        backend: MLX's, which can do that over so many.
    """

    nodes: int
    strategy: str
    link: str
    backend: str


def enough(model: Model, machines: Sequence[Node], link: str, backend: str, load: Load) -> Enough | None:
    """The fewest machines like these on which it fits; None where they differ, 64 are too few, or
    no backend joins so many.

    Args:
        link: between them, by its key; of a single one, or where it is none of the catalog, what the machine
            has built in, and else Ethernet.
        backend: over it, where the link is none of the catalog.
    """
    limits = {machine.working_set_bytes for machine in machines}
    if len(limits) > 1:
        return None
    if link and link not in links():
        ways = {strategy: backend for strategy in _STRATEGIES if backend != "nccl" or strategy == "tensor"}
        kind = None
    else:
        kind = link_kind(link or next(iter(machines[0].chip.links), _ELSE))
        ways = {strategy: way for strategy in _STRATEGIES if (way := _way(kind, strategy, 2))}
    least = smallest_cluster(
        model.anatomy, limits.pop(), load.context, model.how, load.batch, load.kv_bits, tuple(ways)
    )
    if least is None or least.strategy == "hybrid":
        return None
    if kind is None:
        return Enough(least.nodes, least.strategy, "", backend)
    way = _way(kind, least.strategy, least.nodes)
    return None if way is None else Enough(least.nodes, least.strategy, kind.key, way)


def _way(kind: LinkKind, strategy: Strategy, ranks: int) -> str | None:
    """The backend that does it over so many ranks, the link's own first; None where there is none."""
    for backend in able(kind):
        try:
            return backend_of(kind, backend, strategy, ranks)
        except ArgumentError:  # it cannot do that
            continue
    return None
