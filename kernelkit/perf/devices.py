"""What a rank's device gives a model: rates and times, from the catalog's chip or from a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median

from kernelkit.catalog import Chip, chips
from kernelkit.perf import constants
from kernelkit.perf.ranges import ZERO, Range
from kernelkit.sharding.quantization import Quantization


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        read_bytes_per_s: of weights, as one token's products go through them.
        expert_share: of that rate, while a token reads its experts.
        kv_share: of that rate, while it reads keys and values.
        flop_per_s: of matrix products, as a prompt is read.
        step_s: of a kernel beside what it reads.
        serial: whether kernels that do not need each other run one after the other all the same.
        metal: whether collectives run on the CPU, to which the GPU hands over and back.
        host_s: of a kernel on the host, which builds the next token's graph while this one is computed.
        product_host_s: of a product of several rows there; nothing where it takes what any kernel does.
        row_flop_per_s: of a token's products, where it is not the memory that sets their pace: each sequence
            of a batch takes as long again. None where it is the memory.
    """

    read_bytes_per_s: Range
    expert_share: Range
    kv_share: Range
    flop_per_s: Range
    step_s: Range
    serial: bool
    metal: bool
    host_s: Range = ZERO
    product_host_s: Range = ZERO
    row_flop_per_s: Range | None = None


def device(chip: Chip, how: Quantization) -> Device | None:
    """A chip of the catalog with weights of that kind; None where it lacks what a prediction needs."""
    return _device(chip, (how.experts or how.default) is not None)


@cache
def _device(chip: Chip, packed: bool) -> Device | None:
    read, flop = _read(chip), _flop(chip, packed)
    if read is None or flop is None:
        return None
    metal = chip.is_apple
    return Device(
        read,
        constants.EXPERT_READ_SHARE.value if metal else Range.of(1.0),
        constants.KV_READ_SHARE.value,
        flop,
        (constants.METAL_STEP_S if metal else constants.CUDA_STEP_S).value,
        serial=not metal,
        metal=metal,
        # Of a Mac's host nothing is known beside what a chain of kernels takes there.
        host_s=ZERO if metal else constants.CUDA_HOST_S.value,
        product_host_s=ZERO if metal or packed else constants.CUDA_PRODUCT_HOST_S.value,
        row_flop_per_s=_row_flop(chip) if packed and not metal else None,
    )


def _read(chip: Chip) -> Range | None:
    """Measured where it was; else the share of the nominal bandwidth that others of its kind reached.

    What a program read while it decoded is less than the memory gives, so it is the low end; so is, beside a
    measured copy on CUDA, the least share that products reached.
    """
    nominal, measured = chip.memory_nominal_bytes_per_s, chip.memory_measured_bytes_per_s
    decoded = chip.decode_measured_bytes_per_s
    if not chip.is_apple:
        shares = constants.CUDA_READ_SHARE.value.times(nominal) if nominal else None
        if measured is None or shares is None:
            return shares
        return Range(min(shares.low, measured[0]), sum(measured) / 2, max(shares.high, measured[1]))
    if measured is not None:
        found = Range(measured[0], sum(measured) / 2, measured[1])
    elif nominal:
        found = _apple_shares().times(nominal)
    else:
        return None
    return Range(min(found.low, decoded or found.low), found.mid, found.high)


def _row_flop(chip: Chip) -> Range | None:
    nominal = chip.fp16_flop_per_s
    return constants.CUDA_PACKED_ROW_SHARE.value.times(nominal) if nominal else None


def _flop(chip: Chip, packed: bool) -> Range | None:
    nominal, measured = chip.fp16_flop_per_s, chip.prefill_measured_flop_per_s
    if not chip.is_apple:
        share = constants.CUDA_PACKED_FLOP_SHARE if packed else constants.CUDA_FLOP_SHARE
        return share.value.times(nominal) if nominal else None
    if not nominal:
        return None if measured is None else Range.of(measured)
    shares = _apple_flop_shares().times(nominal)
    if measured is None:
        return shares
    return Range(min(measured, shares.low), measured, max(measured, shares.high))


@cache
def _apple_shares() -> Range:
    """Measured over nominal bandwidth, of all Apple chips that have both."""
    return _spread(
        [
            sum(chip.memory_measured_bytes_per_s) / 2 / chip.memory_nominal_bytes_per_s
            for chip in chips().values()
            if chip.is_apple and chip.memory_measured_bytes_per_s and chip.memory_nominal_bytes_per_s
        ]
    )


@cache
def _apple_flop_shares() -> Range:
    return _spread(
        [
            chip.prefill_measured_flop_per_s / chip.fp16_flop_per_s
            for chip in chips().values()
            if chip.is_apple and chip.prefill_measured_flop_per_s and chip.fp16_flop_per_s
        ]
    )


def _spread(values: list[float]) -> Range:
    return Range(min(values), median(values), max(values))
