"""Generate text on every rank at once, in step: mlx-lm's own loop, with a seed, a stop and a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from time import perf_counter
from typing import Any

import mlx.core as mx

from kernelkit.rank import timing
from kernelkit.rank.caches import Kept
from kernelkit.rank.endings import StopText
from kernelkit.rank.load import Loaded
from kernelkit.rank.prompts import Prompt, encode
from kernelkit.rank.stop import StopControl as StopControl
from kernelkit.settings import Settings
from kernelkit.sharding.config import text_config


class _StoppedInPromptError(Exception):
    """Out of mlx-lm's loop while it reads the prompt; it has no other way out there."""


def generate(
    loaded: Loaded,
    prompt: Prompt,
    settings: Settings | None = None,
    *,
    control: StopControl,
    kept: Kept | None = None,
    can_trim: bool = True,
    on_text: Callable[[str], None] = lambda piece: None,
    on_token: Callable[[float], None] = lambda time_s: None,
    on_prompt: Callable[[int, int], None] = lambda done, total: None,
    **given: Any,
) -> dict[str, Any]:
    """Run the model from `prompt` on; every rank of the group calls this alike and gets the same tokens.

    An exception out of here, `KeyboardInterrupt` too, may leave the ranks at different tokens: the group
    is then out of step. To stop in good order use `control`.

    Args:
        prompt: a user's message, or the messages of a chat.
        settings: with a seed, if it draws; single ones can be given by name instead.
        kept: a cache to go on from; it holds prompt and answer afterwards, and after an exception nothing
            that could be used.
        can_trim: whether the caches of all ranks can be cut.
        on_text: called with each piece of text as it comes.
        on_token: called after each token, and after its text, with the seconds since the call.
        on_prompt: called with how many of the prompt's tokens are done and how many there are, before the
            first and after each piece of the prompt.

    Returns:
        `text`; `tokens`, as sampled, with the end token if there was one; `prompt_tokens`, of which
        `cached_tokens` were in `kept` already; `prompt_tokens_per_s`, of the others up to the first token;
        `generation_tokens`, how many came, and
        `generation_tokens_per_s`, from the first to the last (0 for a single token, which has no rate; mlx-lm
        counts the first token in, but not its time); `token_times_s`, from the call to each token;
        `elapsed_s`, the whole call; `communication_s`, inside collectives, and `recording`, when in each
        (`timing.Clock.to_dict`), None if not recorded;
        `peak_memory_bytes`, the most that MLX's allocator held at once since the call, weights included: on
        a CPU this is process memory, less what Python and libraries hold; `finish_reason`: "stop" at an end
        token or before a text of `settings.stop`, "length" at `max_tokens`, "stopped" by `control`.

    Raises:
        ArgumentError: a setting out of its range, a prompt without tokens, or one that the model's
            chat template refuses.
    """
    began_s = perf_counter()
    settings = Settings.of(given, settings)
    from mlx_lm.generate import generation_stream, stream_generate

    ids = encode(loaded.tokenizer, prompt, raw=settings.raw, system=settings.system)
    held = Kept() if kept is None else kept
    cached = held.fit(loaded.model, ids, settings, can_trim=can_trim)
    done = cached

    def read(more: int, left: int) -> None:
        nonlocal done
        is_step = cached + more > done
        done = cached + more
        on_prompt(done, cached + left)
        if is_step and more < left and control.yielded(last=False):
            raise _StoppedInPromptError

    mx.random.seed(settings.seed or 0)
    mx.reset_peak_memory()
    answer = _Answer(settings.stop, on_text)
    options = {
        **_options(loaded, settings, ids[:cached]),
        "prompt_cache": held.layers,
        "prompt_progress_callback": read,
    }
    try:
        with (
            timing.recorded(settings.record) as clock,
            closing(stream_generate(loaded.model, loaded.tokenizer, ids[cached:], **options)) as responses,
        ):
            for response in responses:
                answer.take(response, perf_counter() - began_s)
                on_token(answer.times_s[-1])
                if control.yielded(last=answer.is_over) or answer.is_over:
                    break
            answer.close()
    except _StoppedInPromptError:
        pass  # on every rank after the same piece of the prompt
    finally:
        control.finish()
    _at_rest(generation_stream, None if kept is None else held)
    held.tokens = ids + answer.tokens if answer.tokens else ids[:done]
    elapsed_s = perf_counter() - began_s
    return {
        **answer.report(),
        "prompt_tokens": len(ids),
        "cached_tokens": cached,
        "prompt_tokens_per_s": answer.prompt_tokens_per_s or (done - cached) / elapsed_s,
        "elapsed_s": elapsed_s,
        "communication_s": None if clock is None else clock.total_s,
        "recording": None if clock is None else clock.to_dict(began_s),
        "peak_memory_bytes": mx.get_peak_memory(),
    }


