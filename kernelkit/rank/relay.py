"""Find out what the layers of a model hand to each other, and between which of them it may be cut.

A model that cannot be followed is refused here: its layers are called in another way than one after the
other. Where a layer needs what an earlier one computed, such as its keys and values, on another way than
through the layers between, these layers stay together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ModelShardError
from kernelkit.rank.arraytree import Path, arrays_in, with_arrays
from kernelkit.rank.graph import is_lazy
from kernelkit.rank.rehearse import PIECES, Arguments, Heard, rehearse
from kernelkit.rank.stepcache import caches_in, keep_in_step

# What a model's forward pass raises where it wants something else than it is given.
_FORWARD_ERRORS = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Form:
    """An array that goes with the tokens: like the hidden states, or `[batch, tokens, *rest]`."""

    dtype: mx.Dtype
    rest: tuple[int, ...] | None = None

    @classmethod
    def of(cls, arrays: Sequence[mx.array | None], states: Sequence[mx.array]) -> Form | None:
        """The form of one array in several forward passes, by the hidden states there; None without one."""
        pairs = [(array, state) for array, state in zip(arrays, states, strict=True) if array is not None]
        if len(pairs) < len(states):
            return None
        dtype, rest = pairs[0][0].dtype, tuple(pairs[0][0].shape[2:])
        if all(array.shape == state.shape for array, state in pairs):
            return cls(dtype)
        if all(array.shape == (*state.shape[-3:-1], *rest) for array, state in pairs):
            return cls(dtype, rest)
        return None

    def stand_in(self, states: mx.array) -> mx.array:
        """Something in this form."""
        if self.rest is None:
            return states.astype(self.dtype)
        return mx.broadcast_to(mx.zeros((), self.dtype), (*states.shape[-3:-1], *self.rest))


@dataclass(frozen=True)
class Handover:
    """One call of a layer: what comes to it from layers before, and what it returns.

    Attributes:
        takes: by place among its arguments, the dtype of what must come from the layer before.
        writes: for each cache that it is given, whether it writes into it.
        answer: what it returns, None for every array.
        arrays: by place in the answer, the form of each array; None where a stand-in cannot give it.
    """

    takes: dict[Path, mx.Dtype]
    writes: tuple[bool, ...]
    answer: Any
    arrays: dict[Path, Form | None]


@dataclass
class Relay:
    """How a model runs its layers.

    Attributes:
        layers: so many.
        hidden: the place of the hidden states among a layer's arguments.
        calls: of one forward pass; more than there are layers, where the model runs them several times.
        closed: layers that must be with the one before them, and why.
    """

    layers: int
    hidden: Path
    calls: list[Handover]
    closed: dict[int, str] = field(default_factory=dict)

    @property
    def cuts(self) -> list[int]:
        """The layers that may be the first of a rank, less the very first."""
        return [layer for layer in range(1, self.layers) if layer not in self.closed]

    def pass_by(self, call: int, arguments: Arguments) -> Any:
        """Stand in for a layer: keep its caches in step, and return something in the form of its answer."""
        handover, hidden = self.calls[call], dict(arrays_in(list(arguments)))[self.hidden]
        caches = list(caches_in(list(arguments)))
        if caches:
            keep_in_step(caches, handover.writes, hidden)
        arrays = {
            place: (form or Form(hidden.dtype)).stand_in(hidden) for place, form in handover.arrays.items()
        }
        return with_arrays(handover.answer, arrays)


def study(model: Module, layers: Sequence[Module], name: str) -> Relay:
    """Rehearse the model as it is, and again with stand-ins for all layers.

    Args:
        model: whole, its weights read or not; it is left as it was.
        layers: of the model, in the order of its list.
        name: what to call it.

    Raises:
        ModelShardError: it cannot be cut between layers.
    """
    if len({id(layer) for layer in layers}) < len(layers):
        raise refusal(name, "the same layer stands in its list more than once")
    try:
        heard = rehearse(model, layers)
    except _FORWARD_ERRORS as error:
        raise refusal(name, f"its forward pass ends with {type(error).__name__}: {error}") from error
    calls, left = divmod(len(heard), len(PIECES))
    in_turn = list(range(len(layers))) * (len(heard) // len(layers))
    if not heard or left or calls % len(layers) or [one.layer for one in heard] != in_turn:
        raise refusal(name, "it does not call its layers one after the other")
    # One layer of each kind: a drawing of what hangs on all layers takes its time.
    kinds = {_kind(layer): index for index, layer in reversed(list(enumerate(layers))) if index}
    if any(_is_computed(heard[index]) for index in kinds.values()):
        why = (
            "its layers compute on their way, and would do so before other ranks are asked for what they need"
        )
        raise refusal(name, why)
    relay = _follow(heard[:calls], heard[calls:], len(layers), name)
    if not _runs_alike(relay, model, layers, heard, 0, name):
        # Something that comes from layers goes another way than what they return: through their caches.
        if calls > len(layers):
            raise refusal(name, "some layers use keys and values of earlier ones, and it runs its list again")
        for cut in range(1, len(layers)):
            if not _runs_alike(relay, model, layers, heard, cut, name):
                relay.closed[cut] = "use keys and values of earlier ones"
    return relay


def keeps_dtype(model: Module, layers: Sequence[Module]) -> bool:
    """Whether hidden states have one dtype everywhere, as mlx-lm's own pipelines take for granted."""
    try:
        heard = rehearse(model, layers)
    except _FORWARD_ERRORS:
        return True  # loading or running it will say why
    return len({next(iter(one.takes.values())).dtype for one in heard if one.takes}) == 1


