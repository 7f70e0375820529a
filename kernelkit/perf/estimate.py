"""Seconds of a token and of a prompt over the ranks, from what each has and what links them.

The slowest rank sets the pace of a tensor-parallel step, since every all_sum waits for it; a pipeline's ranks
work one after the other on a token, and side by side on the pieces of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kernelkit.perf import constants
from kernelkit.perf.collectives import Wire
from kernelkit.perf.costs import Cost, roof
from kernelkit.perf.devices import Device
from kernelkit.perf.launches import Launches
from kernelkit.perf.ranges import ZERO, Range
from kernelkit.perf.work import RankWork, Work, item_bytes
from kernelkit.sharding.sizes import PREFILL_TOKENS

_SMALL_SUM_BYTES = 4
# By work, device, tokens and whether the head is among it: what pieces of a prompt have in common.
_Kept = dict[tuple[int, int, int, bool], tuple[Cost, Range, Range]]


@dataclass(frozen=True)
class Setting:
    """What is run over the ranks.

    Attributes:
        works, devices: by rank.
        wire: between them; None of a single rank.
        pipeline: whether ranks have whole layers, else a part of each.
        hidden: numbers that pass from layer to layer, per token.
        batch: sequences at once.
        dtype: of activations.
        kv_bits: of quantized keys and values.
        graphs: that the host builds while a token is computed.
    """

    works: Sequence[RankWork]
    devices: Sequence[Device]
    wire: Wire | None
    pipeline: bool
    hidden: int
    batch: int = 1
    dtype: str = "bfloat16"
    kv_bits: int | None = None
    graphs: int = 1


def token_cost(run: Setting, context: int) -> Cost:
    """Of one token of each sequence, with `context` of them in the caches."""
    return _over_ranks(run, _each(run, 1, context, {}), 1)


def prompt_cost(run: Setting, tokens: int) -> Cost:
    """Of a prompt, as mlx-lm reads it: in pieces of 2,048 tokens, and its last token by itself.

    Before it gives that token's successor it builds the graph of the next one, while the device computes.
    """
    pieces, before = [], 0
    kept: _Kept = {}
    while tokens - 1 > before:
        size = min(PREFILL_TOKENS, tokens - 1 - before)
        pieces.append((_each(run, size, before, kept, head=False), size))
        before += size
    last = token_cost(replace(run, graphs=2), tokens)
    if not run.pipeline or not pieces:
        return sum((_over_ranks(run, own, size) for own, size in pieces), last)
    # The first piece goes through all ranks; each further one only adds what the slowest rank takes.
    first = _over_ranks(run, *pieces[0])
    return sum((_slowest(own) for own, _ in pieces[1:]), first) + last


def _each(run: Setting, tokens: int, before: int, kept: _Kept, head: bool = True) -> list[Cost]:
    """By rank; those with the same work and device are reckoned once."""
    made: dict[tuple[int, int, bool], Cost] = {}
    found = []
    for rank, (work, device) in enumerate(zip(run.works, run.devices, strict=True)):
        # Every rank of a pipeline computes the head, at the same time: it counts with rank 0's last layers.
        ends = head and (rank == 0 or not run.pipeline)
        key = (id(work), id(device), ends)
        if key not in made:
            made[key] = _rank(run, work, device, tokens, before, ends, kept)
        found.append(made[key])
    return found


def _over_ranks(run: Setting, own: Sequence[Cost], tokens: int) -> Cost:
    if run.wire is None:
        return own[0]
    size_bytes = run.batch * tokens * run.hidden * item_bytes(run.dtype)
    ranks = len(own)
    if not run.pipeline:
        return _slowest(own)
    latency, transfer = run.wire.send(size_bytes)
    hops = Cost(latency=latency, transfer=transfer).times(ranks - 1)
    latency, transfer = run.wire.all_gather(size_bytes, ranks)
    return sum(own[1:], own[0]) + hops + Cost(latency=latency, transfer=transfer)


def _slowest(costs: Sequence[Cost]) -> Cost:
    return max(costs, key=lambda cost: cost.total.mid)


def _rank(
    run: Setting, work: RankWork, device: Device, tokens: int, before: int, head: bool, kept: _Kept
) -> Cost:
    """Of one rank's layers and, of tensor parallelism, its all_sums; and of the head."""
    key = (id(work), id(device), tokens, head)
    if key not in kept:
        kept[key] = _fixed(run, work, device, tokens, head)
    total, host, sums = kept[key]
    for part, count in work.layers:
        kv, compute = _attention(run, part, device, tokens, before)
        total += Cost(kv=kv.times(count), compute=compute.times(count))
    # mlx-lm hands over the next token's graph while this one is computed: what takes longer counts.
    if not (host.high or sums.high):
        return total
    host, sums = host.times(run.graphs), sums.times(run.graphs)
    longer = (host + sums).beyond(total.total)
    of_kernels = longer.beyond(sums)
    return total + Cost(overhead=of_kernels, latency=longer.beyond(of_kernels))


