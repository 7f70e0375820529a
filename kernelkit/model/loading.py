"""Load a model over all ranks: find its files, cut it, see that it fits, then every rank reads its part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kernelkit.errors import ArgumentError, DoesNotFitError, ModelShardError
from kernelkit.model.files import Files, fetch_wanted, find_files
from kernelkit.model.operator import OnEvent, Operator, ask_all
from kernelkit.settings import DTYPES
from kernelkit.sharding.fit import Need, check_fit
from kernelkit.sharding.split import split_at, split_by_memory

Strategy = Literal["tensor", "pipeline", "hybrid"]

# Beyond these MLX's own integers end, or no model has so many layers.
_MOST_TOKENS, _MOST_SHARE = 10**9, 10**4

_BYTES = ("weight_bytes", "kv_bytes", "activation_bytes", "total_weight_bytes")
_NEED = ("host", "device", *_BYTES, "bits")


@dataclass(frozen=True)
class Layout:
    """How a model is to lie on the ranks.

    Attributes:
        strategy: `tensor` cuts every layer, `pipeline` gives each rank whole layers, `hybrid` deals them out
            to stages of ranks that cut them among themselves.
        split: rank by rank, shares of every layer (tensor) or numbers of layers (pipeline; of a hybrid stage
            by stage). None cuts evenly; the layers of a pipeline are dealt out by the ranks' free memory,
            evenly where that is alike.
        stages: of a hybrid.
        quantize: 4 or 8 bits for the weights in memory; None leaves them as they are (a CPU dequantizes).
        context: tokens whose KV cache must fit beside the weights; None for 4096, or as many as the model
            was made for.
        dtype: of the weights in memory, and so of what is computed: `float32`, `float16` or `bfloat16`, into
            which quantized weights are turned; `keep`, as in the file; `auto`, `keep` on a GPU and `float32`
            on a CPU.
    """

    strategy: Strategy = "tensor"
    split: tuple[int, ...] | None = None
    stages: int = 2
    quantize: int | None = None
    context: int | None = None
    dtype: str = "auto"

    def check(self) -> None:
        """See that it says something.

        Raises:
            ArgumentError: it does not.
        """
        if self.strategy not in ("tensor", "pipeline", "hybrid"):
            expected = "tensor, pipeline or hybrid"
            raise ArgumentError("unknown strategy", expected=expected, got=repr(self.strategy))
        if self.quantize not in (None, 4, 8):
            raise ArgumentError("no such quantization", expected="4 or 8 bits", got=repr(self.quantize))
        if self.dtype not in DTYPES:
            raise ArgumentError("no such dtype", expected=", ".join(DTYPES), got=repr(self.dtype))
        if self.context is not None and not (type(self.context) is int and 1 <= self.context <= _MOST_TOKENS):
            expected = f"a whole number of tokens, from 1 to {_MOST_TOKENS}"
            raise ArgumentError("no such context", expected=expected, got=repr(self.context))
        if type(self.stages) is not int or self.stages < 1:
            raise ArgumentError("no such stages", expected="a whole number above 0", got=repr(self.stages))
        if self.split is not None and not all(type(n) is int and 0 < n <= _MOST_SHARE for n in self.split):
            expected = f"whole numbers from 1 to {_MOST_SHARE}, one for each rank"
            raise ArgumentError("such shares or layers cannot be", expected=expected, got=repr(self.split))


def as_split(given: Any) -> tuple[Any, ...] | None:
    """A split as a `Layout` has it; what is in it is checked there.

    Raises:
        ArgumentError: it is no sequence.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ArgumentError(
            "this is no split", expected="a number for each rank, such as (2, 1)", got=repr(given)
        )
    return tuple(given)


def load(
    cluster: Operator, name: str, layout: Layout, on_event: OnEvent, on_read: Callable[[], None]
) -> tuple[str, Layout, dict[int, Any]]:
    """Load and return the model's folder, the layout with its split, and what each rank says of its part.

    Args:
        on_event: called with each rank's progress.
        on_read: called before the ranks let go of the model that is there: all refusals are past.

    Raises:
        ModelNotFoundError, ModelShardError, DoesNotFitError: before anything is loaded.
        ArgumentError: a layout that says nothing, or does not fit the number of ranks.
    """
    layout.check()
    check_backend(cluster.backend, layout.strategy)
    files = find_files(cluster, name, on_event)
    layout = replace(layout, split=_split(cluster, files, layout))
    _prepare(cluster, files, layout, on_event)
    if fetch_wanted(cluster, files, on_event):
        _prepare(cluster, files, layout, on_event)
    on_read()
    answers = cluster.operate(dict.fromkeys(range(cluster.world_size), ("read", {})), on_event=on_event)
    return files.folders[0], layout, answers


def check_backend(backend: str, strategy: str) -> None:
    """Refuse what this backend of MLX's cannot carry, before anything is read or sent.

    Raises:
        ModelShardError: NCCL, and ranks that would have to send to one another.
    """
    if backend == "nccl" and strategy != "tensor":
        raise ModelShardError(
            "MLX has no send and recv over NCCL, and a pipeline's ranks send to one another",
            expected="--strategy tensor over nccl",
            got=f"--strategy {strategy}",
            cure="--strategy tensor; or %cluster connect --backend ring, whose messages go through the "
            "processors",
        )


def _prepare(cluster: Operator, files: Files, layout: Layout, on_event: OnEvent) -> None:
    """Every rank cuts its part, without reading it, and it must fit."""
    asked = {
        "strategy": layout.strategy,
        "split": layout.split,
        "stages": layout.stages,
        "quantize": layout.quantize,
        "context": layout.context,
        "dtype": layout.dtype,
    }
    requests = {rank: ("prepare", {"path": folder, **asked}) for rank, folder in files.folders.items()}
    answers = cluster.operate(requests, on_event=on_event)
    try:
        first = answers[0]
        check_fit(_needs(answers), first["context"], layout.strategy, layout.quantize, first["max_context"])
    except DoesNotFitError:
        ask_all(cluster, "forget_prepared")
        raise


def _split(cluster: Operator, files: Files, layout: Layout) -> tuple[int, ...] | None:
    if layout.split is not None or layout.strategy != "pipeline" or cluster.world_size == 1:
        return layout.split
    asked = {"quantize": layout.quantize, "dtype": layout.dtype}
    answers = cluster.operate(
        {rank: ("inspect", {"path": folder, **asked}) for rank, folder in files.folders.items()}
    )
    free_bytes = [_available(answers, rank) for rank in sorted(answers)]
    layers, ranks = answers[0]["layers"], cluster.world_size
    wish = split_by_memory(layers, answers[0]["outside_bytes"], free_bytes)
    # Where no split is possible, the ranks will say why.
    return tuple(split_at(answers[0]["cuts"], layers, ranks, wish) or wish)


def _available(answers: dict[int, Any], rank: int) -> int:
    """A rank's share of what its device has left, once all ranks there have let go of their model."""
    there = [answer for answer in answers.values() if answer["device"] == answers[rank]["device"]]
    freed = sum(answer["own_bytes"] for answer in there) - answers[rank]["own_bytes"]
    return int((answers[rank]["available_bytes"] + freed) // len(there))


def _needs(answers: dict[int, Any]) -> list[Need]:
    needs = []
    for rank, answer in sorted(answers.items()):
        there = sum(other["device"] == answer["device"] for other in answers.values())
        facts = {name: answer[name] for name in _NEED}
        needs.append(Need(rank, **facts, available_bytes=_available(answers, rank) * there))
    return needs
