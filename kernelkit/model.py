"""A language model that is sharded over the ranks of a cluster, as the user holds it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from kernelkit.errors import ArgumentError, NoModelError
from kernelkit.generation import Generation, GenerationStoppedError
from kernelkit.units import format_bytes
from kernelkit.views.table import html_table, text_table

Strategy = Literal["tensor", "pipeline"]
OnEvent = Callable[[int, dict[str, Any]], None]
OnText = Callable[[str], None]

_COLUMNS = ("rank", "layers", "heads", "KV heads", "dtype", "weights")


class Operator(Protocol):
    """What a model needs of the cluster: run the ranks' own operations."""

    @property
    def world_size(self) -> int: ...

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        on_event: OnEvent = ...,
        on_interrupt: Callable[[], bool] | None = ...,
    ) -> dict[int, Any]: ...

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]: ...


class ShardedModel:
    """A loaded model. Made by `Cluster.load`.

    Attributes:
        name: what was asked for.
        path: its folder on the ranks' host.
        strategy: `tensor` or `pipeline`.
        summaries: per rank, what it holds: layers, heads, dtype, bytes.
    """

    def __init__(
        self,
        cluster: Operator,
        name: str,
        path: str,
        strategy: Strategy,
        summaries: dict[int, dict[str, Any]],
    ) -> None:
        self._cluster = cluster
        self._loaded = True
        self.name = name
        self.path = path
        self.strategy = strategy
        self.summaries = summaries

    @classmethod
    def load(
        cls, cluster: Operator, name: str, strategy: Strategy, on_event: OnEvent, called: str = ""
    ) -> ShardedModel:
        """Find the files on one rank, then load every rank's shard at the same time."""
        if strategy not in ("tensor", "pipeline"):
            raise ArgumentError("unknown strategy", expected="tensor or pipeline", got=repr(strategy))
        path = cluster.operate({0: ("resolve", {"name": name})}, on_event=on_event)[0]
        arguments = {"path": path, "strategy": strategy}
        requests = dict.fromkeys(range(cluster.world_size), ("load", arguments))
        return cls(cluster, called or name, path, strategy, cluster.operate(requests, on_event=on_event))

    def generate(
        self,
        prompt: str,
        max_tokens: int = 256,
        *,
        temp: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        raw: bool = False,
        on_text: OnText | None = None,
    ) -> Generation:
        """Generate text on all ranks in step.

        Args:
            prompt: the user's message; the model's chat template is put around it where it has one.
            max_tokens: at most so many new tokens.
            temp: 0 takes the likeliest token each time; above it, tokens are drawn.
            top_p: draw among the likeliest tokens that together have this probability.
            seed: of the drawing, alike on every rank; one is chosen and reported if it is None.
            raw: leave the chat template out.
            on_text: is given the text as it comes.

        Raises:
            ArgumentError: a setting out of range.
            NoModelError: the model was unloaded.
            CellInterruptedError: Ctrl-C or the stop button; `partial` holds what there was by then.
        """
        if not self._loaded:
            raise NoModelError("the ranks do not hold this model any more", cure="%model load PATH_OR_HF_ID")
        if not isinstance(prompt, str) or not prompt:  # the ranks would see the chat template's tokens
            raise ArgumentError("there is no prompt", expected="some text", got=repr(prompt))
        seed = secrets.randbelow(2**31) if seed is None else seed
        sampling = {"temp": temp, "top_p": top_p, "seed": seed}
        name = secrets.token_hex(8)
        arguments = {"generation": name, "prompt": prompt, "max_tokens": max_tokens, "raw": raw, **sampling}

        def take(rank: int, event: dict[str, Any]) -> None:
            if event["event"] == "text" and on_text is not None:
                on_text(event["text"])

        answers = self._cluster.operate(
            dict.fromkeys(range(self._cluster.world_size), ("generate", arguments)),
            on_event=take,
            on_interrupt=lambda: self._stop_in_step(name),
        )
        generation = self._gather(answers, seed, temp, streamed=on_text is not None)
        if generation.finish_reason == "stopped":
            raise GenerationStoppedError(generation)
        return generation

    @staticmethod
    def _gather(answers: dict[int, Any], seed: int, temp: float, *, streamed: bool) -> Generation:
        first = answers[0]
        return Generation(
            text=first["text"],
            tokens=first["tokens"],
            prompt_tokens=first["prompt_tokens"],
            prompt_tokens_per_s=first["prompt_tokens_per_s"],
            tokens_per_s=first["generation_tokens_per_s"],
            peak_memory_bytes=tuple(answers[rank]["peak_memory_bytes"] for rank in sorted(answers)),
            finish_reason=first["finish_reason"],
            seed=seed,
            temp=temp,
            _streamed=streamed,
        )

    def forget(self) -> None:
        """The ranks do not hold it any more: another one was loaded, or they are gone."""
        self._loaded = False

    def unload(self) -> None:
        """Free the weights on every rank. Safe to call twice."""
        if self._loaded:
            self._loaded = False
            self._cluster.operate(dict.fromkeys(range(self._cluster.world_size), ("unload", {})))

    def _stop_in_step(self, generation: str) -> bool:
        """Stop all ranks after the same token, so that the group stays in step.

        Two rounds: every rank pauses and says how far it is or must still get; then all go on to
        the furthest of these and end there. No collective per token is needed for it.
        """
        reached = self._cluster.ask("freeze", {"generation": generation})
        if len(reached) < self._cluster.world_size:
            return False
        arguments = {"generation": generation, "stop_at": max(reached.values())}
        released = self._cluster.ask("release", arguments)
        return len(released) == self._cluster.world_size

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for rank, part in self.summaries.items():
            start, end = part["layer_range"]
            share = self._cluster.world_size if self.strategy == "tensor" else 1
            rows.append(
                (
                    str(rank),
                    f"{start}-{end - 1}",
                    str(part["heads_padded"] // share),
                    str(part["kv_heads_padded"] // share),
                    part["dtype"],
                    format_bytes(part["weight_bytes"]),
                )
            )
        return rows

    def _title(self) -> str:
        part = next(iter(self.summaries.values()))
        ranks = self._cluster.world_size
        over = f"{self.strategy} parallel over {ranks} ranks" if ranks > 1 else "on one rank"
        return f"{self.name} ({part['model_type']}, {part['layers']} layers), {over}"

    def _padding(self) -> str:
        part = next(iter(self.summaries.values()))
        if part["heads_padded"] == part["heads"]:
            return ""
        return (
            f"Padded with zero heads so that they divide: {part['heads']} → {part['heads_padded']} heads, "
            f"{part['kv_heads']} → {part['kv_heads_padded']} KV heads"
        )

    def __repr__(self) -> str:
        table = text_table(_COLUMNS, self._rows())
        return "\n".join(filter(None, [self._title(), table, self._padding()]))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        captions = filter(None, [self._title(), self._padding()])
        return {"text/plain": repr(self), "text/html": html_table(_COLUMNS, self._rows(), *captions)}