def _kind(layer: Module) -> tuple[str, ...]:
    modules: Any = layer.modules  # not annotated upstream
    return tuple(type(module).__name__ for module in modules())


def _is_computed(one: Heard) -> bool:
    """Whether a layer was given nothing but numbers: someone has asked for them."""
    return bool(one.takes) and not is_lazy(next(iter(one.takes.values())))


def refusal(name: str, why: str, cure: str = "--strategy tensor, or %cluster connect 1") -> ModelShardError:
    """What all refusals to cut between layers look like."""
    return ModelShardError(
        f"{name} cannot be run as a pipeline",
        expected="layers that are called one after the other, each with what the one before returned",
        got=why,
        cure=cure,
    )


def _follow(heard: Sequence[Heard], again: Sequence[Heard], layers: int, name: str) -> Relay:
    """Trace each array that a layer is given to the call that returned it.

    Args:
        heard: the calls of one forward pass.
        again: those of another one, with another number of tokens.
    """
    returned = {id(array) for _, array in arrays_in(heard[0].answer)}
    hidden = next((place for place, array in heard[1].takes.items() if id(array) in returned), None)
    if hidden is None or any(hidden not in one.takes for one in (*heard, *again)):
        raise refusal(name, "what its layers hand on cannot be told from how they are called")
    relay = Relay(layers, hidden, [])
    maker: dict[int, int] = {}
    holder: dict[int, int] = {}
    for call, (one, later) in enumerate(zip(heard, again, strict=True)):
        states = (one.takes[hidden], later.takes[hidden])
        # Where a model begins its list anew it may change the states: the rank that sends them does so too.
        if states[0].shape != heard[0].takes[hidden].shape or (
            call % layers and maker.get(id(states[0])) != call - 1
        ):
            raise refusal(name, f"what layer {call % layers} is given is not what the one before returned")
        takes = {hidden: states[0].dtype} if call else {}
        for place, array in one.takes.items():
            source = maker.get(id(array))
            if source is None or place == hidden:
                continue
            travels = Form.of((array, later.takes.get(place)), states) is not None
            _close(relay, source + 1, call if travels else call + 1, name, "use what others computed")
            if travels:
                takes[place] = array.dtype
        for cache in one.caches:
            before = holder.setdefault(id(cache), call)
            if (call - before) % layers:
                _close(relay, before + 1, call + 1, name, "share a KV cache")
            holder[id(cache)] = call
        relay.calls.append(_handover(one, later, states, takes))
        maker.update((id(array), call) for _, array in arrays_in(one.answer))
    return relay


def _handover(one: Heard, later: Heard, states: Sequence[mx.array], takes: dict[Path, mx.Dtype]) -> Handover:
    arrays, others = dict(arrays_in(one.answer)), dict(arrays_in(later.answer))
    forms = {place: Form.of((array, others.get(place)), states) for place, array in arrays.items()}
    return Handover(takes, one.writes, with_arrays(one.answer, dict.fromkeys(arrays)), forms)


def _runs_alike(
    relay: Relay, model: Module, layers: Sequence[Module], heard: Sequence[Heard], cut: int, name: str
) -> bool:
    """Whether layers from `cut` on are given arrays of the same shapes if those before are stand-ins.

    With a `cut` of 0, all are stand-ins.
    """
    counter = itertools.count()

    def call(original: Callable[..., Any], arguments: Arguments, layer: int) -> Any:
        number = next(counter) % len(relay.calls)
        if cut and layer >= cut:
            return original(*arguments[0], **arguments[1])
        return relay.pass_by(number, arguments)

    try:
        bare = rehearse(model, layers, lambda layer: partial(call, layer=layer))
    except _FORWARD_ERRORS as error:
        if cut:  # a real layer got something that it cannot use
            return False
        why = f"without its layers, its forward pass ends with {type(error).__name__}: {error}"
        raise refusal(name, why) from error
    if [one.layer for one in heard] != [one.layer for one in bare]:
        raise refusal(name, "it calls its layers by what they return")
    returned: set[int] = set()
    alike = True
    for real, found in zip(heard, bare, strict=True):
        if real.layer >= cut:
            # What layers returned was followed already.
            shapes = {p: array.shape for p, array in real.takes.items() if id(array) not in returned}
            alike = alike and all(p in found.takes and found.takes[p].shape == shapes[p] for p in shapes)
        returned.update(id(array) for _, array in arrays_in(real.answer))
    return alike


def _close(relay: Relay, first: int, end: int, name: str, why: str) -> None:
    for call in range(first, end):
        if call % relay.layers == 0:  # between the last layer and the first there always is a cut
            raise refusal(name, f"some layers {why}, and it runs its list more than once")
        relay.closed[call % relay.layers] = why
