"""Load this rank's part of a model in steps, so that all ranks can still refuse alike, and let go of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from kernelkit.errors import NoModelError
from kernelkit.rank import load as loading
from kernelkit.rank import needs, state
from kernelkit.rank.build import build
from kernelkit.rank.cut import Strategy
from kernelkit.rank.memory import device
from kernelkit.rank.pipeline import cuts
from kernelkit.rank.precision import parameters, set_precision, weight_bytes
from kernelkit.rank.progress import Throttled
from kernelkit.rank.shards import loaded_model
from kernelkit.sharding.fit import available_bytes
from kernelkit.sharding.paths import layer_and_module


def inspect(path: str, quantize: int | None = None, dtype: str = "auto") -> dict[str, Any]:
    """What a split of the layers goes by; no weights are read.

    Returns:
        `layers`; `cuts`, those that may be the first of a rank; `outside_bytes`, of all that is not in them;
        and of this rank's device `device`, a name, and `available_bytes` on it, for all ranks that share it.

    Raises:
        ModelNotFoundError: the files do not make a model.
        ModelShardError: it cannot be run as a pipeline; every rank says so alike.
    """
    model, config = build(Path(path))
    set_precision(model, dtype, quantize)
    outside = [value.nbytes for name, value in parameters(model) if layer_and_module(name)[0] is None]
    return {
        "layers": len(model.layers),
        "cuts": cuts(model, config, state.world_size),
        "outside_bytes": sum(outside),
        **_device(),
    }


def prepare(
    path: str,
    strategy: Strategy,
    split: Sequence[int] | None = None,
    stages: int = 2,
    quantize: int | None = None,
    context: int | None = None,
    dtype: str = "auto",
) -> dict[str, Any]:
    """Cut this rank's part, without reading it; the model that is there stays.

    Args:
        context: tokens whose KV cache must fit; None for the least of 4096 and what the model was made for.

    Returns:
        What a `sharding.fit.Need` takes, less the rank, and `context`.

    Raises:
        ModelShardError: the model cannot be cut that way; every rank says so alike.
    """
    assert state.group is not None
    state.prepared = None
    state.prepared = prepared = loading.prepare(
        Path(path),
        strategy=strategy,
        group=state.group,
        split=split,
        stages=stages,
        quantize=quantize,
        dtype=dtype,
        on_progress=Throttled("load").tell,
    )
    summary = prepared.summary
    tokens = context or min(4096, needs.max_context(prepared.config) or 4096)
    return {
        "weight_bytes": summary["weight_bytes"],
        "kv_bytes": needs.kv_bytes(prepared.model, tokens),
        "activation_bytes": needs.activation_bytes(prepared.model, tokens),
        "total_weight_bytes": summary["total_weight_bytes"],
        "bits": needs.bits(prepared.model),
        "context": tokens,
        "max_context": needs.max_context(prepared.config),
        **_device(),
    }


def read() -> dict[str, Any]:
    """Read what was prepared, in place of the model that is there, and bind `model` and `tokenizer`.

    Raises:
        NoModelError: nothing was prepared.
    """
    prepared, state.prepared = state.prepared, None
    if prepared is None:
        raise NoModelError("no model was prepared on the ranks", cure="%model load PATH_OR_HF_ID")
    unload()
    start_s = time.perf_counter()
    loading.read(prepared, Throttled("load").tell)
    prepared.summary["load_s"] = time.perf_counter() - start_s
    state.loaded = prepared
    state.shell.push({"model": prepared.model, "tokenizer": prepared.tokenizer}, interactive=False)
    return prepared.summary


def forget_prepared() -> None:
    """Let go of what was prepared and is not to be read."""
    state.prepared = None


def model_config() -> dict[str, Any]:
    """The config of the model that is loaded, JSON-like.

    Raises:
        NoModelError: there is none.
    """
    return loaded_model().config


def unload() -> None:
    """Forget the model and give its memory back."""
    state.loaded = None
    state.caches.clear()
    for name in ("model", "tokenizer"):
        state.shell.user_ns.pop(name, None)
        state.shell.user_ns_hidden.pop(name, None)
    gc.collect()
    mx.clear_cache()


def _device() -> dict[str, Any]:
    """The device, and of what is in use there what goes with the model that is loaded now."""
    facts = device()
    own_bytes = weight_bytes(state.loaded.model) if state.loaded is not None else 0
    return {
        "host": facts["host"],
        "device": facts["device"],
        "own_bytes": own_bytes,
        # Less what the other ranks there let go of, which the notebook adds.
        "available_bytes": available_bytes(facts, own_bytes),
    }
