"""A plan: what a model would take of each machine and how fast it would run, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from kernelkit.errors import ArgumentError
from kernelkit.jsonfile import Stored
from kernelkit.perf import words
from kernelkit.perf.ranges import Range
from kernelkit.sharding.memory import DeviceLimit, MemoryMap
from kernelkit.sharding.planmemory import planned_memory
from kernelkit.sharding.quantization import (
    SPELLINGS,
    Quantization,
    config_quantization,
    parse_quantization,
)
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap

Strategy = Literal["tensor", "pipeline"]
OWN_QUANTIZATION = "as its config says"
_LIMIT = "what the machine should use at most"


def quantization_of(words: str, config: Mapping[str, Any]) -> Quantization:
    """What a plan's quantization means.

    Raises:
        ArgumentError: there is no such quantization.
    """
    if words == OWN_QUANTIZATION:
        return config_quantization(config)
    if not words.startswith("{"):
        return parse_quantization(words)
    try:
        return parse_quantization(json.loads(words))
    except ValueError as error:
        raise ArgumentError("this is no quantization", expected=SPELLINGS, got=words[:80]) from error


@dataclass(frozen=True)
class Term:
    """A cause of time.

    Attributes:
        cause: `weights` or `kv` (read), `compute`, `overhead` (of starting kernels), `latency` and `transfer`
            (of collectives and of their bytes).
        time_s: of it.
    """

    cause: str
    time_s: Range


@dataclass(frozen=True)
class PlannedRank:
    """One rank.

    Attributes:
        rank: its number.
        node: its machine.
        layers: `[start, end)` of those that it runs.
        weight_bytes: that it holds.
        kv_bytes: of its caches, all sequences at the plan's context.
        activation_bytes: an estimate of what is alive at once while a piece of a prompt is read.
        limit_bytes: what its machine should use at most.
    """

    rank: int
    node: str
    layers: tuple[int, int]
    weight_bytes: int
    kv_bytes: int
    activation_bytes: int
    limit_bytes: int

    @property
    def free_bytes(self) -> int:
        """What is left; below 0 where it does not fit."""
        return self.limit_bytes - self.weight_bytes - self.kv_bytes - self.activation_bytes


@dataclass(frozen=True, repr=False)
class Plan(Stored):
    """What to expect of a model on some machines, before either is there.

    Attributes:
        model: what it is called.
        on: the machines, such as `4xm3-ultra-512`.
        link: between them, by its key; empty of a single one.
        backend: MLX's, that uses it.
        strategy: `tensor` or `pipeline`.
        quantization: of the weights in memory.
        context: tokens in each sequence's caches while it is decoded; also the prompt's.
        batch: sequences at once.
        fast_synch: whether `MLX_METAL_FAST_SYNCH=1` is set on the ranks.
        ranks: in order.
        decode_tokens_per_s: of all sequences together; None where there is no honest prediction, for which
            `reasons` says why.
        prefill_tokens_per_s: of a prompt of `context` tokens.
        time_to_first_token_s: of that prompt, its reading and one step.
        terms: seconds of one decoded step by cause, in the order of a `Term`'s causes.
        prefill_terms: seconds of that prompt by cause.
        largest_context: tokens that fit on every rank, at most what the model was made for.
        reasons: sentences on what fits and what sets the pace.
        config: the model's, as JSON.
        split: shares or layers of the ranks, where they are not even.
        kv_bits: of quantized keys and values.
        dtype: of what is not packed, where the quantization does not say it.
    """

    _key = "kernelkit_plan"
    _name = "plan"

    model: str
    on: str
    link: str
    backend: str
    strategy: Strategy
    quantization: str
    context: int
    batch: int
    fast_synch: bool
    ranks: tuple[PlannedRank, ...]
    decode_tokens_per_s: Range | None
    prefill_tokens_per_s: Range | None
    time_to_first_token_s: Range | None
    terms: tuple[Term, ...]
    prefill_terms: tuple[Term, ...]
    largest_context: int
    reasons: tuple[str, ...]
    config: str
    split: tuple[int, ...] | None = None
    kv_bits: int | None = None
    dtype: str | None = None

    @property
    def nodes(self) -> int:
        """How many machines, one rank on each."""
        return len(self.ranks)

    @property
    def fits(self) -> bool:
        """Whether every rank's part fits its machine."""
        return all(rank.free_bytes >= 0 for rank in self.ranks)

    @property
    def weight_bytes(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(rank.weight_bytes for rank in self.ranks)

    @property
    def kv_bytes(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(rank.kv_bytes for rank in self.ranks)

    @property
    def free_bytes(self) -> tuple[int, ...]:
        """By rank; below 0 where it does not fit."""
        return tuple(rank.free_bytes for rank in self.ranks)

    @cached_property
    def shards(self) -> ShardMap:
        """What each rank would hold of every parameter."""
        config = json.loads(self.config)
        how = quantization_of(self.quantization, config)
        if self.dtype is not None:
            how = replace(how, dtype=self.dtype)
        return planned_shards(config, self.nodes, self.strategy, self.model, self.split, quantization=how)

    @cached_property
    def memory(self) -> MemoryMap:
        """The same memory for every context, each machine's limit for itself.

        Activations stand where a running cluster tells what others use, at the plan's context.
        """
        config = json.loads(self.config)
        limits = [
            DeviceLimit(rank.node, rank.limit_bytes, _LIMIT, rank.activation_bytes) for rank in self.ranks
        ]
        found = planned_memory(self.shards, config, limits, self.kv_bits)
        apart = tuple(replace(rank, shared_by=1) for rank in found.ranks)
        return replace(found, ranks=apart, batch=self.batch, used_words="activations")

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        if not self.ranks or [rank.rank for rank in self.ranks] != list(range(self.nodes)):
            raise ValueError("the ranks are not 0, 1, 2, ... in order")
        for name in ("decode_tokens_per_s", "prefill_tokens_per_s", "time_to_first_token_s"):
            figure = getattr(self, name)
            if figure is not None and not 0 < figure.low <= figure.mid <= figure.high:
                raise ValueError(f"{name} is no range")

    def __repr__(self) -> str:
        return words.as_text(self)

    def _repr_html_(self) -> str:
        return words.as_html(self)
