"""Ask all ranks to generate in step, follow how it goes, and stop them after the same token."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kernelkit.errors import ModelError
from kernelkit.generation import Generation, GenerationStoppedError, Progress
from kernelkit.generations import BatchStoppedError, Generations
from kernelkit.model.conversations import Conversations
from kernelkit.model.operator import Operator, ask_all
from kernelkit.perf.recorded import timeline_of
from kernelkit.perf.timeline import Timeline
from kernelkit.settings import Settings

OnText = Callable[[str], None]
OnProgress = Callable[[Progress], None]
OnCounts = Callable[[Sequence[int], int], None]


class Writer:
    """Has the ranks of one loaded model write."""

    def __init__(self, cluster: Operator) -> None:
        self._cluster = cluster
        self.conversations = Conversations()

    def generate(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        settings: Settings,
        *,
        chat: str = "",
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
    ) -> Generation:
        """One generation on all ranks.

        Args:
            prompt: a user's message, or the messages of a chat.
            chat: name of the conversation whose cache it goes on from and leaves.

        Raises:
            GenerationStoppedError: Ctrl-C or the stop button.
        """
        name, asked = secrets.token_hex(8), _with_seed(settings)
        self._check(asked)
        times_s: list[float] = []

        def take(rank: int, event: dict[str, Any]) -> None:
            if event["event"] != "text":
                return
            if on_text is not None and event["text"]:
                on_text(event["text"])
            if on_progress is not None:
                times_s.extend(event["times_s"])
                on_progress(Progress(event["prompt_tokens"], event["prompt_done"], tuple(times_s)))

        going_on = self.conversations.begin(chat) if chat else None
        settled = False
        try:
            self.sweep(chat)
            request = {"generation": name, "prompt": prompt, "settings": asked.to_dict(), "chat": going_on}
            answers = self._operate("generate", request, name, take)
            _check_alike(answers, lambda answer: answer["tokens"])
            if chat:
                can_trim = all(answer["can_trim"] for answer in answers.values())
                self.conversations.settle(chat, name, can_trim=can_trim)
            settled = True
        finally:
            if chat and not settled:
                self.conversations.drop(chat)
        generation = _gather(answers[0], answers, asked, streamed=on_text is not None)
        if generation.finish_reason == "stopped":
            raise GenerationStoppedError(generation)
        return generation

    def generate_batch(
        self, prompts: Sequence[str], settings: Settings, *, on_counts: OnCounts | None = None
    ) -> Generations:
        """One generation per prompt, all at once.

        Raises:
            BatchStoppedError: Ctrl-C or the stop button.
        """
        name, asked = secrets.token_hex(8), _with_seed(settings)
        self._check(asked, batch=True)
        self.sweep()

        def take(rank: int, event: dict[str, Any]) -> None:
            if event["event"] == "batch" and on_counts is not None:
                on_counts(event["counts"], event["over"])

        request = {"generation": name, "prompts": list(prompts), "settings": asked.to_dict()}
        answers = self._operate("generate_batch", request, name, take)
        _check_alike(answers, lambda answer: [row["tokens"] for row in answer["rows"]])
        items = [_gather(row, answers, asked, streamed=False) for row in answers[0]["rows"]]
        generations = Generations(tuple(items), answers[0]["elapsed_s"])
        if any(one.finish_reason == "stopped" for one in items):
            raise BatchStoppedError(generations)
        return generations

    def sweep(self, chat: str = "") -> None:
        """Have the ranks free the caches of conversations that are over.

        Args:
            chat: one to keep that is just being gone on with.
        """
        if self.conversations.is_stale:
            ask_all(self._cluster, "keep_caches", {"names": [*self.conversations.names, chat]})
            self.conversations.told()

    def _check(self, settings: Settings, *, batch: bool = False) -> None:
        """Ask the ranks whether their caches can do it, where they may not.

        The ranks of a pipeline hold different layers: one that refused alone would leave the others waiting.
        """
        if batch or settings.kv_bits is not None or settings.max_kv_size is not None:
            request = {"settings": settings.to_dict(), "batch": batch}
            ask_all(self._cluster, "check_settings", request)

    def _operate(
        self, operation: str, request: dict[str, Any], name: str, take: Callable[[int, dict[str, Any]], None]
    ) -> dict[int, Any]:
        return self._cluster.operate(
            dict.fromkeys(range(self._cluster.world_size), (operation, request)),
            on_event=take,
            on_interrupt=lambda: _stop_in_step(self._cluster, name),
        )


def _with_seed(settings: Settings) -> Settings:
    return settings if settings.seed is not None else replace(settings, seed=secrets.randbelow(2**31))


def _check_alike(answers: dict[int, Any], what: Callable[[Any], Any]) -> None:
    """Ranks whose texts differ were in step by chance; what they hold cannot be gone on from."""
    first = what(answers[0])
    other = [rank for rank, answer in sorted(answers.items()) if what(answer) != first]
    if other:
        raise ModelError(
            f"rank {other[0]} wrote other tokens than rank 0",
            expected="the same tokens on every rank, from the same model and tokenizer files",
            cure="compare the model's files on the hosts; %cluster doctor compares their versions",
        )


def _gather(
    one: dict[str, Any], answers: dict[int, Any], settings: Settings, *, streamed: bool
) -> Generation:
    inside_s = [answers[rank]["communication_s"] for rank in sorted(answers)]
    return Generation(
        text=one["text"],
        tokens=one["tokens"],
        prompt_tokens=one["prompt_tokens"],
        prompt_tokens_per_s=one["prompt_tokens_per_s"],
        tokens_per_s=one["generation_tokens_per_s"],
        peak_memory_bytes=tuple(answers[rank]["peak_memory_bytes"] for rank in sorted(answers)),
        finish_reason=one["finish_reason"],
        seed=settings.seed or 0,
        temp=settings.temp,
        token_times_s=tuple(one["token_times_s"]),
        elapsed_s=tuple(answers[rank]["elapsed_s"] for rank in sorted(answers)),
        communication_s=tuple(inside_s) if None not in inside_s else (),
        cached_tokens=one["cached_tokens"],
        timeline=_timeline(one, answers),
        _streamed=streamed,
    )


def _timeline(one: dict[str, Any], answers: dict[int, Any]) -> Timeline | None:
    """Of a generation by itself; a batch has none."""
    recordings = [answers[rank].get("recording") for rank in sorted(answers)]
    return None if None in recordings else timeline_of(recordings, one["token_times_s"])


def _stop_in_step(cluster: Operator, generation: str) -> bool:
    """Stop all ranks after the same token, so that the group stays in step.

    Two rounds: every rank pauses and says how far it is or must still get; then all go on to
    the furthest of these and end there. No collective per token is needed for it.
    """
    reached = cluster.ask("freeze", {"generation": generation})
    if len(reached) < cluster.world_size:
        return False
    arguments = {"generation": generation, "stop_at": max(reached.values())}
    released = cluster.ask("release", arguments)
    return len(released) == cluster.world_size
