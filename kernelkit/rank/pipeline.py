"""Run the layers of a model on one rank after the other, also where mlx-lm has no pipeline for it.

A token's way. Every rank has the embeddings, the head and the model's own forward pass, and runs all of it.
Layers of other ranks are emptied and stand in for themselves: they keep their caches in step and hand on what
they were given. Where the first layer of the next rank would begin, its stand-in sends what the model gives
it; over there the real layer receives that, in place of what the stand-ins before it have left. So hidden
states travel from rank r + 1 to r, between neighbours. After the model's last layer rank 0's answer goes to
all, by `all_gather`: every rank has the same logits and draws the same token.

All of it is as lazy as MLX: a pass that nobody evaluates sends nothing. But mlx-lm's prefill evaluates the
caches alone, so what is sent and received hangs on a cache, of another rank's layer if need be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.rank import parcel
from kernelkit.rank.arraytree import arrays_in, with_arrays
from kernelkit.rank.rehearse import Arguments, override, redirect
from kernelkit.rank.relay import Relay, keeps_dtype, refusal, study
from kernelkit.rank.stepcache import caches_in, hang
from kernelkit.rank.upstream import split_upstream, takes_split, upstream_ranges
from kernelkit.sharding.split import Ranges, layer_ranges, split_at


def pipeline(
    model: Module,
    config: dict[str, Any],
    split: Sequence[int] | None,
    group: mx.distributed.Group,
    *,
    of_all: bool = True,
) -> tuple[int, int]:
    """Keep this rank's layers of a lazily loaded mlx-lm model: nothing is read, no collective runs.

    `len(model.layers)` stays the whole count, except where mlx-lm has a pipeline of its own for the
    architecture: that is used, and shows its own layers alone.

    Args:
        model: whole; changed in place.
        config: its `config.json`.
        split: layers per rank, rank 0's first, which are the model's last; as even as may be by default.
        group: of two ranks or more.
        of_all: whether it is the group of all ranks, the only one that mlx-lm's own pipelines know.

    Returns:
        `[start, end)` of the layers that this rank runs.

    Raises:
        ModelShardError: it cannot be done, and why; every rank raises alike.
    """
    name, ranks = str(config["model_type"]), group.size()
    layers = list(model.layers)
    layer_ranges(len(layers), ranks, split)
    ranges = upstream_ranges(model, split, ranks) if of_all else None
    if ranges is not None and keeps_dtype(model, layers):
        split_upstream(model.model, split, group)
        return ranges[group.rank()]
    relay = study(model, layers, name)
    ranges = _ranges(relay, split, ranks, name)
    start, end = ranges[group.rank()]
    _Stage(relay, ranges, group).install(model, layers)
    _empty(model, [layer for index, layer in enumerate(layers) if not start <= index < end])
    return start, end


def cuts(model: Module, config: dict[str, Any], ranks: int) -> list[int]:
    """The layers that may be the first of a rank, less the very first; the model is left as it was.

    Raises:
        ModelShardError: it cannot be run as a pipeline at all.
    """
    given = upstream_ranges(model, None, ranks)
    if given is None or not keeps_dtype(model, list(model.layers)):
        return study(model, list(model.layers), str(config["model_type"])).cuts
    if takes_split(model):
        return list(range(1, len(model.layers)))
    return sorted(start for start, _ in given if start)


def _ranges(relay: Relay, split: Sequence[int] | None, ranks: int, name: str) -> Ranges:
    """The ranks' layers, as asked for or as even as the model allows."""
    possible = split_at(relay.cuts, relay.layers, ranks)
    why = ", ".join(f"some layers {reason}" for reason in sorted(set(relay.closed.values())))
    if possible is None:
        raise refusal(name, f"{ranks} ranks, and {why}", f"%cluster connect {len(relay.cuts) + 1}")
    if split is None:
        split = possible
    ranges = layer_ranges(relay.layers, ranks, split)
    if any(start in relay.closed for start, _ in ranges):
        asked, cure = (",".join(map(str, layers)) for layers in (split, possible))
        raise refusal(name, f"split {asked}, and {why}", f"--split {cure}")
    return ranges


