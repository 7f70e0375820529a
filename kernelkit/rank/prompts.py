"""Make token ids of a prompt or a conversation, alike on every rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.errors import ArgumentError

Prompt = str | Sequence[Mapping[str, str]]


def encode(tokenizer: Any, prompt: Prompt, *, raw: bool, system: str = "") -> list[int]:
    """The prompt's token ids, through the chat template unless `raw` or where there is none.

    Args:
        prompt: the user's message, or a whole conversation: `role` and `content` of each message.
        system: goes before them as the system's message.

    Raises:
        ArgumentError: there are no tokens, or the template has no place for these messages.
    """
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if tokenizer.has_chat_template and not raw:
        before = [{"role": "system", "content": system}] if system else []
        ids = _through_template(tokenizer, [*before, *messages])
    elif isinstance(prompt, str) and not system:
        has_start = tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token)
        ids = tokenizer.encode(prompt, add_special_tokens=not has_start)
    else:
        what = "this model has no chat template, and so no place for " + (
            "a system message" if isinstance(prompt, str) else "a chat"
        )
        raise ArgumentError(what, cure="model.generate(prompt) takes plain text")
    if not ids:
        raise ArgumentError("the prompt is empty", expected="at least one token", cure="write a prompt")
    return list(ids)


def _through_template(tokenizer: Any, messages: list[Any]) -> list[int]:
    from jinja2 import TemplateError

    try:
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
    except TemplateError as error:  # some refuse a system's message, or two of the same role in a row
        roles = ", ".join(message["role"] for message in messages)
        raise ArgumentError(
            "the model's chat template refuses these messages", got=f"{roles}: {error}"
        ) from error
