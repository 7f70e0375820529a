"""Hold the sharded model against the unsharded one: what each rank does of `model.check()`.

Rank 0 alone runs the unsharded model, while the others are idle: no collective runs meanwhile. All else
every rank does in step, and can stop after the same step: a token, a layer, or a piece of the sequence.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from kernelkit.rank.checkplan import build_reference
from kernelkit.rank.compare import Compared
from kernelkit.rank.listen import in_front, last_state
from kernelkit.rank.progress import Throttled
from kernelkit.rank.reference import PIECE_TOKENS, Reference
from kernelkit.rank.shards import loaded_model
from kernelkit.rank.stop import StopControl

# By operation: a stop may reach this rank before the operation itself does.
_controls: dict[str, StopControl] = {}
# Rank 0's, between `check_reference` and `check_compare`.
_reference: Reference | None = None


class _StoppedError(Exception):
    """The user has stopped it; every rank is at the same step."""


class _Steps:
    """The steps of one operation: each is told, and may be the last.

    Args:
        operation: names it for `freeze_check` and `release_check`.
        phase: what the notebook shows.
    """

    def __init__(self, operation: str, phase: str) -> None:
        for old in [name for name in _controls if name != operation]:
            del _controls[old]
        self._control = _controls.setdefault(operation, StopControl())
        self._progress = Throttled("check")
        self._phase = phase

    def done(self, part: int, whole: int) -> None:
        """One more step.

        Raises:
            _StoppedError: it is the last one.
        """
        self._progress.tell(self._phase, part / whole)
        if self._control.yielded(last=False):
            raise _StoppedError

    def end(self) -> None:
        self._control.finish()


def freeze_check(operation: str) -> int:
    """From a subshell: pause at the next step, say which one that is."""
    return _controls.setdefault(operation, StopControl()).freeze()


def release_check(operation: str, stop_at: int) -> None:
    """From a subshell: go on to step `stop_at`, the same on all ranks, and end there."""
    _controls.setdefault(operation, StopControl()).release(stop_at)


def check_generate(operation: str, name: str, ids: Sequence[int], max_tokens: int) -> dict[str, Any]:
    """On all ranks in step: the greedy tokens after a prompt, by mlx-lm's own loop; end tokens do not end it.

    Returns:
        `tokens`, or `stopped`.

    Raises:
        NoModelError: nothing is loaded here.
    """
    from mlx_lm.generate import generate_step, generation_stream

    model = loaded_model().model
    steps, whole = _Steps(operation, f"{name}: tokens"), len(ids) + max_tokens
    tokens: list[int] = []
    try:
        for token, _ in generate_step(
            mx.array(list(ids)),
            model,
            max_tokens=max_tokens,
            prefill_step_size=2 * PIECE_TOKENS,
            prompt_progress_callback=lambda done, _: steps.done(done, whole),
        ):
            tokens.append(int(token))
            steps.done(len(ids) + len(tokens), whole)
    except _StoppedError:
        return {"stopped": True}
    finally:
        steps.end()
        # One token is computed ahead, on another stream than what follows.
        mx.synchronize(generation_stream)
    return {"tokens": tokens}


def check_reference(
    operation: str, name: str, path: str, quantize: int | None, dtype: str, ids: Sequence[int]
) -> dict[str, Any]:
    """On rank 0 alone: run the unsharded model over `ids`, layer by layer; its last layer's answer is kept.

    Returns:
        `peak_bytes`, the most that was held at once beside what was there before; or `stopped`.
    """
    global _reference
    _reference = None
    mx.clear_cache()
    held_bytes = mx.get_active_memory()
    mx.reset_peak_memory()
    steps = _Steps(operation, f"{name}: unsharded, by layers")
    try:
        reference = Reference(lambda: build_reference(Path(path), quantize, dtype), ids)
        reference.run(steps.done)
    except _StoppedError:
        return {"stopped": True}
    finally:
        steps.end()
    _reference = reference
    return {"peak_bytes": mx.get_peak_memory() - held_bytes}


def check_compare(operation: str, name: str, ids: Sequence[int], prompt_tokens: int) -> dict[str, Any]:
    """On all ranks in step: run the sharded model over `ids` in pieces, and compare on rank 0.

    Args:
        ids: the prompt and the tokens generated after it.
        prompt_tokens: how many of them are the prompt.

    Returns:
        `tops` and `sums`, of each position the largest logit and the log-sum-exp. From rank 0 also
        `differences`, of each position the largest of any logit; `rms` of the unsharded model's logits and
        `mean_difference`, that of all differences;
        `vocab`, their number; for each generated token `best`, whether the unsharded model has it as its
        likeliest, and `gaps`, by how much it prefers its own. What is not finite is None. Or `stopped`.

    Raises:
        NoModelError: nothing is loaded here.
    """
    global _reference
    model, (reference, _reference) = loaded_model().model, (_reference, None)
    steps, made = _Steps(operation, f"{name}: comparing"), Compared(ids, prompt_tokens)
    caches = _caches(model)
    # The last token was generated by what is before it; its own logits nobody has asked for.
    length = len(ids) - 1
    try:
        for start in range(0, length, PIECE_TOKENS):
            end = min(start + PIECE_TOKENS, length)
            logits = model(mx.array(list(ids[start:end]))[None], cache=caches)[0].astype(mx.float32)
            made.take(logits)
            if reference is not None:
                made.compare(start, logits, reference.logits(start, end))
            steps.done(end, length)
    except _StoppedError:
        return {"stopped": True}
    finally:
        steps.end()
        mx.clear_cache()
    return made.answer()


def trace_reference(
    operation: str, name: str, path: str, quantize: int | None, dtype: str, ids: Sequence[int]
) -> dict[str, Any]:
    """On rank 0 alone: the unsharded model's hidden states at the last of `ids`.

    Returns:
        `states` by layer, as base64 of float32; `"-1"` is before the first. Or `stopped`.
    """
    steps = _Steps(operation, f"{name}: unsharded, by layers")
    reference = Reference(lambda: build_reference(Path(path), quantize, dtype), ids)
    try:
        reference.run(steps.done)
    except _StoppedError:
        return {"stopped": True}
    finally:
        steps.end()
    return {"states": _packed(reference.states)}


def trace_ranks(operation: str, name: str, ids: Sequence[int]) -> dict[str, Any]:
    """On all ranks in step: this rank's hidden states at the last of `ids`, after each layer that it runs.

    Returns:
        As `trace_reference`.

    Raises:
        NoModelError: nothing is loaded here.
    """
    loaded = loaded_model()
    steps, caches = _Steps(operation, f"{name}: layers"), _caches(loaded.model)
    layers = list(loaded.model.layers)
    first, end = loaded.cut.layer_range
    # mlx-lm's own pipelines show the layers of this rank alone.
    offset = 0 if len(layers) == loaded.summary["layers"] else first
    states: dict[int, mx.array] = {}

    def call(index: int, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = layer(*args, **kwargs)
        if first <= index + offset < end:
            if index + offset == 0:
                states.setdefault(-1, last_state([args, kwargs]))
            states[index + offset] = last_state(answer)
        return answer

    try:
        for start in range(0, len(ids), PIECE_TOKENS):
            states.clear()  # of the last piece alone
            piece = mx.array(list(ids[start : start + PIECE_TOKENS]))[None]
            with in_front(layers, call):
                logits = loaded.model(piece, cache=caches)
            mx.eval(logits, list(states.values()))
            steps.done(min(start + PIECE_TOKENS, len(ids)), len(ids))
    except _StoppedError:
        return {"stopped": True}
    finally:
        steps.end()
    return {"states": _packed(states)}


def _caches(model: Any) -> Any:
    from mlx_lm.models.cache import make_prompt_cache

    make: Any = make_prompt_cache  # not annotated upstream
    return make(model)


def _packed(states: Mapping[int, mx.array]) -> dict[str, str]:
    return {
        str(layer): base64.b64encode(np.array(value).tobytes()).decode() for layer, value in states.items()
    }
