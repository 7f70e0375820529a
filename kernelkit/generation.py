"""What one generation gave: text, tokens, when each came, speeds, memory; plain data, stored as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from kernelkit.errors import ArgumentError, CellInterruptedError
from kernelkit.jsonfile import Stored
from kernelkit.outputs.text import readable
from kernelkit.perf.timeline import Timeline
from kernelkit.units import format_bytes, format_rate, format_seconds

_ENDS = {"stop": "end of text", "stop_text": "stop text", "length": "max tokens", "stopped": "stopped"}


@dataclass(frozen=True)
class Generation(Stored):
    """What one call of `generate` gave.

    Attributes:
        text: the new text alone.
        tokens: its token ids.
        prompt_tokens: length of the prompt, chat template included.
        prompt_tokens_per_s: prefill speed, of the tokens that were read.
        tokens_per_s: decode speed.
        peak_memory_bytes: per rank, the most that MLX held at once.
        finish_reason: `stop` (end of text), `stop_text` (a text to stop at), `length` (max_tokens), `stopped`
            (by the user).
        seed: draws the same text again; plays no part at temperature 0.
        temp: temperature of the drawing.
        token_times_s: from the call to each token, by rank 0's clock.
        elapsed_s: per rank, the whole call.
        communication_s: per rank, inside collectives, waiting for the slowest rank included; empty unless it
            was recorded.
        cached_tokens: of the prompt, tokens that the ranks held already from the chat so far.
        timeline: what every rank did and when, where it was recorded.
    """

    _key = "kernelkit_generation"
    _name = "generation"

    text: str
    tokens: list[int]
    prompt_tokens: int
    prompt_tokens_per_s: float
    tokens_per_s: float
    peak_memory_bytes: tuple[int, ...]
    finish_reason: str
    seed: int
    temp: float = 0.0
    token_times_s: tuple[float, ...] = ()
    elapsed_s: tuple[float, ...] = ()
    communication_s: tuple[float, ...] = ()
    cached_tokens: int = 0
    timeline: Timeline | None = None
    _streamed: bool = field(default=False, repr=False, compare=False)

    @property
    def time_to_first_token_s(self) -> float:
        """From the call to the first token; not a number where no times are known."""
        return self.token_times_s[0] if self.token_times_s else math.nan

    @property
    def communication_share(self) -> tuple[float, ...]:
        """Per rank, the part of the whole call inside collectives, 0 to 1; empty if it was not recorded.

        Recording takes away the overlap of computing and communication: it is the share of a recorded call.
        """
        both = zip(self.communication_s, self.elapsed_s, strict=False)
        return tuple(inside_s / whole_s if whole_s > 0 else 0.0 for inside_s, whole_s in both)

    @property
    def finish(self) -> str:
        """Why it ended, in words."""
        return _ENDS.get(self.finish_reason, self.finish_reason)

    def to_dict(self) -> dict[str, Any]:
        data = super().to_dict()
        del data["_streamed"]
        data["timeline"] = None if self.timeline is None else self.timeline.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """What `to_dict` gave.

        Raises:
            ArgumentError: it is not that, or of another version.
        """
        given = {**_ADDED, **cls._fields(data)}  # files of earlier versions lack some
        if differing := given.keys() ^ _READ.keys():
            names = ", ".join(sorted(map(str, differing)))
            raise ArgumentError("the generation lacks a field, or has one too many", got=names)
        try:
            generation = cls(**{name: read(given[name]) for name, read in _READ.items()})
        except (TypeError, ValueError, OverflowError) as error:
            raise ArgumentError("a field of the generation cannot be read", got=str(error)) from error
        generation.check()
        return generation

    def check(self) -> None:
        times_s, ranks = self.token_times_s, len(self.peak_memory_bytes)
        rates = (self.prompt_tokens_per_s, self.tokens_per_s, self.temp)
        figures = (*rates, *times_s, *self.elapsed_s, *self.communication_s, *self.peak_memory_bytes)
        if not all(0 <= value < math.inf for value in figures):
            raise ArgumentError("a figure of the generation is negative or not finite")
        if not 0 <= self.cached_tokens <= self.prompt_tokens:
            raise ArgumentError(
                "more tokens of the prompt were kept than it has", got=str(self.cached_tokens)
            )
        if {len(self.elapsed_s), len(self.communication_s)} - {0, ranks}:
            raise ArgumentError("times of some ranks are missing", expected=f"of {ranks} ranks, or of none")
        if len(times_s) not in (0, len(self.tokens)) or list(times_s) != sorted(times_s):
            raise ArgumentError(
                "the token times do not fit the tokens", expected="one for each, in ascending order"
            )

    @property
    def summary(self) -> str:
        """Speeds, memory, and communication where it was recorded; two lines or three."""
        memory = ", ".join(format_bytes(size) for size in self.peak_memory_bytes)
        drawn = f"; seed {self.seed}" if self.temp > 0 else ""
        first = f", first token after {format_seconds(self.token_times_s[0])}" if self.token_times_s else ""
        kept = f" ({self.cached_tokens} of them kept)" if self.cached_tokens else ""
        count = len(self.tokens)
        rate = f", {format_rate(self.tokens_per_s, 'tokens')}" if self.tokens_per_s else ""
        shares = ", ".join(f"{share:.0%}" for share in self.communication_share)
        return (
            f"prompt {self.prompt_tokens} tokens{kept}, "
            f"{format_rate(self.prompt_tokens_per_s, 'tokens')}{first}; "
            f"generated {count} token{'' if count == 1 else 's'}{rate} "
            f"({self.finish})\n"
            f"peak memory per rank: {memory}{drawn}"
        ) + (f"\ntime in communication per rank: {shares}" if shares else "")

    def __repr__(self) -> str:
        return self.summary if self._streamed else f"{readable(self.text)}\n\n{self.summary}"


def _tuple_of(read: Callable[[Any], Any]) -> Callable[[Iterable[Any]], tuple[Any, ...]]:
    return lambda values: tuple(read(value) for value in values)


def _list_of_int(values: Iterable[Any]) -> list[int]:
    return [int(value) for value in values]


_READ: dict[str, Callable[[Any], Any]] = {
    "text": str,
    "tokens": _list_of_int,
    "prompt_tokens": int,
    "prompt_tokens_per_s": float,
    "tokens_per_s": float,
    "peak_memory_bytes": _tuple_of(int),
    "finish_reason": str,
    "seed": int,
    "temp": float,
    "token_times_s": _tuple_of(float),
    "elapsed_s": _tuple_of(float),
    "communication_s": _tuple_of(float),
    "cached_tokens": int,
    "timeline": lambda data: None if data is None else Timeline.from_dict(data),
}
_ADDED = {"cached_tokens": 0, "timeline": None}


@dataclass(frozen=True)
class Progress:
    """How far a generation is.

    Attributes:
        prompt_tokens: length of the prompt.
        prompt_done: how many of them the model has read; all of them once there is a token.
        token_times_s: from the call to each token so far, by rank 0's clock.
    """

    prompt_tokens: int = 0
    prompt_done: int = 0
    token_times_s: tuple[float, ...] = ()


class GenerationStoppedError(CellInterruptedError):
    """The user stopped the generation; every rank ended after the same token.

    Attributes:
        partial: what was generated by then.
    """

    def __init__(self, partial: Generation) -> None:
        count = len(partial.tokens)
        plural = "" if count == 1 else "s"
        super().__init__(f"stopped after {count} token{plural}; the cluster is still usable")
        self.partial = partial
