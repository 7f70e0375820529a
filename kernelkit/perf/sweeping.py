"""Many plans side by side: which is fastest, where more machines stop to help, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from kernelkit.catalog.links import link_kind
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.perf.planning import plan
from kernelkit.perf.result import Plan, Strategy
from kernelkit.perf.words import CAUSES, quantization_name
from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes, format_rate, format_seconds

_COLUMNS = (
    "machines",
    "link",
    "strategy",
    "decodes",
    "from",
    "to",
    "prompt",
    "first token",
    "least free",
    "most time",
)


@dataclass(frozen=True, repr=False)
class Sweep:
    """Plans of one model on several sets of machines.

    Attributes:
        plans: in the order in which they were asked for.
        refused: sentences on what cannot be run at all.
    """

    plans: tuple[Plan, ...]
    refused: tuple[str, ...] = ()

    @property
    def fastest(self) -> Plan | None:
        """The plan that decodes fastest; None where nothing is predicted."""
        return max((each for each in self.plans if _speed(each)), key=_speed, default=None)

    def line(self, link: str, strategy: str) -> tuple[Plan, ...]:
        """Plans over one link by one strategy, by the number of machines, a single one first."""
        found = [
            each for each in self.plans if each.nodes == 1 or (each.link, each.strategy) == (link, strategy)
        ]
        by_nodes = {each.nodes: each for each in found}
        return tuple(by_nodes[nodes] for nodes in sorted(by_nodes))

    def lines(self) -> dict[tuple[str, str], tuple[Plan, ...]]:
        """All of those, by link and strategy."""
        keys = dict.fromkeys((each.link, each.strategy) for each in self.plans if each.nodes > 1)
        return {key: self.line(*key) for key in keys}

    @property
    def alike(self) -> bool:
        """Whether they differ in machines' number, link and strategy alone: else no line joins them."""
        kinds = {each.on.partition("x")[2] if each.nodes > 1 else each.on for each in self.plans}
        rest = {(each.model, each.quantization, each.context, each.batch) for each in self.plans}
        return len(kinds) <= 1 and len(rest) <= 1

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which is fastest, and for each link and strategy where more machines make it slower, and why."""
        found = []
        if (best := self.fastest) is not None:
            how = f" over {best.link}, {best.strategy}" if best.nodes > 1 else ""
            found.append(
                f"{best.model or 'It'} decodes fastest on {best.on}{how}: "
                f"{format_rate(_speed(best), 'tokens')}."
            )
        elif self.plans and not any(each.fits for each in self.plans):
            largest = max(self.plans, key=lambda each: each.nodes)
            enough = [reason for reason in largest.reasons if reason.startswith("It fits on")]
            found.append(f"It fits on none of them. {' '.join(enough)}".rstrip())
        for (link, strategy), line in self.lines().items() if self.alike else ():
            if (sentence := _turn(link, strategy, line)) is not None:
                found.append(sentence)
        return (*found, *self.refused)

    def __repr__(self) -> str:
        rows = [_row(each) for each in self.plans]
        return "\n".join([self.title, text_table(_COLUMNS, rows), *(f"- {s}" for s in self.sentences)])

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, [_row(each) for each in self.plans], self.title, *self.sentences)

    @property
    def title(self) -> str:
        """Of what the plans are."""
        if not self.plans:
            return "no plan"
        first = self.plans[0]
        if not self.alike:
            return f"{len(self.plans)} plans"
        return f"{first.model or 'model'} {quantization_name(first)}, {first.context:,} tokens"


def sweep(
    model: str | Path | Mapping[str, Any],
    on: str = "m3-ultra-512",
    nodes: Iterable[int] = range(1, 9),
    links: Sequence[str | None] = (None,),
    strategies: Sequence[Strategy] = ("tensor", "pipeline"),
    **settings: Any,
) -> Sweep:
    """Plans of one model over numbers of machines, links and strategies.

    Args:
        model, on: as `plan` takes them, `on` a single machine.
        nodes: how many of it.
        links: keys of links; None is the fastest that is built in.
        settings: all else that `plan` takes.

    Raises:
        ArgumentError, ModelShardError: nothing of it can be run; the error is the first one's. What is no
            number and no kind of link is refused before anything is planned.
    """
    links = (links,) if links is None or isinstance(links, str) else links
    strategies = (strategies,) if isinstance(strategies, str) else strategies  # type: ignore[assignment]
    nodes = _counts(nodes)
    for name, several in (("nodes", nodes), ("links", links), ("strategies", strategies)):
        if not isinstance(several, Sequence) or not several:
            raise ArgumentError(f"a sweep needs {name}", expected="a list of one or more", got=repr(several))
    if unknown := settings.keys() - set(signature(plan).parameters) - {"link", "strategy"}:
        expected = ", ".join(signature(plan).parameters)
        raise ArgumentError("a sweep has no such setting", expected=expected, got=", ".join(sorted(unknown)))
    if singular := settings.keys() & {"link", "strategy"}:
        name = min(singular)
        plural = {"link": "links", "strategy": "strategies"}[name]
        raise ArgumentError(f"a sweep has no {name}", expected=f"{plural}=[...]", got=f"{name}=...")
    for named in filter(None, links):
        link_kind(named)
    plans, refusals = [], []
    for count in nodes:
        # A single machine has no link, and needs no strategy.
        for link in links if count > 1 else (None,):
            for strategy in strategies if count > 1 else strategies[:1]:
                try:
                    plans.append(plan(model, on, count, link, strategy, **settings))
                except (ArgumentError, ModelShardError) as error:
                    refusals.append((count, strategy, error))
    if not plans and refusals:
        raise refusals[0][2]
    return Sweep(tuple(plans), _refused(refusals))


def _counts(nodes: Any) -> tuple[int, ...]:
    given = tuple(nodes) if isinstance(nodes, Iterable) and not isinstance(nodes, str) else (None,)
    if not all(type(count) is int for count in given):
        raise ArgumentError(
            "these are no numbers of machines", expected="such as range(1, 5)", got=repr(nodes)
        )
    return given


def compare(plans: Iterable[Plan]) -> Sweep:
    """Plans that were made one by one, side by side.

    Raises:
        ArgumentError: something else is among them.
    """
    found = tuple(plans)
    if odd := [each for each in found if not isinstance(each, Plan)]:
        raise ArgumentError("this is no plan", expected="what kk.plan gives", got=repr(odd[0])[:80])
    return Sweep(found)


def _refused(refusals: Sequence[tuple[int, str, ArgumentError | ModelShardError]]) -> tuple[str, ...]:
    """Once for each reason, with the numbers of machines; a reason that names their number is one."""
    found: dict[tuple[str, str], tuple[str, set[int]]] = {}
    for count, strategy, error in refusals:
        key = (strategy, error.what.replace(str(count), ""))
        found.setdefault(key, (error.what, set()))[1].add(count)
    return tuple(
        f"Not with {_numbers(counts)} machines, {strategy}: {what}."
        for (strategy, _), (what, counts) in found.items()
    )


def _numbers(counts: set[int]) -> str:
    """`{9, 10, 11, 16} -> '9 to 11, 16'`."""
    runs: list[list[int]] = []
    for count in sorted(counts):
        if runs and count == runs[-1][-1] + 1:
            runs[-1].append(count)
        else:
            runs.append([count])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _speed(each: Plan) -> float:
    return each.decode_tokens_per_s.mid if each.decode_tokens_per_s else 0.0


def _turn(link: str, strategy: str, line: Sequence[Plan]) -> str | None:
    """At which number of machines more of them make a token slower, and what has grown by how much."""
    known = [each for each in line if _speed(each)]
    if len(known) < 2:
        return None
    best = max(known, key=_speed)
    more = [each for each in known if each.nodes > best.nodes]
    name = f"{strategy} over {link}"
    machines = f"{best.nodes} machine{'s' if best.nodes > 1 else ''}"
    fastest = f"{name}: fastest with {machines}, {format_rate(_speed(best), 'tokens')}"
    if not more:
        gain = _speed(best) / _speed(known[0])
        return f"{fastest}, {gain:.2f} times as fast as with {known[0].nodes}; with more it was not tried."
    grown, saved = _changes(best, more[0])
    return (
        f"{fastest}; with {more[0].nodes} a token loses {format_seconds(grown[1])} to {grown[0]}, and saves "
        f"{format_seconds(saved)} elsewhere."
    )


def _changes(before: Plan, after: Plan) -> tuple[tuple[str, float], float]:
    """The cause that has grown most, with its seconds, and what all others have shrunk by."""
    changes = [
        (CAUSES.get(one.cause, one.cause), two.time_s.mid - one.time_s.mid)
        for one, two in zip(before.terms, after.terms, strict=True)
    ]
    grown = max(changes, key=lambda change: change[1])
    return grown, max(0.0, -sum(change for name, change in changes if name != grown[0]))


def _row(each: Plan) -> tuple[str, ...]:
    speed, prompt, first = each.decode_tokens_per_s, each.prefill_tokens_per_s, each.time_to_first_token_s

    most = max(each.terms, key=lambda term: term.time_s.mid, default=None)
    unknown = "not known" if each.fits else "does not fit"
    return (
        each.on,
        each.link,
        each.strategy if each.nodes > 1 else "",
        *(
            [format_rate(value, "tokens") for value in (speed.mid, speed.low, speed.high)]
            if speed
            else [unknown, "", ""]
        ),
        format_rate(prompt.mid, "tokens") if prompt else "",
        format_seconds(first.mid) if first else "",
        format_bytes(min(each.free_bytes)),
        "" if most is None else CAUSES.get(most.cause, most.cause),
    )
