"""The record of an experiment: what was asked, where and with what it ran, and what came of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NoReturn, Self

from kernelkit.errors import ArgumentError
from kernelkit.experiments import words
from kernelkit.experiments.parts import Code, Figure, Host, Model, Place, Written
from kernelkit.experiments.sheet import Sheet
from kernelkit.fields import build
from kernelkit.generation import Generation
from kernelkit.hosts.linkreport import LinkReport
from kernelkit.jsonfile import Stored

_MOST = 1e18
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, repr=False)
class Experiment(Stored):
    """What an experiment was and gave. Made by `Run.end`, or at the end of `with kernelkit.experiment(...)`.

    Attributes:
        name: records of one name can be compared.
        began, ended: ISO 8601, UTC; `elapsed_s` lies between.
        parameters: by name, JSON-like.
        seeds: by the name of the parameter, or of the text that was drawn with it.
        figures: numbers with units, and `texts`: what models wrote, in the order in which they were recorded.
        models: those that wrote; of an experiment without texts those that were loaded.
        backend: MLX's, of the cluster; empty without one.
        places: of the ranks, and `hosts`: their machines.
        links: as `cluster.links()` measured them; None where it was not called.
        versions: of the notebook's own packages, by name.
        code: the git commit, and whether it is all of the code.
        error: how it broke off; empty where it ended well.
    """

    _key = "kernelkit_experiment"
    _name = "record of an experiment"

    name: str
    began: str
    ended: str
    elapsed_s: float
    parameters: Mapping[str, Any]
    seeds: Mapping[str, Any]
    figures: tuple[Figure, ...]
    versions: Mapping[str, Any]
    code: Code
    models: tuple[Model, ...] = ()
    backend: str = ""
    places: tuple[Place, ...] = ()
    hosts: tuple[Host, ...] = ()
    links: LinkReport | None = None
    error: str = ""
    texts: tuple[Written, ...] = field(default=())

    def figure(self, name: str) -> Figure:
        """A result by its name.

        Raises:
            ArgumentError: there is none of that name.
        """
        return next((one for one in self.figures if one.name == name), None) or _refuse(self.figures, name)

    def text(self, name: str) -> Written:
        """What a model wrote, by its name.

        Raises:
            ArgumentError: there is none of that name.
        """
        return next((one for one in self.texts if one.name == name), None) or _refuse(self.texts, name)

    @property
    def sheet(self) -> Sheet:
        """All that is shown of it."""
        return words.sheet_of(self)

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        for reason in _faults(self):
            raise ValueError(reason)
        if self.links is not None:
            self.links.check()

    def to_dict(self) -> dict[str, Any]:
        data = super().to_dict()
        data["texts"] = [
            {"name": one.name, "generation": one.generation.to_dict(), "model": one.model}
            for one in self.texts
        ]
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """What `to_dict` gave.

        Raises:
            ArgumentError: it is not that, or of another version, or its parts do not fit together.
        """
        given = cls._fields(data)
        texts = given.pop("texts", None)
        try:
            if not isinstance(texts, list):
                raise ValueError("texts is not a list")
            made = replace(build(cls, given), texts=tuple(_written(one) for one in texts))
            made.check()
        except ValueError as error:
            raise ArgumentError(f"the {cls._name} does not fit together", got=str(error)) from error
        return made

    def __repr__(self) -> str:
        return self.sheet.as_text()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.sheet.as_html()}


def _written(data: Any) -> Written:
    if not isinstance(data, dict) or data.keys() != {"name", "generation", "model"}:
        raise ValueError("a text is not an object of name, generation and model")
    name, model = data["name"], data["model"]
    if not isinstance(name, str) or not (model is None or type(model) is int):
        raise ValueError(f"a text has name {name!r:.50} and model {model!r:.50}")
    return Written(name, Generation.from_dict(data["generation"]), model)


def _faults(record: Experiment) -> Iterator[str]:
    """What does not fit together, in words."""
    if not record.name:
        yield "the name is empty"
    for when, said in (("began", record.began), ("ended", record.ended)):
        if not _is_moment(said):
            yield f"{when} is {said!r:.50}, not a moment such as 2026-01-31T12:00:00+00:00"
    if not 0 <= record.elapsed_s < math.inf:
        yield f"elapsed_s is {record.elapsed_s!r}"
    names = [*(one.name for one in record.figures), *(one.name for one in record.texts)]
    if len(names) != len(set(names)):
        yield "two results have one name"
    for figure in record.figures:
        if not figure.values or not figure.unit:
            yield f"{figure.name} has no value or no unit"
        if not all(abs(value) <= _MOST for value in figure.values):  # a NaN is not
            yield f"{figure.name} is not a finite number, or beyond {_MOST:g}"
    for text in record.texts:
        if text.model is not None and not 0 <= text.model < len(record.models):
            yield f"{text.name} is by model {text.model} of {len(record.models)}"
    for model in record.models:
        if not _SHA256.fullmatch(model.content):
            yield f"the content of {model.name} is {model.content!r:.70}, not 64 hexadecimal digits"
    if bool(record.places) != bool(record.backend):
        yield "a backend and the places of its ranks go together, and one of them is missing"
    hosts = [host.name for host in record.hosts]
    if {place.host for place in record.places} != set(hosts) or len(hosts) != len(set(hosts)):
        yield "the hosts are not those of the ranks"
    if not all(type(seed) is int for seed in record.seeds.values()):
        yield "a seed is not a whole number"
    if not all(isinstance(version, str) for version in record.versions.values()):
        yield "a version is not a text"


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _refuse(parts: Sequence[Figure] | Sequence[Written], name: str) -> NoReturn:
    known = ", ".join(part.name for part in parts) or "none: nothing of the kind was recorded"
    raise ArgumentError(f"the record has no result {name!r} of this kind", expected=known)
