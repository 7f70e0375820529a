"""The model operations of a rank: find the files, load this rank's shard, generate, stop, unload."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from kernelkit.errors import NoModelError
from kernelkit.rank import state
from kernelkit.rank.generate import StopControl
from kernelkit.rank.generate import generate as run_generation
from kernelkit.rank.load import load as load_shard
from kernelkit.rank.load import resolve as find_files

# Often enough for the eye, seldom enough that Jupyter's rate limit never notices.
_EVENT_INTERVAL_S = 0.05

# By generation: a stop may reach this rank before `generate` itself does.
_controls: dict[str, StopControl] = {}


def resolve(name: str) -> str:
    """Find a model's folder on this host; download or convert it first where that is needed.

    Raises:
        ModelNotFoundError: `name` leads to no model.
    """
    return str(find_files(name, on_progress=_throttled("files")))


def load(path: str, strategy: Literal["tensor", "pipeline"]) -> dict[str, Any]:
    """Load this rank's part of the model and bind `model` and `tokenizer` for the user.

    Raises:
        ModelShardError: the model cannot be cut that way; every rank says so alike.
    """
    assert state.group is not None
    report = _throttled("load")

    def on_progress(phase: str, fraction: float) -> None:
        # All refusals come before the first weights: until then the model that is there stays.
        if phase == "weights" and fraction == 0:
            unload()
        report(phase, fraction)

    state.loaded = load_shard(Path(path), strategy=strategy, group=state.group, on_progress=on_progress)
    state.shell.push({"model": state.loaded.model, "tokenizer": state.loaded.tokenizer}, interactive=False)
    return state.loaded.summary


def unload() -> None:
    """Forget the model and give its memory back."""
    state.loaded = None
    for name in ("model", "tokenizer"):
        state.shell.user_ns.pop(name, None)
        state.shell.user_ns_hidden.pop(name, None)
    gc.collect()
    mx.clear_cache()


def generate(
    generation: str, prompt: str, max_tokens: int, temp: float, top_p: float, seed: int, raw: bool
) -> dict[str, Any]:
    """Generate on all ranks in step; rank 0 alone sends the text as it comes.

    Args:
        generation: names this one for `freeze` and `release`.

    Raises:
        NoModelError: nothing is loaded here.
    """
    if state.loaded is None:
        raise NoModelError("no model is loaded on the ranks", cure="%model load PATH_OR_HF_ID")
    stream = _TextStream() if state.rank == 0 else None
    result = run_generation(
        state.loaded,
        prompt,
        max_tokens=max_tokens,
        temp=temp,
        top_p=top_p,
        seed=seed,
        raw=raw,
        on_text=stream.add if stream else lambda _: None,
        control=_controls.setdefault(generation, StopControl()),
    )
    if stream:
        stream.flush()
    # Kept until the next one, for a stop that comes too late; older ones cannot be asked for any more.
    for old in [name for name in _controls if name != generation]:
        del _controls[old]
    return result


def freeze(generation: str) -> int:
    """From a subshell, while `generate` runs: pause at the next token, say which one that is."""
    return _controls.setdefault(generation, StopControl()).freeze()


def release(generation: str, stop_at: int) -> None:
    """From a subshell: go on to token `stop_at`, the same on all ranks, and end there."""
    _controls.setdefault(generation, StopControl()).release(stop_at)


class _TextStream:
    """Collects pieces of text and sends them a few times a second."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._sent_s = 0.0

    def add(self, text: str) -> None:
        self._pieces.append(text)
        if time.monotonic() - self._sent_s >= _EVENT_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        if text := "".join(self._pieces):
            state.publish({"event": "text", "text": text})
        self._pieces.clear()
        self._sent_s = time.monotonic()


def _throttled(operation: str) -> Callable[[str, float], None]:
    """A progress function that sends an event at most every 50 ms, and always the last one."""
    sent_s = 0.0

    def report(phase: str, fraction: float) -> None:
        nonlocal sent_s
        now = time.monotonic()
        if fraction >= 1 or now - sent_s >= _EVENT_INTERVAL_S:
            sent_s = now
            state.publish({"event": "progress", "operation": operation, "phase": phase, "fraction": fraction})

    return report
