"""Load this rank's part of a model: build it without reading, cut it, then read only what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_unflatten

from kernelkit.rank.build import build, load_tokenizer
from kernelkit.rank.cut import Cut, Strategy, cut
from kernelkit.rank.locate import Progress
from kernelkit.rank.locate import resolve as resolve
from kernelkit.rank.origins import trace
from kernelkit.rank.place import Place
from kernelkit.rank.precision import (
    dtype_name,
    parameters,
    quantization,
    set_precision,
    unquantized,
    weight_bytes,
)
from kernelkit.rank.recipes import Recipes
from kernelkit.rank.stored import stored
from kernelkit.rank.summary import describe
from kernelkit.rank.tensor import cut_tensor


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run on this rank, or, until its weights are read, to be read.

    Attributes:
        model: mlx-lm's, cut to this rank's part.
        tokenizer: mlx-lm's `TokenizerWrapper`.
        config: the model's `config.json`.
        summary: what was loaded, JSON-like, with the same keys on every rank.
        full_shapes: of every parameter of the whole model, by path: before it was padded and cut, quantized
            or not as it is in this rank's memory.
        cut: how it was cut for this rank.
        recipes: to read no more than this rank's part of tensors that are cut; None where none are.
        folder: that its files are in; None of one that was made without files.
    """

    model: Module
    tokenizer: Any
    config: dict[str, Any]
    summary: dict[str, Any]
    full_shapes: dict[str, tuple[int, ...]]
    cut: Cut
    recipes: Recipes | None = None
    folder: Path | None = None


def load(path: Path, *, on_progress: Progress = lambda phase, fraction: None, **options: Any) -> Loaded:
    """Prepare, then read: the arguments and errors of `prepare`."""
    start_s = time.perf_counter()
    loaded = prepare(path, on_progress=on_progress, **options)
    read(loaded, on_progress)
    loaded.summary["load_s"] = time.perf_counter() - start_s
    return loaded


def prepare(
    path: Path,
    *,
    strategy: Strategy,
    group: mx.distributed.Group,
    split: Sequence[int] | None = None,
    stages: int = 2,
    quantize: int | None = None,
    dtype: str = "auto",
    on_progress: Progress = lambda phase, fraction: None,
) -> Loaded:
    """The part of the model in `path` that is this rank's, its weights still promises.

    No collective runs in here, but for the splitting of a group: a rank that fails leaves no other waiting.
    No weights are read: all refusals come before that.

    Args:
        path: a folder as `resolve` gives it.
        strategy, stages: as in `cut`.
        group: the global group; with a size of 1 the model stays whole.
        split: as in `cut`.
        quantize: bits of the weights in memory; None leaves them as `dtype` says.
        dtype: "auto", what is fastest on this device; or a choice of `precision.set_precision`.
        on_progress: called with a phase ("reading", "sharding", "tokenizer", in `read` "weights") and the
            part done, 0 to 1.

    Raises:
        ModelNotFoundError: mlx-lm has no such architecture, or the files do not make a model.
        ModelShardError: the model cannot be cut that way over that many ranks; every rank says so.
        ArgumentError: another strategy or dtype, or a split or a number of bits that does not fit.
    """
    on_progress("reading", 0.0)
    model, config = build(path)
    on_progress("reading", 1.0)
    compute_dtype = set_precision(model, dtype, quantize)
    full_shapes = {path: tuple(value.shape) for path, value in parameters(model)}
    whole = {"layers": len(model.layers), "total_weight_bytes": weight_bytes(model)}
    whole["unquantized"] = unquantized(model) if quantize is not None else 0

    def rebuild(stand_ins: Mapping[str, mx.array] | None = None) -> Module:
        another, _ = build(path, stand_ins)
        set_precision(another, dtype, quantize)
        return another

    on_progress("sharding", 0.0)
    made = cut(model, config, strategy, group, split, rebuild, stages)
    recipes = _recipes(path, config, made, rebuild) if made.shares.parts > 1 else None
    on_progress("sharding", 1.0)
    on_progress("tokenizer", 0.0)
    tokenizer = load_tokenizer(path, config)  # after the refusals: it takes seconds
    on_progress("tokenizer", 1.0)
    summary = {
        **describe(model, config, strategy, made),
        **whole,
        "dtype": dtype_name(compute_dtype),
        "weight_bytes": weight_bytes(model),
        "quantization_in_memory": quantization(model),
    }
    return Loaded(model, tokenizer, config, summary, full_shapes, made, recipes, path)


def _recipes(path: Path, config: dict[str, Any], made: Cut, rebuild: Callable[..., Module]) -> Recipes:
    """How the parts of this rank come from the files: the model is built and cut again, with stand-ins."""
    tensors = stored(path)

    def again(stand_ins: Mapping[str, mx.array]) -> dict[str, mx.array]:
        twin = rebuild(stand_ins)
        place: Any = Place(made.rank, len(made.shares.by_rank))
        cut_tensor(twin, config, place, made.shares, lambda: rebuild(stand_ins))
        return dict(parameters(twin))

    shapes = {name: mx.zeros(one.shape, one.dtype) for name, one in tensors.items()}
    return Recipes(trace(shapes, again), tensors)


def read(loaded: Loaded, on_progress: Progress = lambda phase, fraction: None) -> None:
    """Read this rank's weights, one parameter at a time.

    Of a tensor that is cut, this rank's part is read. Where MLX must make a parameter of whole tensors, those
    are in memory beside this rank's part until it is made, and let go of after it. The summary gets
    `read_bytes` of the files: those of parts, and of tensors that were read whole to be cut; None where
    nothing is cut.
    """
    model, recipes = loaded.model, loaded.recipes
    waiting = parameters(model)
    waiting.reverse()
    total, done = weight_bytes(model), 0
    whole: list[str] = []
    on_progress("weights", 0.0)
    while waiting:
        path, value = waiting.pop()
        part = recipes.get(path) if recipes else None
        if part is None:
            whole.append(path)
        else:
            assert (part.shape, part.dtype) == (value.shape, value.dtype), path
            value = part
            model.update(tree_unflatten([(path, value)]))
        mx.eval(value)
        # What it was cut from would stay in MLX's cache, beside the next one.
        mx.clear_cache()
        done += value.nbytes
        on_progress("weights", done / total)
    loaded.summary["read_bytes"] = None
    if recipes:
        recipes.forget()
        loaded.summary["read_bytes"] = {"parts": recipes.read_bytes, "whole": recipes.whole_bytes(whole)}
