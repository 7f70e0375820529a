"""A language model that is sharded over the ranks of a cluster, as the user holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from kernelkit.errors import ArgumentError, NoModelError
from kernelkit.generation import Generation
from kernelkit.generations import Generations
from kernelkit.model import words
from kernelkit.model.chat import Chat, check_history
from kernelkit.model.checking import LONG_TOKENS, Subject, check
from kernelkit.model.content import content_digest
from kernelkit.model.generating import OnCounts, OnProgress, OnText, Writer
from kernelkit.model.loading import Layout, Strategy, load
from kernelkit.model.operator import OnEvent, Operator, ask_all
from kernelkit.settings import Settings, check_text
from kernelkit.sharding.check import ModelCheck
from kernelkit.sharding.memory import MemoryMap
from kernelkit.sharding.merge import memory_map, shard_map
from kernelkit.sharding.shardmap import ShardMap


class ShardedModel:
    """A loaded model. Made by `Cluster.load`.

    Attributes:
        name: what was asked for.
        path: its folder on the ranks' host.
        layout: how it lies on the ranks: strategy, split, quantization, context.
        summaries: per rank, what it holds: layers, heads, dtype, bytes.
    """

    def __init__(
        self,
        cluster: Operator,
        name: str,
        path: str,
        layout: Layout,
        summaries: dict[int, dict[str, Any]],
    ) -> None:
        self._cluster = cluster
        self._loaded = True
        self._writer = Writer(cluster)
        self._heir: ShardedModel | None = None
        self._shards: ShardMap | None = None
        self.name = name
        self.path = path
        self.layout = layout
        self.summaries = summaries

    @classmethod
    def load(
        cls,
        cluster: Operator,
        name: str,
        layout: Layout,
        on_event: OnEvent,
        on_read: Callable[[], None],
        called: str = "",
    ) -> ShardedModel:
        """As `loading.load` does it."""
        path, layout, summaries = load(cluster, name, layout, on_event, on_read)
        return cls(cluster, called or name, path, layout, summaries)

    @property
    def strategy(self) -> Strategy:
        """`tensor`, `pipeline` or `hybrid`."""
        return self.layout.strategy

    @overload
    def generate(
        self,
        prompt: str,
        max_tokens: int = ...,
        *,
        on_text: OnText | None = ...,
        on_progress: OnProgress | None = ...,
        **settings: Any,
    ) -> Generation: ...
    @overload
    def generate(
        self,
        prompt: list[str] | tuple[str, ...],
        max_tokens: int = ...,
        *,
        on_counts: OnCounts | None = ...,
        **settings: Any,
    ) -> Generations: ...
    def generate(
        self,
        prompt: str | list[str] | tuple[str, ...],
        max_tokens: int = 256,
        *,
        on_text: OnText | None = None,
        on_progress: OnProgress | None = None,
        on_counts: OnCounts | None = None,
        **settings: Any,
    ) -> Generation | Generations:
        """Generate text on all ranks in step, for one prompt or for a list of them at once.

        A batch runs through mlx-lm's batches, 32 prompts at a time: greedy texts are those of one prompt
        after the other, as far as the rounding of larger products lets them; drawn texts are others.

        Args:
            prompt: the user's message, or several of them that know nothing of each other; the model's chat
                template is put around each where it has one.
            max_tokens: at most so many new tokens, for each prompt.
            on_text: is given the text as it comes.
            on_progress: is told some times a second how far it is, from the prompt on.
            on_counts: the same of a batch: tokens of each prompt so far, and how many prompts are done.
            settings: `temp`, `top_p`, `top_k`, `min_p`, `repetition_penalty`, `repetition_context_size`,
                `seed`, `stop`, `system`, `raw`, `record`, `prefill_step_size`, `max_kv_size`, `kv_bits`,
                `kv_group_size`, `quantized_kv_start`: see `kernelkit.settings.Settings`.

                `record` measures how long each rank is inside collectives, waiting for the slowest rank
                included (`Generation.communication_s`). Each collective then runs alone, where it is called:
                the tokens are the same, but nothing overlaps: on two CPU ranks SmolLM2 decoded no slower, a
                tiny pipeline (2 ms a token) a quarter slower; on GPUs it was not measured.

        Raises:
            ArgumentError: a setting out of range, or one that the model's caches cannot follow (`kv_bits` and
                `max_kv_size` where a model makes its own; both in a batch).
            NoModelError: the model was unloaded.
            CellInterruptedError: Ctrl-C or the stop button; `partial` holds what there was by then.
        """
        self._check_loaded()
        chosen = Settings.of({"max_tokens": max_tokens, **settings})
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if not isinstance(prompts, list | tuple) or not prompts:
            raise ArgumentError("there is no prompt", expected="some text, or a list of it", got=repr(prompt))
        for one in prompts:  # the ranks would see the chat template's tokens
            if not isinstance(one, str) or not one:
                raise ArgumentError("there is no prompt", expected="some text", got=repr(one))
            check_text(one, "the prompt")
        if isinstance(prompt, str):
            if on_counts is not None:
                raise ArgumentError("on_counts is of a batch", cure="on_progress, or a list of prompts")
            return self._writer.generate(prompt, chosen, on_text=on_text, on_progress=on_progress)
        if on_text is not None or on_progress is not None:
            raise ArgumentError("on_text and on_progress are of one prompt", cure="on_counts for a batch")
        if chosen.kv_bits is not None:
            raise ArgumentError("mlx-lm does not quantize the caches of a batch", cure="one prompt at a time")
        if chosen.max_kv_size is not None:
            # Its batches of rotating caches do not keep a prompt's first tokens, as those of one prompt do.
            raise ArgumentError(
                "mlx-lm bounds the caches of a batch in another way", cure="one prompt at a time"
            )
        return self._writer.generate_batch(prompts, chosen, on_counts=on_counts)

    def chat(self, system: str = "", *, history: Sequence[Mapping[str, str]] = (), **settings: Any) -> Chat:
        """Begin a conversation, or go on with one: the ranks keep its KV cache between the answers.

        Args:
            system: the system's message; empty for the chat template's own, if it has one.
            history: `messages` of another chat; a system's message among them counts where `system` is empty.
            settings: of every answer, unless `send` is given others.

        Raises:
            ArgumentError: a setting out of range, or a history that is none.
            NoModelError: the model was unloaded.
        """
        self._check_loaded()
        said = check_history(history)
        if said and said[0]["role"] == "system":
            system, said = system or said[0]["content"], said[1:]
        return Chat(self._writer_now, Settings.of({"system": system, **settings}), said)

    def _writer_now(self) -> Writer:
        """Of this model, or of the one that a recovery loaded in its place."""
        model = self
        while model._heir is not None:
            model = model._heir
        model._check_loaded()
        return model._writer

    @property
    def shards(self) -> ShardMap:
        """Which rank holds what, from the arrays that the ranks really hold; asked once, then kept.

        Raises:
            NoModelError: it was not asked while the ranks held the model.
            ClusterBusyError: something runs on the ranks.
        """
        if self._shards is None:
            self._shards = shard_map(self._ask_all("shards"), self.name)
        return self._shards

    @property
    def memory(self) -> MemoryMap:
        """What fits beside the weights on each rank, as it is now.

        Raises:
            NoModelError: the model was unloaded.
            ClusterBusyError: something runs on the ranks.
        """
        self._check_loaded()
        self._writer.sweep()
        return memory_map(self._ask_all("memory"), self.shards)

    @property
    def content(self) -> str:
        """SHA-256 over the model's files as the hosts have them now, 64 hexadecimal digits.

        Two models with the same one have the same weights, config and tokenizer, whatever they are called and
        wherever they lie. All files are read once, which takes a while of large ones.

        Raises:
            NoModelError: the model was unloaded.
            ModelError: the hosts have different files.
            ClusterBusyError: something runs on the ranks.
        """
        self._check_loaded()
        return content_digest(self._cluster, self.name)

    def check(
        self,
        prompts: Sequence[str] = (),
        *,
        long: int = LONG_TOKENS,
        max_tokens: int = 16,
        on_event: OnEvent = lambda rank, event: None,
    ) -> ModelCheck:
        """Whether this model equals the unsharded one: all parameters there, the same tokens and logits.

        Rank 0 runs the unsharded model layer by layer, from the files, so that about one layer of it is in
        memory beside the sharded one. A short prompt and a long one are run, and `prompts`; they go to the
        model as they are, without a chat template.

        Args:
            prompts: more texts to check.
            long: tokens of the long prompt, less where the model was made for less; 0 leaves it out.
            max_tokens: to be generated greedily after each prompt.
            on_event: called with each rank's progress.

        Returns:
            A result that is true if all is equal, and says what differs if not.

        Raises:
            ArgumentError: no such number of tokens, or a prompt that is too long for the model.
            DoesNotFitError: rank 0 has no room for one layer beside its part.
            ModelNotFoundError: rank 0's host lacks some of the model's files.
            NoModelError: the model was unloaded.
            CellInterruptedError: Ctrl-C or the stop button; the model is still there.
        """
        self._check_loaded()
        subject = Subject(self.name, self.path, self.layout.quantize, self.layout.dtype, self.summaries[0])
        return check(self._cluster, subject, prompts, long, max_tokens, on_event)

    def _ask_all(self, operation: str) -> dict[int, Any]:
        self._check_loaded()
        return ask_all(self._cluster, operation)

    def _check_loaded(self) -> None:
        if not self._loaded:
            raise NoModelError("the ranks do not hold this model any more", cure="%model load PATH_OR_HF_ID")

    @property
    def loaded(self) -> bool:
        """Whether the ranks hold it."""
        return self._loaded

    def forget(self) -> None:
        """The ranks do not hold it any more: another one was loaded, or they are gone."""
        self._loaded = False

    def succeed(self, heir: ShardedModel) -> None:
        """New ranks hold the same model as `heir`: chats with this one go on with that one."""
        self._heir = heir

    def unload(self) -> None:
        """Free the weights on every rank. Safe to call twice."""
        if self._loaded:
            self._loaded = False
            ask_all(self._cluster, "unload")

    def __repr__(self) -> str:
        return words.as_text(self.name, self.strategy, self.summaries)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/plain": repr(self),
            "text/html": words.as_html(self.name, self.strategy, self.summaries),
        }