class _Stage:
    """A rank's part in a forward pass."""

    def __init__(self, relay: Relay, ranges: Ranges, group: mx.distributed.Group) -> None:
        self.relay, self.group = relay, group
        self.owners = [
            next(rank for rank, (start, end) in enumerate(ranges) if start <= layer < end)
            for layer in range(relay.layers)
        ]
        # A receive may overtake what this rank sends: MLX orders what depends on another, and it depends on
        # nothing. That would be for ever where hidden states come round again, so there they go to all.
        self.again = len(relay.calls) > relay.layers
        self.call = 0
        # What no cache depends on yet though another rank waits for it, and a cache to hang it on.
        self.loose: list[mx.array] = []
        self.cache: Any = None

    def install(self, model: Module, layers: Sequence[Module]) -> None:
        """Put this rank's way of calling in front of the layers."""
        for index, layer in enumerate(layers):
            redirect(layer, partial(self._run, index))
        redirect(model, self._begin)

    def _begin(self, original: Callable[..., Any], arguments: Arguments) -> Any:
        self._forget()
        try:
            return original(*arguments[0], **arguments[1])
        finally:
            self._forget()

    def _forget(self) -> None:
        self.call, self.loose, self.cache = 0, [], None

    def _run(self, layer: int, original: Callable[..., Any], arguments: Arguments) -> Any:
        call = self.call if self.again else layer
        self.call = (call + 1) % len(self.relay.calls)
        mine = self.owners[layer] == self.group.rank()
        if call > 0:
            arguments = self._hand_over(call, self.owners[layer - 1], self.owners[layer], arguments)
        answer = original(*arguments[0], **arguments[1]) if mine else self.relay.pass_by(call, arguments)
        self._hang(call, mine, list(caches_in(list(arguments))))
        return self._share(call, answer) if call == len(self.relay.calls) - 1 else answer

    def _hand_over(self, call: int, source: int, target: int, arguments: Arguments) -> Arguments:
        """Bring what the layer before returned from its rank to that of this layer."""
        rank, takes = self.group.rank(), self.relay.calls[call].takes
        if source == target or (not self.again and rank not in (source, target)):
            return arguments
        local = dict(arrays_in(list(arguments)))
        there = {place: local[place].astype(dtype) for place, dtype in takes.items()}
        if self.again:
            arrays = {place: self._of(source, array) for place, array in there.items()}
            self.loose = list(arrays.values())
        elif rank == source:
            self.loose = [parcel.send(list(there.values()), target, self.group)]
            # Whoever evaluates what is left here, sends.
            arrays = {self.relay.hidden: mx.depends(there[self.relay.hidden], self.loose)}
        else:
            kinds = [(array.shape, array.dtype) for array in there.values()]
            self.loose = parcel.receive(kinds, source, self.group)
            arrays = dict(zip(there, self.loose, strict=True))
        changed: Arguments = with_arrays(arguments, arrays)
        return changed

    def _hang(self, call: int, mine: bool, caches: Sequence[Any]) -> None:
        """Let what was sent or received be computed with the caches: prefill asks for these alone."""
        caches = [cache for cache in caches if not cache.empty()]
        if caches:
            self.cache = caches[0]
        if mine and any(self.relay.calls[call].writes):
            self.loose = []  # what this layer writes depends on it
        last = call == len(self.relay.calls) - 1
        if self.loose and self.cache is not None and (caches or last):
            hang(self.cache, self.loose)
            self.loose = []

    def _share(self, call: int, answer: Any) -> Any:
        """The answer of the rank that has the last layer, on all ranks."""
        forms = self.relay.calls[call].arrays
        local = {place: array for place, array in arrays_in(answer) if forms.get(place) is not None}
        return with_arrays(answer, {place: self._of(0, array) for place, array in local.items()})

    def _of(self, rank: int, array: mx.array) -> mx.array:
        rows = array.shape[0]
        return mx.distributed.all_gather(array, group=self.group)[rank * rows : (rank + 1) * rows]


def _empty(model: Module, layers: Sequence[Module]) -> None:
    """Drop the parameters of layers, but for those that they share with the rest of the model."""
    kept: set[int] = set()
    skipped = {id(layer) for layer in layers}

    def keep(value: Any) -> None:
        if isinstance(value, Module):
            if id(value) in kept or id(value) in skipped:
                return
            kept.add(id(value))
        if isinstance(value, dict):  # a module is one
            for item in value.values():
                keep(item)
        elif isinstance(value, list | tuple):
            for item in value:
                keep(item)

    keep(model)
    for layer in layers:
        modules: Any = layer.modules  # not annotated upstream
        for module in modules():
            names = [name for name, value in module.items() if isinstance(value, mx.array)]
            held = [
                name for name in names if not name.startswith("_")
            ]  # others are constants, by MLX's custom
            if held and id(module) not in kept:
                for name in held:
                    del module[name]
                override(module, _extra_repr=lambda self: "on another rank")  # MLX's own asks for the weights