def _fixed(
    run: Setting, work: RankWork, device: Device, tokens: int, head: bool
) -> tuple[Cost, Range, Range]:
    """What does not depend on the tokens before; and of the host its kernels and its all_sums."""
    total = Cost()
    host, sums = ZERO, ZERO
    for part, count in work.layers:
        cost = _products(run, part, device, tokens)
        if run.wire is not None and not run.pipeline:
            cost += _sums(run, part, tokens)
            sums += run.wire.host_s.times(count * (part.reduces + part.small_reduces))
        total += cost.times(count)
        host += _host(part.launches, device, run.batch * tokens).times(count)
    if head:
        total += _products(run, work.outside, device, 1)
        host += _host(work.outside.launches, device, run.batch)
    return total, host, sums


def _host(launches: Launches, device: Device, rows: int) -> Range:
    """Of a layer's kernels on the host."""
    if rows == 1 or not device.product_host_s.high:
        return device.host_s.times(launches.all)
    others = device.host_s.times(launches.all - launches.products)
    return others + device.product_host_s.times(launches.products)


def _products(run: Setting, work: Work, device: Device, tokens: int) -> Cost:
    """One layer's products, each read or computed, whichever takes longer, and the starts of its kernels."""
    many, rate = run.batch * tokens, device.read_bytes_per_s
    flop_per_s = device.flop_per_s if tokens > 1 else device.row_flop_per_s or device.flop_per_s
    activations = 0 if tokens == 1 else many * work.passed * item_bytes(run.dtype)
    read, compute = roof(
        rate.of_amount(work.read_bytes + activations),
        flop_per_s.of_amount(many * work.product_flop()),
    )
    if work.experts:
        flop_rate = flop_per_s
        if many == 1:
            rate = rate.times(device.expert_share)
        elif tokens > 1 or device.row_flop_per_s is None:
            flop_rate = flop_rate.times(constants.EXPERT_FLOP_SHARE.value)
        expert_read, expert_compute = roof(
            rate.of_amount(work.expert_bytes(many)), flop_rate.of_amount(many * work.expert_flop())
        )
        read, compute = read + expert_read, compute + expert_compute
    return Cost(read, compute=compute, overhead=_overhead(work.launches, device))


def _attention(run: Setting, work: Work, device: Device, tokens: int, before: int) -> tuple[Range, Range]:
    """One layer's keys and values, read, or its scores, computed, whichever takes longer."""
    read_bytes = run.batch * work.kv_read_bytes(before + tokens, run.dtype, run.kv_bits)
    return roof(
        device.read_bytes_per_s.times(device.kv_share).of_amount(read_bytes),
        device.flop_per_s.of_amount(run.batch * work.score_flop(tokens, before)),
    )


def _overhead(launches: Launches, device: Device) -> Range:
    """Of kernels that wait for each other; at the most each of them waits."""
    if device.serial:
        return device.step_s.times(launches.all)
    step = device.step_s
    return Range(step.low * launches.waits, step.mid * launches.waits, step.high * launches.all)


def _sums(run: Setting, work: Work, tokens: int) -> Cost:
    if run.wire is None:
        return Cost()
    ranks, many = len(run.works), run.batch * tokens
    latency, transfer = run.wire.all_sum(many * run.hidden * item_bytes(run.dtype), ranks)
    small, small_transfer = run.wire.all_sum(many * _SMALL_SUM_BYTES, ranks)
    return Cost(
        latency=latency.times(work.reduces) + small.times(work.small_reduces),
        transfer=transfer.times(work.reduces) + small_transfer.times(work.small_reduces),
    )