class _Answer:
    """What has come so far.

    Attributes:
        tokens, times_s: as sampled, and when each came, in seconds since the call.
        finish: why it ended, "stopped" until it has.
        prompt_tokens_per_s: mlx-lm's; 0 before the first token.
    """

    def __init__(self, stops: Sequence[str], on_text: Callable[[str], None]) -> None:
        self.tokens: list[int] = []
        self.times_s: list[float] = []
        self.finish = "stopped"
        self.prompt_tokens_per_s = 0.0
        self._pieces: list[str] = []
        self._ending = StopText(stops)
        self._on_text = on_text

    @property
    def is_over(self) -> bool:
        return self.finish != "stopped"

    def take(self, response: Any, time_s: float) -> None:
        """One token of mlx-lm's loop."""
        self.times_s.append(time_s)
        self.tokens.append(response.token)
        self.prompt_tokens_per_s = response.prompt_tps
        self._tell(self._ending.feed(response.text, last=response.finish_reason is not None))
        self.finish = "stop_text" if self._ending.found else response.finish_reason or self.finish

    def close(self) -> None:
        """No more comes: text that was held back, since it might have begun a stop, is text after all."""
        if not self.is_over:
            self._tell(self._ending.feed("", last=True))

    def report(self) -> dict[str, Any]:
        return {
            "text": "".join(self._pieces),
            "tokens": self.tokens,
            "generation_tokens": len(self.tokens),
            **rates(self.tokens, self.times_s),
            "finish_reason": self.finish,
        }

    def _tell(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            self._on_text(piece)


def rates(tokens: list[int], times_s: list[float]) -> dict[str, Any]:
    """What the times of the tokens say."""
    rate = (len(tokens) - 1) / (times_s[-1] - times_s[0]) if len(tokens) > 1 else 0.0
    return {"generation_tokens_per_s": rate, "token_times_s": [round(time_s, 6) for time_s in times_s]}


def drawing(loaded: Loaded, settings: Settings) -> Any:
    """mlx-lm's sampler; more of the likeliest tokens than there are is no limit."""
    from mlx_lm.sample_utils import make_sampler

    vocabulary = text_config(loaded.config).get("vocab_size", 0)
    top_k = settings.top_k if settings.top_k < vocabulary else 0
    return make_sampler(temp=settings.temp, top_p=settings.top_p, min_p=settings.min_p, top_k=top_k)


def penalties(settings: Settings, before: list[int]) -> list[Callable[[mx.array, mx.array], mx.array]]:
    """mlx-lm's penalty for repetition.

    Args:
        before: tokens in front of those that mlx-lm reads: it does not know what a cache holds.
    """
    from mlx_lm.sample_utils import make_logits_processors

    if settings.repetition_penalty == 1:
        return []
    size = settings.repetition_context_size
    processors = make_logits_processors(
        repetition_penalty=settings.repetition_penalty, repetition_context_size=size
    )
    earlier = mx.array(before[-size:], mx.int32)
    if not before:
        return list(processors)

    def penalty(tokens: mx.array, logits: mx.array) -> mx.array:
        for processor in processors:
            logits = processor(mx.concatenate([earlier, tokens.astype(mx.int32)]), logits)
        return logits

    return [penalty]


def _options(loaded: Loaded, settings: Settings, before: list[int]) -> dict[str, Any]:
    return {
        "max_tokens": settings.max_tokens,
        "sampler": drawing(loaded, settings),
        "logits_processors": penalties(settings, before),
        "prefill_step_size": settings.prefill_step_size,
        "kv_bits": settings.kv_bits,
        "kv_group_size": settings.kv_group_size,
        "quantized_kv_start": settings.quantized_kv_start,
    }


def _at_rest(stream: Any, kept: Kept | None) -> None:
    """Wait for the token that mlx-lm computes ahead, and for all that a kept cache hangs on.

    Their collectives run on another stream than the user's next cell, and two streams that talk at once would
    mix up their messages.
    """
    if kept is not None:
        mx.eval([layer.state for layer in kept.layers])
    mx.synchronize(stream)
