"""`kernelkit.experiment`: an experiment while it runs, and the record at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError
from kernelkit.experiments import checkout, facts
from kernelkit.experiments.given import as_parameters, as_values, check_name, seeds_in
from kernelkit.experiments.parts import Figure, Model, Written
from kernelkit.experiments.record import Experiment
from kernelkit.generation import Generation
from kernelkit.generations import Generations

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster
    from kernelkit.model import ShardedModel


def experiment(
    name: str, parameters: Mapping[str, Any] | None = None, /, *, cluster: Cluster | None = None, **named: Any
) -> Run:
    """Begin an experiment.

    `with kernelkit.experiment("decode", prompt=prompt, seed=1) as run:` ends it with the block, and
    `run.finished` is its record; `run.end()` ends it without one.

    Args:
        name: what is tried; records of one name can be compared.
        parameters: JSON-like, by name; `named` are more of them. One that is called `seed` or `..._seed` is
            among the record's seeds.
        cluster: where it runs; by default the one that is connected. Without any, none is recorded.

    Raises:
        ArgumentError: no name, a value that is not JSON-like, or several clusters to choose from.
        ModelError: a model is loaded, and the hosts have different files of it.
    """
    check_name(name, "an experiment")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ArgumentError("parameters are given by name", expected="a dictionary", got=repr(parameters))
    return Run(name, as_parameters({**(parameters or {}), **named}), facts.find_cluster(cluster))


class Run:
    """An experiment that runs. Made by `kernelkit.experiment`.

    What it runs on is asked at the beginning, and its model whenever a text is recorded.

    Attributes:
        name: of the experiment.
        parameters: as they were given, JSON-like.
    """

    def __init__(self, name: str, parameters: dict[str, Any], cluster: Cluster | None) -> None:
        self.name = name
        self.parameters = parameters
        self._began, self._began_s = _now(), time.monotonic()
        self._cluster = cluster
        self._figures: list[Figure] = []
        self._texts: list[Written] = []
        self._models: list[Model] = []
        self._known: list[ShardedModel] = []
        self._finished: Experiment | None = None
        self._places = facts.places_of(cluster) if cluster is not None else ((), ())
        self._backend = cluster.backend if cluster is not None else ""
        self._code, self._versions = checkout.look(), facts.versions_here()
        self._model_now()

    def record(self, name: str, result: Any, unit: str | None = None) -> None:
        """Keep a result.

        Args:
            name: of the result, once in an experiment.
            result: a number; a list of them, of a measurement that was repeated; or what `model.generate`
                gave, while its model is loaded: it is kept whole, a batch as one text for each prompt.
            unit: of the numbers, such as `tokens/s`, `s`, `B`; `1` for plain ones. Texts have none.

        Raises:
            ArgumentError: the name is taken, the result is none, or the unit is missing.
            ModelError: the hosts have different files of the model.
        """
        self._check_open()
        check_name(name, "a result")
        if isinstance(result, Generation | Generations):
            if unit is not None:
                raise ArgumentError(f"{name} is a text, which has no unit", got=repr(unit))
            several = isinstance(result, Generations)
            texts = list(result) if isinstance(result, Generations) else [result]
            names = [f"{name} {number}" for number in range(len(texts))] if several else [name]
            self._check_new(names)
            model = self._model_now()
            self._texts += [Written(*both, model) for both in zip(names, texts, strict=True)]
        else:
            values = as_values(name, result, unit)
            self._check_new([name])
            self._figures.append(Figure(name, values, str(unit)))

    def end(self) -> Experiment:
        """End the experiment, and return its record.

        Raises:
            ArgumentError: it has ended before.
            ModelError: the hosts have different files of the model.
        """
        self._check_open()
        if not self._texts and self._cluster is not None and self._cluster.state == "idle":
            self._model_now()
        return self._end("")

    @property
    def finished(self) -> Experiment:
        """The record.

        Raises:
            ArgumentError: the experiment has not ended yet.
        """
        if self._finished is None:
            raise ArgumentError(f"the experiment {self.name} has not ended yet", cure="run.end()")
        return self._finished

    @property
    def ended(self) -> bool:
        """Whether there is a record."""
        return self._finished is not None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self.ended:
            return
        if error is None:
            self.end()
        else:
            self._end(f"{type(error).__name__}: {error}".strip(": ").splitlines()[0])

    def __repr__(self) -> str:
        results = len(self._figures) + len(self._texts)
        state = "ended" if self.ended else "running"
        return f"<Run: {self.name}, {state}, {results} result{'' if results == 1 else 's'}>"

    def _end(self, error: str) -> Experiment:
        places, hosts = self._places
        models, texts = self._used()
        drawn = {one.name: one.generation.seed for one in self._texts if not one.greedy}
        self._finished = Experiment(
            self.name,
            self._began,
            _now(),
            time.monotonic() - self._began_s,
            self.parameters,
            {**seeds_in(self.parameters), **drawn},
            tuple(self._figures),
            self._versions,
            self._code,
            models,
            self._backend,
            places,
            hosts,
            self._cluster.measured if self._cluster is not None else None,
            error,
            texts,
        )
        return self._finished

    def _used(self) -> tuple[tuple[Model, ...], tuple[Written, ...]]:
        """The models that wrote, and the texts with the numbers that these have now.

        Where no model wrote, all that were seen: figures may be of them.
        """
        wrote = sorted({one.model for one in self._texts if one.model is not None})
        if not wrote:
            return tuple(self._models), tuple(self._texts)
        texts = [
            replace(one, model=None if one.model is None else wrote.index(one.model)) for one in self._texts
        ]
        return tuple(self._models[number] for number in wrote), tuple(texts)

    def _model_now(self) -> int | None:
        """The number of the model that is loaded; one that was not seen yet is asked what it is."""
        model = self._cluster.model if self._cluster is not None else None
        if model is None or not model.loaded:
            return None
        for number, known in enumerate(self._known):
            if known is model:
                return number
        self._models.append(facts.model_of(model))
        self._known.append(model)
        return len(self._known) - 1

    def _check_open(self) -> None:
        if self.ended:
            raise ArgumentError(
                f"the experiment {self.name} has ended", cure="kernelkit.experiment(NAME, ...)"
            )

    def _check_new(self, names: list[str]) -> None:
        taken = {*(one.name for one in self._figures), *(one.name for one in self._texts)}
        for name in names:
            if name in taken:
                cure = "another name, or a list of all values at once"
                raise ArgumentError(f"the result {name} was recorded before", cure=cure)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
