"""How text is to be generated: one set of settings for all calls and magics, checked when it is made."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

from kernelkit.errors import ArgumentError

# In which the weights of a model can be in memory; see `kernelkit.model.loading.Layout`.
DTYPES = ("auto", "keep", "float32", "float16", "bfloat16")
KV_BITS = (2, 3, 4, 5, 6, 8)
KV_GROUP_SIZES = (32, 64, 128)
_LARGEST = 2**31 - 1  # MLX's sizes are of 32 bits


@dataclass(frozen=True)
class Settings:
    """Settings of a generation.

    Attributes:
        max_tokens: at most so many new tokens.
        temp: 0 takes the likeliest token each time; above it, tokens are drawn.
        top_p: draw among the likeliest tokens that together have this probability; 1 for all.
        top_k: draw among so many of the likeliest tokens; 0 for all.
        min_p: draw among tokens that have at least this part of the likeliest one's probability; 0 for all.
        repetition_penalty: weaken tokens that came before, by this factor; 1 for not.
        repetition_context_size: how many tokens back count as before.
        seed: of the drawing, alike on every rank; None lets one be chosen, and reported.
        stop: texts that end the answer where one of them would begin; a single string will do.
        system: what the chat template is given as the system's message; empty for the template's own.
        raw: leave the chat template out.
        record: time the collectives.
        prefill_step_size: how many tokens of the prompt are read at once; a stop takes effect in between.
        max_kv_size: the KV cache holds the first 4 and the newest tokens, so many together; None for all.
        kv_bits: keep keys and values in so many bits; None for as they are.
        kv_group_size: how many of them share a scale.
        quantized_kv_start: they are quantized from so many tokens on.

    Raises:
        ArgumentError: a value that is of another type, out of its range, or at odds with another.
    """

    max_tokens: int = 256
    temp: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_context_size: int = 20
    seed: int | None = None
    stop: tuple[str, ...] = ()
    system: str = ""
    raw: bool = False
    record: bool = False
    prefill_step_size: int = 2048
    max_kv_size: int | None = None
    kv_bits: int | None = None
    kv_group_size: int = 64
    quantized_kv_start: int = 5000

    def __post_init__(self) -> None:
        given: Any = (self.stop,) if isinstance(self.stop, str) else self.stop
        if not isinstance(given, list | tuple) or not all(isinstance(text, str) and text for text in given):
            raise ArgumentError(
                "a stop is no text", expected="one or more strings, none empty", got=repr(given)
            )
        object.__setattr__(self, "stop", tuple(given))
        if not isinstance(self.system, str):
            raise ArgumentError("system is no text", expected="a string", got=repr(self.system))
        for text in (*given, self.system):
            check_text(text, "a setting")
        for name in ("raw", "record"):
            if not isinstance(value := getattr(self, name), bool):
                raise ArgumentError(f"{name} is no switch", expected="True or False", got=repr(value))
        for name, (kind, fits, expected) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
                what = f"{name} is out of its range"
                raise ArgumentError(what, expected=expected, got=repr(value))
            # NumPy's numbers are welcome, but JSON does not know them.
            object.__setattr__(self, name, _PLAIN[kind](value))
        self._check_together()

    def _check_together(self) -> None:
        if self.kv_bits is not None and self.max_kv_size is not None:
            what = "a KV cache of limited size cannot be quantized"
            raise ArgumentError(what, expected="max_kv_size or kv_bits, not both")
        if self.raw and self.system:
            what = "a raw prompt has no place for a system message"
            raise ArgumentError(what, cure="leave raw out, or put the system's words into the prompt")

    @classmethod
    def of(cls, given: Mapping[str, Any], base: Settings | None = None) -> Settings:
        """`base`, or the defaults, with what is given by name.

        Raises:
            ArgumentError: a name that no setting has, or what the class says.
        """
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                cure = f"did you mean {near[0]}?" if near else ""
                raise ArgumentError(f"there is no setting {name!r}", expected=", ".join(names), cure=cure)
        return replace(base or cls(), **given)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like; `Settings(**data)` reads it."""
        return asdict(self)


def check_text(text: str, what: str) -> None:
    """See that a text can be sent to the ranks.

    Raises:
        ArgumentError: it holds half a character (a lone surrogate), which no UTF-8 can say.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        what = f"{what} holds half a character, at position {error.start}"
        raise ArgumentError(what, expected="text that UTF-8 can say", got=ascii(text[error.start])) from error


_PLAIN: dict[type, Callable[[Any], Any]] = {Integral: int, Real: float}
_OPTIONAL = {"seed", "max_kv_size", "kv_bits"}
_RANGES: dict[str, tuple[type, Callable[[Any], bool], str]] = {
    "max_tokens": (Integral, lambda value: value >= 1, "1 or more"),
    "temp": (Real, lambda value: 0 <= value < math.inf, "0 or more"),
    "top_p": (Real, lambda value: 0 < value <= 1, "above 0, up to 1"),
    "top_k": (Integral, lambda value: value >= 0, "1 or more, or 0 for all tokens"),
    "min_p": (Real, lambda value: 0 <= value <= 1, "0 to 1"),
    "repetition_penalty": (Real, lambda value: 0 < value < math.inf, "above 0; 1 for no penalty"),
    "repetition_context_size": (Integral, lambda value: 1 <= value <= _LARGEST, f"1 to {_LARGEST}"),
    "seed": (Integral, lambda value: 0 <= value < 2**63, "0 or more, below 2**63"),
    "prefill_step_size": (Integral, lambda value: value >= 1, "1 or more"),
    "max_kv_size": (Integral, lambda value: value > 4, "5 or more: the first 4 tokens are always held"),
    "kv_bits": (Integral, lambda value: value in KV_BITS, f"one of {', '.join(map(str, KV_BITS))}"),
    "kv_group_size": (
        Integral,
        lambda value: value in KV_GROUP_SIZES,
        f"one of {', '.join(map(str, KV_GROUP_SIZES))}",
    ),
    "quantized_kv_start": (Integral, lambda value: value >= 0, "0 or more"),
}
