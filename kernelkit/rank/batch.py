"""Generate for several prompts at once, in step: mlx-lm's batch, with a single one's stops and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import mlx.core as mx

from kernelkit.rank import caches, timing
from kernelkit.rank.endings import StopText
from kernelkit.rank.generate import drawing, penalties, rates
from kernelkit.rank.load import Loaded
from kernelkit.rank.prompts import encode
from kernelkit.rank.stop import StopControl
from kernelkit.settings import Settings


class _Row:
    """One prompt and what came of it."""

    def __init__(self, ids: list[int], detokenizer: Any, stops: Sequence[str]) -> None:
        self.prompt_tokens = len(ids)
        self.tokens: list[int] = []
        self.times_s: list[float] = []
        self.finish = "stopped"
        self._pieces: list[str] = []
        self._detokenizer = detokenizer
        self._ending = StopText(stops)
        # Nobody reads the text before the end unless it may end the row; the next step waits for this one.
        self._reads_along = bool(stops)
        self._read = 0

    @property
    def is_over(self) -> bool:
        return self.finish != "stopped"

    def take(self, token: int, reason: str | None, time_s: float) -> None:
        self.tokens.append(token)
        self.times_s.append(time_s)
        self.finish = reason or self.finish
        if self._reads_along:
            self._read_on()

    def _read_on(self) -> None:
        """Turn the tokens that are new into text; a row that is over has no more of them."""
        ends = self.finish == "stop"  # with the end token, which has no text
        for token in self.tokens[self._read : len(self.tokens) - ends]:
            self._detokenizer.add_token(token)
        self._read = len(self.tokens)
        if self.is_over:
            self._detokenizer.finalize()
        self._pieces.append(self._ending.feed(self._detokenizer.last_segment, last=self.is_over))
        if self._ending.found:
            self.finish = "stop_text"

    def report(self) -> dict[str, Any]:
        """The fields of a single generation that a row has of its own."""
        if not self._reads_along:
            self._read_on()
        if not self.is_over:
            self._pieces.append(self._ending.feed("", last=True))
        first_s = self.times_s[0] if self.times_s else 0.0
        return {
            "text": "".join(self._pieces),
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": 0,
            "prompt_tokens_per_s": self.prompt_tokens / first_s if first_s else 0.0,
            "generation_tokens": len(self.tokens),
            **rates(self.tokens, self.times_s),
            "finish_reason": self.finish,
        }


def generate_batch(
    loaded: Loaded,
    prompts: Sequence[str],
    settings: Settings,
    *,
    control: StopControl,
    on_step: Callable[[list[int], int], None] = lambda counts, over: None,
) -> dict[str, Any]:
    """Run the model from each prompt on; every rank of the group calls this alike.

    Args:
        on_step: called after each step with how many tokens each prompt has by then, and how many are done.

    Returns:
        `rows`, for each prompt what `generate.generate` returns of itself; `elapsed_s`, `communication_s` and
        `peak_memory_bytes` of all together.

    Raises:
        ArgumentError: a prompt has no tokens, or the model's chat template refuses it.
    """
    began_s = perf_counter()
    from mlx_lm.generate import generation_stream

    mx.random.seed(settings.seed or 0)
    mx.reset_peak_memory()
    generator, rows = _begin(loaded, prompts, settings)
    try:
        with timing.recorded(settings.record) as clock:
            while True:
                _, responses = generator.next()
                time_s = perf_counter() - began_s
                for response in responses:
                    row = rows[response.uid]
                    row.take(response.token, response.finish_reason, time_s)
                    if row.is_over and response.finish_reason is None:
                        generator.remove([response.uid])
                over = sum(row.is_over for row in rows.values())
                on_step([len(row.tokens) for row in rows.values()], over)
                if control.yielded(last=over == len(rows)) or over == len(rows):
                    break
    finally:
        control.finish()
        generator.close()
    mx.synchronize(generation_stream)
    return {
        "rows": [row.report() for row in rows.values()],
        "elapsed_s": perf_counter() - began_s,
        "communication_s": None if clock is None else clock.total_s,
        "peak_memory_bytes": mx.get_peak_memory(),
    }


def _begin(loaded: Loaded, prompts: Sequence[str], settings: Settings) -> tuple[Any, dict[int, _Row]]:
    """mlx-lm's generator with all prompts in it, and their rows by its numbers."""
    from mlx_lm.generate import BatchGenerator

    tokenizer = loaded.tokenizer
    ids = [encode(tokenizer, prompt, raw=settings.raw, system=settings.system) for prompt in prompts]
    generator = BatchGenerator(
        loaded.model,
        stop_tokens=[[token] for token in sorted(tokenizer.eos_token_ids)],
        sampler=drawing(loaded, settings),
        logits_processors=penalties(settings, []),
        prefill_step_size=settings.prefill_step_size,
    )
    numbers = generator.insert(
        ids,
        [settings.max_tokens] * len(ids),
        caches=[caches.make(loaded.model, settings) for _ in ids],
    )
    rows = (_Row(one, tokenizer.detokenizer, settings.stop) for one in ids)
    return generator, dict(zip(numbers, rows, strict=True))
