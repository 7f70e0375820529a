"""Generate text on every rank at once, in step: mlx-lm's own loop, with a seed, a stop and a report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import mlx.core as mx

from kernelkit.errors import ArgumentError
from kernelkit.rank.load import Loaded
from kernelkit.rank.stop import StopControl as StopControl


def generate(
    loaded: Loaded,
    prompt: str,
    *,
    max_tokens: int,
    temp: float,
    top_p: float,
    seed: int,
    raw: bool,
    on_text: Callable[[str], None],
    control: StopControl,
) -> dict[str, Any]:
    """Run the model from `prompt` on; every rank of the group calls this alike and gets the same tokens.

    An exception out of here, `KeyboardInterrupt` too, may leave the ranks at different tokens: the group
    is then out of step. To stop in good order use `control`.

    Args:
        max_tokens: 1 or more.
        temp: 0 takes the likeliest token; above it samples, seeded by `seed` on every rank.
        top_p: sample from the likeliest tokens that make up this probability, above 0 up to 1.
        raw: hand the prompt to the model as it is, without the tokenizer's chat template.
        on_text: called with each piece of text as it comes.

    Returns:
        `text`; `tokens`, as sampled, with the end token if there was one; `prompt_tokens` and
        `prompt_tokens_per_s`, up to the first token; `generation_tokens` and `generation_tokens_per_s`,
        as mlx-lm counts them (0 for a single token, which has no rate); `peak_memory_bytes`, the most
        that MLX's allocator held at once since the call, weights included: on a CPU this is process
        memory, less what Python and libraries hold; `finish_reason`: "stop" at an end token, "length"
        at `max_tokens`, "stopped" by `control`.

    Raises:
        ArgumentError: an argument is out of its range, or the prompt has no tokens.
    """
    _check(max_tokens, temp, top_p, seed)
    from mlx_lm.generate import generation_stream, stream_generate
    from mlx_lm.sample_utils import make_sampler

    prompt_ids = encode(loaded.tokenizer, prompt, raw=raw)
    mx.random.seed(seed)
    mx.reset_peak_memory()
    tokens: list[int] = []
    pieces: list[str] = []
    options: dict[str, Any] = {"max_tokens": max_tokens, "sampler": make_sampler(temp=temp, top_p=top_p)}
    try:
        with closing(stream_generate(loaded.model, loaded.tokenizer, prompt_ids, **options)) as responses:
            for response in responses:
                tokens.append(response.token)
                if response.text:
                    pieces.append(response.text)
                    on_text(response.text)
                if control.yielded(last=response.finish_reason is not None):
                    break
    finally:
        control.finish()
    # mlx-lm computes one token ahead. Wait for that one: its collectives run on another stream than the
    # user's next cell, and two streams that talk at once would mix up their messages.
    mx.synchronize(generation_stream)
    return {
        "text": "".join(pieces),
        "tokens": tokens,
        "prompt_tokens": response.prompt_tokens,
        "prompt_tokens_per_s": response.prompt_tps,
        "generation_tokens": response.generation_tokens,
        "generation_tokens_per_s": response.generation_tps if len(tokens) > 1 else 0.0,
        "peak_memory_bytes": mx.get_peak_memory(),
        "finish_reason": response.finish_reason or "stopped",
    }


def encode(tokenizer: Any, prompt: str, *, raw: bool) -> list[int]:
    """The prompt's token ids, through the chat template unless `raw` or where there is none.

    Raises:
        ArgumentError: there are none.
    """
    if tokenizer.has_chat_template and not raw:
        messages = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    else:
        has_start = tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token)
        ids = tokenizer.encode(prompt, add_special_tokens=not has_start)
    if not ids:
        raise ArgumentError("the prompt is empty", expected="at least one token", cure="write a prompt")
    return list(ids)


def _check(max_tokens: int, temp: float, top_p: float, seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise ArgumentError("no possible seed", expected="0 or more, below 2**63", got=str(seed))
    if max_tokens < 1:
        raise ArgumentError("nothing to generate", expected="--max-tokens 1 or more", got=str(max_tokens))
    if temp < 0:
        raise ArgumentError("the temperature is negative", expected="--temp 0 or more", got=str(temp))
    if not 0 < top_p <= 1:
        raise ArgumentError("top-p is not a probability", expected="above 0, up to 1", got=str(top_p))
