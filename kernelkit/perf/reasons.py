"""What a plan says in sentences: whether it fits, what sets the pace, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernelkit.perf.collectives import Wire
from kernelkit.perf.costs import Cost
from kernelkit.perf.enough import Enough
from kernelkit.perf.placing import Model, Placing
from kernelkit.perf.words import CAUSES
from kernelkit.perf.work import item_bytes
from kernelkit.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from kernelkit.perf.planning import Ground, What
    from kernelkit.perf.ranges import Range

# Of a token's time: from here on a cause is worth a sentence of its own.
_NOTABLE = 0.2
# Of the Mac that has most: six on a Mac Studio with M3 Ultra (Apple's technical specifications),
# of which the one next to Ethernet does no RDMA.
_RDMA_PORTS = 5
# The most GPUs that were measured together.
_MEASURED_GPUS = 2


def sentences(
    model: Model,
    ground: Ground,
    placing: Placing,
    costs: tuple[Cost, Cost] | None,
    what: What,
    longest: int,
    enough: Enough | None,
    evenly: Range | None = None,
) -> tuple[str, ...]:
    """In the order in which a reader asks.

    Args:
        longest: the largest context that fits.
        enough: the smallest number of such machines on which it fits, where it does not.
        evenly: a token's time without the split by speed that was taken.
    """
    return (
        *_fit(placing, what.strategy, what.context, longest, enough),
        *(_by_speed(placing, what.strategy, costs[0], evenly) if costs and evenly else ()),
        *_too_long(model, what.context),
        *_unknown(ground),
        *(_pace(costs[0]) if costs else ()),
        *(_synch(costs[0], ground.line, what.fast_synch) if costs else ()),
        *(_large_sums(model, ground, what) if costs else ()),
        *_ports(ground),
        *(_on_gpus(ground, what) if costs else ()),
        *(_packed_on_gpus(ground, what) if costs else ()),
        *((ground.source,) if costs and ground.source else ()),
        *_left_out(model),
    )


def _fit(placing: Placing, strategy: str, context: int, longest: int, enough: Enough | None) -> Iterator[str]:
    tight = min(placing.ranks, key=lambda rank: rank.free_bytes)
    if placing.fits:
        split = f", in {_split(placing, strategy)}" if placing.split else ""
        left = f"It fits{split}: {format_bytes(tight.free_bytes)} are left on {tight.node}"
        # Beyond what the model was made for, `longest` ends before what is asked.
        yield f"{left}, and up to {longest:,} tokens of context fit." if longest >= context else f"{left}."
        return
    needed = tight.limit_bytes - tight.free_bytes
    yield (
        f"It does not fit: rank {tight.rank} needs {format_bytes(needed)} of the "
        f"{format_bytes(tight.limit_bytes)} that {tight.node} should use at most, so no speed is given."
    )
    if longest:
        yield f"Up to {longest:,} tokens of context fit."
    if enough is None:
        return
    if enough.nodes == 1:
        yield "It fits on 1 such machine."
    else:
        over = f"{enough.link} ({enough.backend})" if enough.link else enough.backend
        yield f"It fits on {enough.nodes} such machines: {enough.strategy} over {over}."


def _by_speed(placing: Placing, strategy: str, token: Cost, evenly: Range) -> Iterator[str]:
    split = ",".join(map(str, placing.split or ()))
    yield (
        f"In {_split(placing, strategy)}, by what each machine reads in a second, a token takes "
        f"{format_seconds(token.total.mid)} in place of {format_seconds(evenly.mid)}: load it with "
        f"--split {split}."
    )


def _split(placing: Placing, strategy: str) -> str:
    name = "layers" if strategy == "pipeline" else "shares"
    return f"{name} {','.join(map(str, placing.split or ()))}"


def _too_long(model: Model, context: int) -> Iterator[str]:
    most = model.anatomy.max_context
    if most is not None and context > most:
        yield f"The model was made for {most:,} tokens of context, not for {context:,}."


def _unknown(ground: Ground) -> Iterator[str]:
    pairs = zip(ground.machines, ground.devices, strict=True)
    for title in dict.fromkeys(node.chip.title for node, device in pairs if device is None):
        yield f"No honest prediction of speed: bandwidth or compute of {title} is not known."
    if ground.link and ground.line is None:
        yield f"No honest prediction of speed: latency or bandwidth of {ground.title} is not known."


def _pace(token: Cost) -> Iterator[str]:
    total_s = token.total.mid
    cause, time_s = max(token.named(), key=lambda entry: entry[1].mid)
    share = time_s.mid / total_s
    part = "Most" if share > 0.5 else "The largest part"
    yield f"{part} of a token's {format_seconds(total_s)} goes to {CAUSES[cause]}: {share:.0%}."
    shared_s = token.latency.mid + token.transfer.mid
    if cause not in ("latency", "transfer") and shared_s > _NOTABLE * total_s:
        yield f"Collectives take {shared_s / total_s:.0%} of it."


def _synch(token: Cost, line: Wire | None, fast_synch: bool) -> Iterator[str]:
    if line is None or not line.crossing_s.mid:
        return
    if not fast_synch and token.latency.mid > _NOTABLE * token.total.mid:
        yield (
            f"Each collective waits {format_seconds(line.crossing_s.mid)} for the way from GPU to CPU and "
            "back; MLX_METAL_FAST_SYNCH=1 (fast_synch=True) shortens that, and can wedge a Mac's GPU."
        )


def _large_sums(model: Model, ground: Ground, what: What) -> Iterator[str]:
    """Why a token of one more sequence may take a jump."""
    size, ranks = what.batch * model.anatomy.hidden * item_bytes(what.how.dtype), len(ground.machines)
    if what.strategy == "tensor" and ground.line is not None and ground.line.leaves_mesh(size, ranks):
        yield (
            f"Each all_sum adds up {format_bytes(size)}: more than 512 KiB jaccl sums round a ring, in "
            f"{2 * (ranks - 1)} steps that follow each other, and not over its mesh in one."
        )


def _ports(ground: Ground) -> Iterator[str]:
    """A mesh that no Macs of today can be cabled to."""
    others = len(ground.machines) - 1
    if ground.backend == "jaccl" and ground.link.startswith("tb") and others > _RDMA_PORTS:
        yield (
            f"A mesh of {others + 1} takes {others} cables at each Mac, and no Mac has more than "
            f'{_RDMA_PORTS} Thunderbolt ports for RDMA: cabled as a ring it is backend="jaccl-ring".'
        )


def _on_gpus(ground: Ground, what: What) -> Iterator[str]:
    """Where measurements on GPUs have shown the catalog's plans to be wrong, or there are none."""
    if ground.backend != "nccl" or ground.source:
        return
    if what.batch > 1:
        yield (
            "Do not trust this batch: of eight sequences at once in 16 bits two H100 decoded 1.2 and 1.7 "
            "times slower than this says, in 4 bits 1.1 to 1.3 times faster."
        )
    if len(ground.machines) > _MEASURED_GPUS:
        yield f"What an all_sum takes was measured on {_MEASURED_GPUS} GPUs; of more it may take longer."


def _packed_on_gpus(ground: Ground, what: What) -> Iterator[str]:
    """What was measured of quantized weights on NVIDIA's GPUs, and what not."""
    if ground.source or all(node.chip.is_apple for node in ground.machines):
        return
    packings = {packing for packing in (what.how.default, what.how.experts) if packing}
    if packings and ground.backend == "nccl":
        yield (
            "The hosts set the pace of GPUs that sum: in 4 bits two H100 decoded 35B 1.3 times slower than "
            "this says, and 70B from 1.6 times slower to 1.1 times faster."
        )
    if any(packing.bits != 4 or not packing.affine for packing in packings) or (
        packings and what.how.default is None
    ):
        yield "On NVIDIA's GPUs only whole models of 4 bits were measured; this is reckoned like these."


def _left_out(model: Model) -> Iterator[str]:
    if model.anatomy.left_out:
        yield f"Left out: {', '.join(model.anatomy.left_out)}."
