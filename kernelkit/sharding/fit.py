"""Whether a model fits its ranks before it is loaded, and what would: from what each rank says it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import DoesNotFitError
from kernelkit.units import format_bytes

_HALF_BITS, _FLOAT_BITS = 16, 32
_SPARE = 1.1
_LEAST_CONTEXT = 64  # a shorter one is of no use to anybody


@dataclass(frozen=True)
class Need:
    """What one rank needs, and what its device has.

    Attributes:
        rank, host: who.
        device: a name that is the same for all ranks that share it.
        weight_bytes, kv_bytes, activation_bytes: of its part; the last is an estimate.
        total_weight_bytes: of the whole model.
        available_bytes: what the device has left for all ranks that share it, once the model there is gone.
        bits: of a weight in memory.
    """

    rank: int
    host: str
    device: str
    weight_bytes: int
    kv_bytes: int
    activation_bytes: int
    total_weight_bytes: int
    available_bytes: int
    bits: float

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes


def available_bytes(device: Mapping[str, Any], own_bytes: int) -> int:
    """What is left of a device's limit.

    What others use fills the memory beyond the limit first, as on a Mac, where Metal's working set is a part
    of all memory.

    Args:
        device: as the ranks' `memory.device` says it.
        own_bytes: of what is in use, what the ranks there are going to let go of.
    """
    others = device["in_use_bytes"] - own_bytes - (device["total_bytes"] - device["limit_bytes"])
    return int(device["limit_bytes"] - max(0, others))


def check_fit(
    needs: Sequence[Need],
    context: int,
    strategy: str,
    quantize: int | None = None,
    longest: int | None = None,
) -> None:
    """See that every device can hold what its ranks need.

    Args:
        quantize: bits that were asked for already.
        longest: context that the model was made for; no longer one is proposed.

    Raises:
        DoesNotFitError: one cannot; it names the ranks, needed and available bytes, and what would fit.
    """
    for device in dict.fromkeys(need.device for need in needs):
        there = [need for need in needs if need.device == device]
        needed = sum(need.bytes for need in there)
        if needed > there[0].available_bytes:
            raise DoesNotFitError(
                f"the model does not fit {_who(there)}",
                expected=f"{format_bytes(needed)}: {_what(there, context)}",
                got=f"{format_bytes(max(0, there[0].available_bytes))} available on {there[0].host}",
                cure=_cure(needs, min(context, longest or context), context, strategy, quantize),
                rank=there[0].rank,
                needed_bytes=needed,
                available_bytes=max(0, there[0].available_bytes),
            )


def _who(needs: Sequence[Need]) -> str:
    if len(needs) == 1:
        return f"rank {needs[0].rank}"
    return f"ranks {', '.join(str(need.rank) for need in needs)}, which share one memory"


def _what(needs: Sequence[Need], context: int) -> str:
    weights, kv, work = (
        sum(sizes)
        for sizes in zip(*((n.weight_bytes, n.kv_bytes, n.activation_bytes) for n in needs), strict=True)
    )
    return (
        f"weights {format_bytes(weights)}, KV cache of {context:,} tokens {format_bytes(kv)}, "
        f"activations about {format_bytes(work)}"
    )


def _cure(needs: Sequence[Need], most: int, context: int, strategy: str, quantize: int | None) -> str:
    """The ways that this arithmetic finds, the one that changes least first."""
    found = []
    devices = len({need.device for need in needs})
    have = {need.device: need.available_bytes for need in needs}
    total = needs[0].total_weight_bytes
    beside = sum(need.kv_bytes + need.activation_bytes for need in needs)
    if devices > 1 and total + beside < 0.95 * sum(have.values()):
        # Whole layers or shares in proportion to what each has.
        if strategy == "tensor":
            if _fits_shares(needs, shares := _shares(needs)):
                found.append(f"--split {','.join(map(str, shares))}")
            found.append("--strategy pipeline")
        else:
            found.append("--split with more layers where there is more memory")
    for bits in (8, 4):
        # A scale and a bias for each 64 codes, as wide as what is computed in: full floats on a CPU.
        real_bits = bits + (1.0 if needs[0].bits > _HALF_BITS else 0.5)
        smaller = real_bits < needs[0].bits and bits < (quantize or _FLOAT_BITS)
        if smaller and _fits_scaled(needs, _SPARE * real_bits / needs[0].bits):
            found.append(f"--quantize {bits}")
            break
    if fewer := min(_shorter(needs, context), most):
        found.append(f"--context {fewer}")
    return ", or ".join(found) or f"more memory: {format_bytes(total + beside)} are needed in all"


def _shares(needs: Sequence[Need]) -> list[int]:
    """Small whole numbers in about the proportion of what the ranks have."""
    sharing = {need.device: sum(n.device == need.device for n in needs) for need in needs}
    has = [need.available_bytes / sharing[need.device] for need in needs]
    least = max(1.0, min(has))
    return [max(1, min(8, round(size / least))) for size in has]


def _fits_shares(needs: Sequence[Need], shares: Sequence[int]) -> bool:
    """With something to spare for what is known only once it is cut: more padding, more repeated heads."""
    parts = sum(shares) / len(shares)
    left = {need.device: float(need.available_bytes) for need in needs}
    for need, share in zip(needs, shares, strict=True):
        cut = (need.weight_bytes + need.kv_bytes) * share / parts
        left[need.device] -= _SPARE * (cut + need.activation_bytes)
    return min(left.values()) > 0


def _shorter(needs: Sequence[Need], context: int) -> int:
    """A context that fits, if the KV cache grows with it as it did up to this one; 0 where none does.

    Activations count as they are; where they alone are too large, as growing with the context too. Down to
    two digits, so that a little is left.
    """
    fits = float(context)
    for device in {need.device for need in needs}:
        there = [need for need in needs if need.device == device]
        room = there[0].available_bytes - sum(need.weight_bytes for need in there)
        alive, cached = (sum(s) for s in zip(*((n.activation_bytes, n.kv_bytes) for n in there), strict=True))
        if room >= alive + cached:
            continue
        if room <= 0 or not cached:
            return 0
        share = (room - alive) / cached if room > alive else room / (alive + cached) / _SPARE
        fits = min(fits, share * context)
    if fits < _LEAST_CONTEXT:
        return 0
    digit = int(10 ** (len(str(int(fits))) - 2))
    return int(fits) // digit * digit


def _fits_scaled(needs: Iterable[Need], factor: float) -> bool:
    left: dict[str, float] = {}
    for need in needs:
        left.setdefault(need.device, need.available_bytes)
        left[need.device] -= need.weight_bytes * factor + need.kv_bytes + need.activation_bytes
    return min(left.values()) > 0
