"""What there is to check: the prompts' tokens, the files' full list of parameters, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ArgumentError, DoesNotFitError, ModelNotFoundError
from kernelkit.rank import headers
from kernelkit.rank.build import build
from kernelkit.rank.memory import device
from kernelkit.rank.needs import activation_bytes
from kernelkit.rank.pad import columns_of, modules
from kernelkit.rank.precision import dtype_name, parameters, set_precision
from kernelkit.rank.reference import PIECE_TOKENS
from kernelkit.rank.shards import loaded_model
from kernelkit.sharding.config import max_context
from kernelkit.sharding.fit import available_bytes
from kernelkit.sharding.paths import layer_and_module
from kernelkit.units import format_bytes


def build_reference(path: Path, quantize: int | None, dtype: str) -> Module:
    """The unsharded model, its weights as promises, in the numbers that the sharded one has.

    Raises:
        ModelNotFoundError: the files do not make a model.
    """
    model, _ = build(path)
    set_precision(model, dtype, quantize)
    return model


def plan_check(
    path: str, quantize: int | None, dtype: str, prompts: Sequence[Mapping[str, Any]], max_tokens: int
) -> dict[str, Any]:
    """On rank 0, before anything runs: what the check will need. Nothing is read or computed.

    Args:
        path: the model's folder on this host.
        quantize, dtype: as the model was loaded.
        prompts: of each its `text`, and `tokens`: how long it is to be made, by repetition; None as it is.
        max_tokens: to be generated after each.

    Returns:
        `prompts`, of each `ids` and a `note`; `parameters` of the whole model, as `sharding.coverage` takes
        them; `layers`; `dtype` of the activations; `reduced`, as `sharding.tolerance` takes it.

    Raises:
        NoModelError: nothing is loaded here.
        ModelNotFoundError: this host lacks some of the files.
        DoesNotFitError: there is no room for one layer beside the sharded model.
        ArgumentError: a prompt without tokens, or one that is too long for the model.
    """
    loaded = loaded_model()
    if lacking := list(headers.known(Path(path))):
        raise ModelNotFoundError(
            "rank 0's host does not have all of the model's files, which the unsharded model needs",
            expected=f"all weights in {path}",
            got=f"without {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''}",
            cure="download the whole model there, and load it again",
        )
    plain, _ = build(Path(path))
    read_bytes = _by_layer(plain)
    model = build_reference(Path(path), quantize, dtype)
    encoded = [_encode(loaded.tokenizer, prompt, loaded.config, max_tokens) for prompt in prompts]
    longest = max(len(one["ids"]) for one in encoded) + max_tokens
    _check_fit(model, read_bytes, longest, loaded.summary["vocab_size"] or 0)
    return {
        "prompts": encoded,
        "parameters": [
            {
                "path": name,
                "shape": list(value.shape),
                "dtype": dtype_name(value.dtype),
                "size_bytes": value.nbytes,
            }
            for name, value in parameters(model)
        ],
        "layers": len(model.layers),
        "dtype": loaded.summary["dtype"],
        "reduced": _reduced(model),
    }


def _encode(
    tokenizer: Any, prompt: Mapping[str, Any], config: dict[str, Any], max_tokens: int
) -> dict[str, Any]:
    """A prompt's tokens, without a chat template; where it is to have a length, repeated up to that."""
    ids = [int(token) for token in tokenizer.encode(prompt["text"])]
    if not ids:
        raise ArgumentError("the prompt is empty", expected="at least one token", got=repr(prompt["text"]))
    most = max_context(config)
    room = None if most is None else most - max_tokens
    note = ""
    if prompt["tokens"] is None:
        if room is not None and len(ids) > room:
            raise ArgumentError(
                "the prompt is too long for the model",
                expected=f"{room} tokens, and {max_tokens} new ones: it was made for {most}",
                got=f"{len(ids)} tokens",
            )
        return {"ids": ids, "note": note}
    length = int(prompt["tokens"])
    if room is not None and length > room:
        length, note = max(1, room), f"{length} tokens were asked for, but it was made for {most}"
    return {"ids": (ids * (length // len(ids) + 1))[:length], "note": note}


def _by_layer(model: Module) -> dict[int | None, int]:
    """Bytes of each layer's parameters, and under None of all others."""
    sizes: dict[int | None, int] = {None: 0}
    for name, value in parameters(model):
        layer = layer_and_module(name)[0]
        sizes[layer] = sizes.get(layer, 0) + value.nbytes
    return sizes


def _check_fit(model: Module, read_bytes: Mapping[int | None, int], tokens: int, vocab: int) -> None:
    """See that one layer fits beside what is in memory, as it is read and as it is used.

    Raises:
        DoesNotFitError: it does not.
    """
    used_bytes = _by_layer(model)
    layer_bytes = max(
        (size + read_bytes.get(layer, 0) for layer, size in used_bytes.items() if layer is not None),
        default=0,
    )
    outside_bytes = used_bytes[None] + read_bytes[None]
    # Both models' logits of a piece, their difference, and what is reduced on the way.
    work_bytes = activation_bytes(model, tokens) + 4 * PIECE_TOKENS * vocab * 4
    needed = layer_bytes + outside_bytes + work_bytes
    mx.clear_cache()
    facts = device()
    available = max(0, available_bytes(facts, 0))
    if needed > available:
        raise DoesNotFitError(
            "the unsharded model does not fit rank 0 beside its part, not even layer by layer",
            expected=f"{format_bytes(needed)}: one layer {format_bytes(layer_bytes)}, embeddings and head "
            f"{format_bytes(outside_bytes)}, {tokens} tokens about {format_bytes(work_bytes)}",
            got=f"{format_bytes(available)} available on {facts['host']}",
            cure="a shorter --long, or --split with less on rank 0",
            needed_bytes=needed,
            available_bytes=available,
        )


def _reduced(model: Module) -> int:
    """The inputs of all products, added up: each is the length of a sum."""
    return sum(
        columns_of(module)
        for _, module in modules(model)
        if isinstance(weight := module.get("weight"), mx.array)
        and weight.ndim > 1
        and "embed" not in type(module).__name__.lower()
    ) + int(max((module["weight"].shape[0] for _, module in modules(model) if _is_norm(module)), default=0))


def _is_norm(module: Module) -> bool:
    return isinstance(weight := module.get("weight"), mx.array) and weight.ndim == 1
