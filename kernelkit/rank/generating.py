"""Generate on this rank in step with the others, tell how it goes, and stop with them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx

from kernelkit.errors import NoModelError
from kernelkit.rank import caches, state
from kernelkit.rank.batch import generate_batch as run_batch
from kernelkit.rank.generate import StopControl
from kernelkit.rank.generate import generate as run_generation
from kernelkit.rank.load import Loaded
from kernelkit.rank.progress import EVENT_INTERVAL_S
from kernelkit.rank.prompts import Prompt
from kernelkit.settings import Settings

# By generation: a stop may reach this rank before `generate` itself does.
_controls: dict[str, StopControl] = {}


def generate(
    generation: str,
    prompt: Prompt,
    settings: Mapping[str, Any],
    chat: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Generate on all ranks in step; rank 0 alone tells how it goes, text and times.

    Args:
        generation: names this one for `freeze` and `release`, and the cache that it leaves.
        chat: `name` of the conversation that this continues; `after`, the generation whose cache every rank
            has, or empty; `can_trim`, whether every rank's can be cut.

    Returns:
        What `rank.generate.generate` does, and of a chat `can_trim`: whether this rank's cache can be cut.

    Raises:
        NoModelError: nothing is loaded here.
    """
    loaded = _loaded()
    feed = _Feed()
    told: dict[str, Any] = {"on_text": feed.text, "on_token": feed.token, "on_prompt": feed.prompt}
    kept = None
    if chat is not None:
        # Taken out until it is whole again: what an error leaves behind is of no use.
        kept = state.caches.pop(chat["name"], None)
        if kept is None or kept.after != chat["after"]:
            kept = caches.Kept()
    result = run_generation(
        loaded,
        prompt,
        Settings(**settings),
        control=_control(generation),
        kept=kept,
        can_trim=chat is not None and chat["can_trim"],
        **(told if state.rank == 0 else {}),
    )
    feed.flush()
    if chat is not None and kept is not None:
        kept.after = generation
        state.caches[chat["name"]] = kept
        result["can_trim"] = kept.can_trim
    _forget_controls(generation)
    return result


def generate_batch(generation: str, prompts: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Generate for several prompts at once, on all ranks in step; rank 0 tells how far they are.

    Raises:
        NoModelError: nothing is loaded here.
    """
    sent_s = 0.0

    def step(counts: list[int], over: int) -> None:
        nonlocal sent_s
        if over == len(counts) or time.monotonic() - sent_s >= EVENT_INTERVAL_S:
            sent_s = time.monotonic()
            state.publish({"event": "batch", "counts": counts, "over": over})

    result = run_batch(
        _loaded(),
        prompts,
        Settings(**settings),
        control=_control(generation),
        **({"on_step": step} if state.rank == 0 else {}),
    )
    _forget_controls(generation)
    return result


def check_settings(settings: Mapping[str, Any], batch: bool) -> None:
    """Refuse, before any rank begins, what the caches of this rank's part cannot do.

    Raises:
        ArgumentError: they cannot be quantized, limited, or joined into a batch.
        NoModelError: nothing is loaded here.
    """
    caches.check(_loaded().model, Settings(**settings), batch=batch)


def keep_caches(names: Sequence[str]) -> None:
    """Free the caches of all other conversations."""
    for name in [name for name in state.caches if name not in names]:
        del state.caches[name]
    mx.clear_cache()


def freeze(generation: str) -> int:
    """From a subshell, while `generate` runs: pause at the next step, say which one that is."""
    return _control(generation).freeze()


def release(generation: str, stop_at: int) -> None:
    """From a subshell: go on to step `stop_at`, the same on all ranks, and end there."""
    _control(generation).release(stop_at)


def _loaded() -> Loaded:
    if state.loaded is None:
        raise NoModelError("no model is loaded on the ranks", cure="%model load PATH_OR_HF_ID")
    return state.loaded


def _control(generation: str) -> StopControl:
    return _controls.setdefault(generation, StopControl())


def _forget_controls(generation: str) -> None:
    """Kept until the next one, for a stop that comes too late; older ones cannot be asked for any more."""
    for old in [name for name in _controls if name != generation]:
        del _controls[old]


class _Feed:
    """What rank 0 tells while it generates, a few times a second: text and token times that are new."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._times_s: list[float] = []
        self._prompt = {"prompt_done": 0, "prompt_tokens": 0}
        self._sent_s = 0.0

    def text(self, piece: str) -> None:
        self._pieces.append(piece)  # the time of its token follows

    def token(self, time_s: float) -> None:
        self._times_s.append(round(time_s, 6))
        if time.monotonic() - self._sent_s >= EVENT_INTERVAL_S:
            self.flush()

    def prompt(self, done: int, total: int) -> None:
        self._prompt = {"prompt_done": done, "prompt_tokens": total}
        if done < total:  # else its first token follows at once
            self._send()

    def flush(self) -> None:
        if self._times_s:
            self._send()

    def _send(self) -> None:
        new = {"text": "".join(self._pieces), "times_s": self._times_s}
        state.publish({"event": "text", **new, **self._prompt})
        self._pieces, self._times_s = [], []
        self._sent_s = time.monotonic()
