"""The very cluster that is connected, as a plan's ground: its calibration, its memory, its links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.catalog import Chip, Node
from kernelkit.errors import ArgumentError
from kernelkit.hosts.calibration import Calibration, KindSpeed, RankSpeed
from kernelkit.perf import constants
from kernelkit.perf.collectives import Wire
from kernelkit.perf.devices import Device
from kernelkit.perf.planning import Ground
from kernelkit.perf.ranges import ZERO, Range
from kernelkit.sharding.quantization import Quantization

MEASURED = "measured"
_NVIDIA = "gpu (NVIDIA"


@dataclass(frozen=True)
class MeasuredWire(Wire):
    """All_sums as they were timed on the ranks, and what follows from them for other messages.

    Attributes:
        calibration: of the cluster.
    """

    calibration: Calibration

    def all_sum(self, size_bytes: float, ranks: int) -> tuple[Range, Range]:
        whole_s = self.calibration.sum_span_s(size_bytes)
        # The smallest one's, or this one's where it is as small.
        latency_s = tuple(map(min, whole_s, self.calibration.sum_span_s(0)))
        transfer_s = [all_s - small_s for all_s, small_s in zip(whole_s, latency_s, strict=True)]
        return Range(*latency_s), Range(min(transfer_s), transfer_s[1], max(transfer_s))

    def all_gather(self, size_bytes: float, ranks: int) -> tuple[Range, Range]:
        """A ring's all_sum of `ranks / 2` times the bytes sends as many."""
        return self.all_sum(size_bytes * ranks / 2, ranks)

    def send(self, size_bytes: float) -> tuple[Range, Range]:
        """One of the `2 * (ranks - 1)` steps of an all_sum, with all bytes in place of a part of them."""
        ranks = len(self.calibration.ranks)
        latency, transfer = self.all_sum(size_bytes * ranks, ranks)
        steps = 2 * (ranks - 1)
        return latency.times(1 / steps), transfer.times(1 / steps)


def own_ground(calibration: Calibration, limits: Sequence[Mapping[str, Any]], how: Quantization) -> Ground:
    """What was measured of the ranks, for weights of that quantization.

    Args:
        limits: of each rank's device, by rank: `host`, `device` (the same name for ranks that share one) and
            `limit_bytes`.

    Raises:
        ArgumentError: the calibration is of other ranks, or weights of that kind were not measured.
    """
    if len(limits) != len(calibration.ranks):
        raise ArgumentError(
            "the calibration is of other ranks",
            expected=f"{len(limits)} ranks",
            got=f"{len(calibration.ranks)}",
            cure="%cluster calibrate",
        )
    several = len(limits) > 1
    line = None
    if several:
        line = MeasuredWire(
            calibration.backend, ZERO, Range.of(1.0), ZERO, _sums_on_host(calibration), calibration
        )
    names = [limit["device"] for limit in limits]
    return Ground(
        [_node(rank, limit, names.count(limit["device"])) for rank, limit in enumerate(limits)],
        [_device(rank, _kind(rank, how)) for rank in calibration.ranks],
        MEASURED if several else "",
        MEASURED if several else "",
        calibration.backend if several else "",
        line,
        _source(calibration),
    )


def _node(rank: int, limit: Mapping[str, Any], sharing: int) -> Node:
    host = str(limit["host"])
    return Node(Chip(host, host), int(limit["limit_bytes"]) // sharing, f"{host} #{rank}")


def _kind(rank: RankSpeed, how: Quantization) -> KindSpeed:
    """The speed for most of the weights."""
    packing = how.experts or how.default
    name = f"{packing.bits}bit" if packing else how.dtype
    speed = rank.of(name)
    if packing and speed is not None and rank.of(how.dtype) is None:
        # Beside packed weights it is the activations' dtype that decides, on a CPU by a factor of seven.
        raise ArgumentError(
            f"rank {rank.rank} was not measured with weights of {name} and activations of {how.dtype}",
            expected=", ".join(speed.kind for speed in rank.kinds if not speed.kind.endswith("bit")),
            got=how.dtype,
            cure="one of these (--dtype where they are loaded), or machines of the catalog",
        )
    if speed is None:
        measured = ", ".join(speed.kind for speed in rank.kinds)
        raise ArgumentError(
            f"rank {rank.rank} was not measured with weights of {name}",
            expected=measured,
            got=name,
            cure="weights of one of these kinds (--dtype where they are loaded), or machines of the catalog",
        )
    return speed


def _device(rank: RankSpeed, speed: KindSpeed) -> Device:
    one = Range.of(1.0)
    read = _within(speed.read_bytes_per_s, speed.read_span_bytes_per_s)
    flop = _within(speed.flops_per_s, speed.flops_span_per_s)
    step = _within(rank.op_s, rank.op_span_s)
    if _NVIDIA not in rank.device:
        return Device(read, one, one, flop, step, serial=True, metal=False)
    packed, host = speed.kind.endswith("bit"), rank.dispatch
    kernel_s = Range(*host.kernel_s) if host else constants.CUDA_HOST_S.value
    product_s = Range(*host.product_s) if host else constants.CUDA_PRODUCT_HOST_S.value
    return Device(
        read,
        one,
        one,
        flop,
        step,
        serial=True,
        metal=False,
        host_s=kernel_s,
        product_host_s=ZERO if packed else product_s,
        # Calibrated with one row: the weights that it goes through are so many operations.
        row_flop_per_s=read.times(2 * _numbers_in_byte(speed.kind)) if packed else None,
    )


def _sums_on_host(calibration: Calibration) -> Range:
    """What an all_sum takes of the slowest rank's host; a CPU's does nothing beside it."""
    if calibration.backend != "nccl":
        return ZERO
    found = [rank.dispatch.sum_s for rank in calibration.ranks if rank.dispatch and rank.dispatch.sum_s]
    return Range(*max(found, key=lambda sum_s: sum_s[1])) if found else constants.NCCL_HOST_S.value


def _numbers_in_byte(kind: str) -> float:
    """Of weights as `calibrate` packs them: 64 numbers share a scale and a bias of 16 bits."""
    return 8 / (int(kind.removesuffix("bit")) + 2 * 16 / 64)


def _within(value: float, span: tuple[float, float] | None) -> Range:
    """A figure from the low to the high of its readings."""
    return Range.of(value) if span is None else Range(span[0], value, span[1])


def _source(calibration: Calibration) -> str:
    """What low and high are, for the plan's sentences."""
    said = (
        f"Low and high are those of the calibration of {calibration.time}: nine in ten of its readings lie "
        "above the low, nine in ten below the high. What else a generation may meet is not in them."
    )
    if calibration.disturbed:
        said += f" It was disturbed: {', '.join(calibration.disturbed)}; %cluster calibrate measures again."
    return said
