"""Pictures of plain data: pure functions that know no cluster and no process.

    kernelkit.views.topology(cluster.map())      kernelkit.views.link_matrix(LinkReport.load("links.json"))
    kernelkit.views.shard_map(model.shards)      kernelkit.views.memory(model.memory, context=8192)
    kernelkit.views.generation(answer)           kernelkit.views.timeline(answer.timeline)
    kernelkit.views.plan(plan)                   kernelkit.views.speeds(sweep)
    kernelkit.views.experiment(record)           of a record of an experiment, or of two compared
    kernelkit.views.explore("kimi-k2")           a plan with sliders

Each gives a `Picture`, which shows itself in a notebook and is saved by `picture.save("figure.pdf")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# At once and not when first used: a submodule of the same name would take the function's place.
from kernelkit.views.experiment import experiment
from kernelkit.views.generation import generation
from kernelkit.views.links import link_matrix
from kernelkit.views.memory import memory
from kernelkit.views.picture import Picture
from kernelkit.views.plan import plan
from kernelkit.views.shardmap import shard_map
from kernelkit.views.speeds import speeds
from kernelkit.views.timeline import timeline
from kernelkit.views.topology import topology

if TYPE_CHECKING:
    from kernelkit.views.explorer import explore

__all__ = [
    "Picture",
    "experiment",
    "explore",
    "generation",
    "link_matrix",
    "memory",
    "plan",
    "shard_map",
    "speeds",
    "timeline",
    "topology",
]


def __getattr__(name: str) -> Any:
    if name == "explore":  # its widgets are not loaded for a picture
        from kernelkit.views.explorer import explore

        return explore
    raise AttributeError(f"module 'kernelkit.views' has no attribute {name!r}")
