"""Two records side by side: what differs between them, and whether the one's tokens are the other's again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.experiments.parts import Written
from kernelkit.experiments.record import Experiment
from kernelkit.experiments.sheet import Fact, Row, Sheet, Strip
from kernelkit.experiments.words import clock, cluster_conditions, conditions, figure_text, figures

_ABSENT = "none"


def compare(a: Experiment | str | Path, b: Experiment | str | Path) -> Comparison:
    """Two records of one experiment, or the files that they were saved in.

    Raises:
        ArgumentError: they are of different experiments, or a file holds no record.
    """
    first, second = _record(a), _record(b)
    if first.name != second.name:
        raise ArgumentError(
            "these are records of different experiments",
            expected=f"two of {first.name}",
            got=second.name,
            cure="give experiments that are to be compared one name, and what varies as a parameter",
        )
    return Comparison(first, second)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two records of one experiment.

    Attributes:
        first, second: the records.
    """

    first: Experiment
    second: Experiment

    @property
    def differences(self) -> tuple[Fact, ...]:
        """The conditions that are not the same in both, in words; times and results are none."""
        one, other = dict(conditions(self.first)), dict(conditions(self.second))
        return tuple(
            Fact(name, (one.get(name, _ABSENT), other.get(name, _ABSENT)))
            for name in {**one, **other}
            if one.get(name) != other.get(name)
        )

    @property
    def same_cluster(self) -> bool:
        """Whether ranks, hosts, devices and what runs there are the same; False without a cluster."""
        both = [tuple(cluster_conditions(record)) for record in (self.first, self.second)]
        return both[0] == both[1] and bool(self.first.places)

    @property
    def reproduced(self) -> bool | None:
        """Whether all greedy texts have the same tokens in both; None where no text is greedy in both."""
        greedy = [pair for pair in self._pairs() if pair[0].greedy and pair[1].greedy]
        if not greedy:
            return None
        return all(one.generation.tokens == other.generation.tokens for one, other in greedy)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What differs, which results stand alone, and of every text whether its tokens are the same."""
        return tuple(_sentences(self))

    @property
    def sheet(self) -> Sheet:
        """All that is shown of it."""
        a, b = self.first, self.second
        title = f"{a.name}: {clock(a.began)} UTC and {clock(b.began)} UTC"
        one = {text.name: text for text in a.texts}
        other = {text.name: text for text in b.texts}
        strips = [_strip(name, one.get(name), other.get(name)) for name in {**one, **other}]
        return Sheet(
            title, ("first", "second"), tuple(_rows(a, b)), tuple(strips), self.differences, self.sentences
        )

    def _pairs(self) -> list[tuple[Written, Written]]:
        others = {text.name: text for text in self.second.texts}
        return [(text, others[text.name]) for text in self.first.texts if text.name in others]

    def __repr__(self) -> str:
        return self.sheet.as_text()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.sheet.as_html()}


def agreement(one: Written, other: Written) -> str:
    """What is to be said of the tokens of a text in two records."""
    a, b = one.generation.tokens, other.generation.tokens
    greedy = one.greedy and other.greedy
    kind = "greedy tokens" if greedy else "drawn tokens" if not one.greedy | other.greedy else "tokens"
    if a == b:
        return f"{kind} are {'reproduced exactly' if greedy else 'the same'}, all {len(a)}"
    alike = next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), None)
    if alike is None:
        return f"{kind} are the same as far as both go: {len(a)} and {len(b)}"
    return f"{kind} differ from number {alike + 1} on, of {len(a)} and {len(b)}"


def _sentences(both: Comparison) -> Iterator[str]:
    names = [fact.name for fact in both.differences]
    where = "The cluster is the same" if both.same_cluster else "The cluster is not the same"
    if not both.first.places and not both.second.places:
        where = "There is no cluster in either"
    if names:
        yield f"{where}; what differs: {', '.join(names)}."
    else:
        yield f"{where}, and nothing that was recorded differs but times and results."
    codes = (both.first.code, both.second.code)
    if not names and not all(code.commit and not code.untracked for code in codes):
        yield "Whether the code is the same is not known: no git commit has all of it."
    yield from _unmatched(both.first, both.second)
    for one, other in both._pairs():
        yield f"{one.name}: the {agreement(one, other)}."
    if both.reproduced is False and not names:
        yield "Nothing that was recorded explains it."
    for record, which in ((both.first, "first"), (both.second, "second")):
        if record.error:
            yield f"The {which} broke off: {record.error}."


def _unmatched(a: Experiment, b: Experiment) -> Iterator[str]:
    """Results that cannot be compared: only one record has them, or they have other units."""
    one, other = (_kinds(record) for record in (a, b))
    for name in {**one, **other}:
        if name not in one or name not in other:
            yield f"{name}: only in the {'first' if name in one else 'second'}."
        elif one[name] != other[name]:
            yield f"{name}: {one[name]} in the first and {other[name]} in the second, so not compared."


def _kinds(record: Experiment) -> dict[str, str]:
    """Of each result by its name what it is."""
    kinds = {one.name: "plain" if one.unit == "1" else f"in {one.unit}" for one in record.figures}
    kinds.update((text.name, "a text") for text in record.texts)
    return kinds | ({"links as measured": "measured"} if record.links is not None else {})


def _rows(a: Experiment, b: Experiment) -> Iterator[Row]:
    one, other = ({(figure.name, figure.unit, chart): figure for chart, figure in figures(x)} for x in (a, b))
    for key in {**one, **other}:
        both = (one.get(key), other.get(key))
        values = tuple(figure.values if figure else () for figure in both)
        words = tuple(figure_text(figure) if figure else "" for figure in both)
        ratio = ""
        if all(values) and median(values[0]):
            ratio = f"{median(values[1]) / median(values[0]):.2f}"
        yield Row(*key, values, words, ratio)


def _strip(name: str, one: Written | None, other: Written | None) -> Strip:
    tokens = tuple(tuple(text.generation.tokens) if text else () for text in (one, other))
    if one is None or other is None:
        return Strip(name, tokens, f"only in the {'second' if one is None else 'first'}")
    return Strip(name, tokens, agreement(one, other))


def _record(given: Any) -> Experiment:
    return given if isinstance(given, Experiment) else Experiment.load(given)
