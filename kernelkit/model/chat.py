"""A conversation with a sharded model: its history is here, its KV cache on the ranks."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError, ClusterError, NoModelError
from kernelkit.generation import Generation, GenerationStoppedError
from kernelkit.model.generating import OnProgress, OnText, Writer
from kernelkit.outputs.text import readable
from kernelkit.settings import Settings, check_text
from kernelkit.tables import NO_MATH

if TYPE_CHECKING:
    from kernelkit.model.sharded import ShardedModel

_BLOCK = "margin:0 0 .6em;white-space:pre-wrap"


class Chat:
    """A conversation. Made by `ShardedModel.chat`; each `send` reads only what is new.

    Args:
        find: gives the writer of the model as it is loaded now, or says that it is not. After a recovery it
            is another one, which holds no cache: then the history is read anew.
        settings: of every answer, unless `send` is given others.
        history: what was said before, by user and assistant in turn.
    """

    def __init__(
        self, find: Callable[[], Writer], settings: Settings, history: Sequence[Mapping[str, str]] = ()
    ) -> None:
        _check(settings)
        self._find = find
        self._name = secrets.token_hex(8)
        self._messages: list[dict[str, str]] = [dict(message) for message in history]
        self._release: weakref.finalize[..., Any] | None = None
        self._writer: Writer | None = None
        self.settings = settings

    @property
    def messages(self) -> list[dict[str, str]]:
        """`role` and `content` of each message so far, the system's first if there is one; a copy."""
        before = [{"role": "system", "content": self.system}] if self.system else []
        return [*before, *(dict(message) for message in self._messages)]

    @property
    def system(self) -> str:
        """The system's message; empty for the one that the model's chat template brings along."""
        return self.settings.system

    @system.setter
    def system(self, text: str) -> None:
        """Another one holds from the next message on, which reads the whole history anew."""
        self.settings = Settings.of({"system": text}, self.settings)

    def send(
        self,
        content: str,
        *,
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        **settings: Any,
    ) -> Generation:
        """Say something and let the model answer; both become part of the history.

        An answer that is stopped counts as far as it came. One that had not begun does not; an error neither.

        Args:
            content: the user's message.
            settings: of this answer alone; see `kernelkit.settings.Settings`. A `system` stays.

        Returns:
            The answer. `cached_tokens` says how much of the conversation the ranks still held.

        Raises:
            ArgumentError: a setting out of range, or a model without a chat template.
            NoModelError: the model was unloaded, or another one was loaded.
            GenerationStoppedError: Ctrl-C or the stop button; the chat goes on.
        """
        if not isinstance(content, str) or not content:
            raise ArgumentError("there is no message", expected="some text", got=repr(content))
        check_text(content, "the message")
        chosen = Settings.of(settings, self.settings)
        _check(chosen)
        writer = self._find()
        self._follow(writer)
        said = {"role": "user", "content": content}
        try:
            answer = writer.generate(
                [*self._messages, said], chosen, chat=self._name, on_text=on_text, on_progress=on_progress
            )
        except GenerationStoppedError as error:
            if error.partial.tokens:
                self._add(said, error.partial, chosen)
            raise
        self._add(said, answer, chosen)
        return answer

    def is_with(self, model: ShardedModel) -> bool:
        """Whether it goes on with this model, which is loaded."""
        try:
            return self._find() is model._writer
        except NoModelError:
            return False

    def undo(self) -> str:
        """Take the last exchange back.

        Returns:
            What the user had said, to be said in another way.

        Raises:
            ArgumentError: nothing was said.
        """
        if not self._messages:
            raise ArgumentError("there is nothing to undo: nothing was said yet")
        *self._messages, said, _ = self._messages
        return said["content"]

    def clear(self) -> None:
        """Forget all that was said, and free the ranks' memory of it. The system's message stays."""
        self._messages = []
        if self._writer is not None:
            self._writer.conversations.drop(self._name)
            # Ranks that are busy are told with the next request, and those that are gone need not be.
            with suppress(ClusterError):
                self._writer.sweep()

    def _add(self, said: dict[str, str], answer: Generation, settings: Settings) -> None:
        self._messages += [said, {"role": "assistant", "content": answer.text}]
        self.system = settings.system

    def _follow(self, writer: Writer) -> None:
        """When this chat is no longer held, the writer's ranks need not keep its cache."""
        if writer is not self._writer:
            if self._release is not None:
                self._release()
            self._release = weakref.finalize(self, writer.conversations.drop, self._name)
            self._writer = writer

    def __len__(self) -> int:
        """Messages so far, the system's not counted."""
        return len(self._messages)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        lines = [f"{message['role']}: {readable(message['content'])}" for message in self.messages]
        return "\n\n".join(lines) or "nothing was said yet"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        begin = f'<div {NO_MATH} style="{_BLOCK}">'
        blocks = [
            f"{begin}<b>{escape(message['role'])}</b><br>{escape(readable(message['content']))}</div>"
            for message in self.messages
        ]
        return {"text/plain": repr(self), "text/html": "".join(blocks) or escape(repr(self))}


def _check(settings: Settings) -> None:
    if settings.raw:
        raise ArgumentError("a chat needs the model's chat template", cure="leave raw out")


def check_history(history: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Messages as `Chat.messages` gives them.

    Raises:
        ArgumentError: they are not that: perhaps a system's message, then user and assistant in turn.
    """
    expected = "messages with role and content: perhaps a system's, then a user's and an assistant's in turn"
    roles = []
    for message in history:
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise ArgumentError("this is no history of a chat", expected=expected, got=repr(message))
        check_text(message["content"], "a message")
        roles.append(message["role"])
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if turns != ["user", "assistant"] * (len(turns) // 2):
        raise ArgumentError("this is no history of a chat", expected=expected, got=", ".join(map(str, roles)))
    return [dict(message) for message in history]
