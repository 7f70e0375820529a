"""A prediction beside what came out: of one generation on the cluster that the prediction is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from kernelkit.generation import Generation
from kernelkit.jsonfile import Stored
from kernelkit.perf.result import Plan, Term
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_rate, format_seconds

_COLUMNS = ("what", "predicted", "measured", "measured / predicted")
_COLLECTIVE = ("latency", "transfer")
_RATE, _TIME = "tokens/s", "s"
# As near as two runs of the same are to each other on a machine that does nothing else.
_NEAR = 0.1
# A first token takes what is not foretold too: the prompt's tokens are found, all ranks are told to begin.
_FAR = 1.5
_HINT = " --record tells computing and collectives apart."


@dataclass(frozen=True)
class Pair:
    """One figure.

    Attributes:
        what: it is.
        predicted, measured: in `unit`.
        unit: `tokens/s` or `s`.
    """

    what: str
    predicted: float
    measured: float
    unit: str

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured / self.predicted


@dataclass(frozen=True, repr=False)
class Beside(Stored):
    """A generation's figures beside their predictions.

    Attributes:
        model: what it is called.
        pairs: decode speed first.
        sentence: which part of the prediction is off, or why that cannot be told.
    """

    _key = "kernelkit_beside"
    _name = "comparison"

    model: str
    pairs: tuple[Pair, ...]
    sentence: str

    def check(self) -> None:
        """Refuse what has no ratio.

        Raises:
            ValueError: it names the figure.
        """
        for pair in self.pairs:
            if not pair.predicted > 0 or pair.measured < 0:
                raise ValueError(f"{pair.what}: {pair.measured} beside {pair.predicted}")

    def __repr__(self) -> str:
        return "\n".join([text_table(_COLUMNS, self._rows()), self.sentence])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = html_table(_COLUMNS, self._rows(), "predicted from the calibration, and measured")
        return {"text/plain": repr(self), "text/html": f"{html}<div>{escape(self.sentence)}</div>"}

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (pair.what, _figure(pair.predicted, pair), _figure(pair.measured, pair), f"{pair.ratio:.2f}")
            for pair in self.pairs
        ]


def beside(generation: Generation, expect: Callable[[int], Plan]) -> Beside | None:
    """Put what came out beside what the plans say; None where too few tokens came to measure a speed.

    Args:
        generation: of one prompt; one that was recorded tells computing and collectives apart.
        expect: the plan at a context.
    """
    new, prompt = len(generation.tokens), generation.prompt_tokens - generation.cached_tokens
    # The first token belongs to the prompt's reading.
    if new < 2 or prompt < 1 or not generation.token_times_s:
        return None
    reading, writing = expect(prompt), expect(generation.prompt_tokens + new // 2)
    rate, first_s = writing.decode_tokens_per_s, reading.time_to_first_token_s
    if rate is None or first_s is None:
        return None
    pairs = [
        Pair("decode", rate.mid, generation.tokens_per_s, _RATE),
        Pair("first token", first_s.mid, generation.time_to_first_token_s, _TIME),
    ]
    parts = _parts(generation, reading, writing)
    hint = "" if parts or writing.strategy == "pipeline" or len(writing.ranks) == 1 else _HINT
    return Beside(writing.model, (*pairs, *parts), _sentence(pairs[0], pairs[1], parts) + hint)


def _parts(generation: Generation, reading: Plan, writing: Plan) -> list[Pair]:
    """Of the whole call computing and collectives; none where it was not recorded.

    A collective ends when all have come: the rank that waits least shows what it takes by itself. A
    pipeline's ranks wait for each other's layers inside theirs, which tells nothing of the collectives.
    """
    if not generation.communication_s or len(writing.ranks) == 1 or writing.strategy == "pipeline":
        return []
    steps = len(generation.tokens) - 1
    shared_s, own_s = (
        _sum(reading.prefill_terms, shared) + steps * _sum(writing.terms, shared) for shared in (True, False)
    )
    inside_s = min(generation.communication_s)
    whole_s = max(generation.elapsed_s)
    return [
        Pair("computing, in all", own_s, whole_s - inside_s, _TIME),
        Pair("collectives, in all", shared_s, inside_s, _TIME),
    ]


def _sum(terms: tuple[Term, ...], shared: bool) -> float:
    return sum(term.time_s.mid for term in terms if (term.cause in _COLLECTIVE) == shared)


def _sentence(decode: Pair, first: Pair, parts: list[Pair]) -> str:
    told = _of_decoding(decode, parts)
    if not 1 / _FAR <= first.ratio <= _FAR:
        told += f" The first token took {first.ratio:.1f} times as long as foretold."
    return told


def _of_decoding(decode: Pair, parts: list[Pair]) -> str:
    if abs(decode.ratio - 1) <= _NEAR:
        return "The prediction of decoding holds."
    told = f"It is {'slower' if decode.ratio < 1 else 'faster'} than predicted"
    if not parts:
        return f"{told}."
    worst = max(parts, key=lambda pair: abs(pair.measured - pair.predicted))
    off_s = abs(worst.measured - worst.predicted)
    more = "longer" if worst.measured > worst.predicted else "shorter"
    return f"{told}: {worst.what.partition(',')[0]} took {format_seconds(off_s)} {more} than foretold."


def _figure(value: float, pair: Pair) -> str:
    return format_rate(value, "tokens") if pair.unit == _RATE else format_seconds(value)
