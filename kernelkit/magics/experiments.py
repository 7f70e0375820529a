"""`%experiment`: an experiment over several cells, with the notebook's variables as its parameters."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError
from kernelkit.magics import show

if TYPE_CHECKING:
    from kernelkit.cluster import Cluster
    from kernelkit.experiments import Comparison, Experiment, Run

_SHOWN_CHARS = 60


def begin(cluster: Cluster | None, names: dict[str, Any], words: Sequence[str]) -> Run:
    """Begin an experiment.

    Args:
        cluster: the notebook's, if there is one.
        names: the notebook's variables.
        words: the experiment's name, then variables.

    Raises:
        ArgumentError: a variable is not there or not JSON-like; or another experiment has not ended.
    """
    from kernelkit.experiments import Run, experiment

    name, *variables = words
    bound = names.get("run")
    if isinstance(bound, Run) and not bound.ended:
        cure = "%experiment end, or %experiment drop to give it up"
        raise ArgumentError(f"the experiment {bound.name} has not ended yet", cure=cure)
    if bound is not None and not isinstance(bound, Run):
        cure = f"give it another name, or hold the run by another: mine = kernelkit.experiment({name!r})"
        raise ArgumentError("the name run is a variable of yours", got=type(bound).__name__, cure=cure)
    parameters = {variable: _value(names, variable) for variable in variables}
    on = cluster if cluster is not None and cluster.state != "stopped" else None
    run = experiment(name, parameters, cluster=on)
    told = ", ".join(f"{key} = {value!r:.{_SHOWN_CHARS}}" for key, value in run.parameters.items())
    show.say(f"{name} has begun" + (f": {told}" if told else "") + "; run.record(NAME, RESULT, unit=UNIT)")
    return run


def end(names: Mapping[str, Any], flags: Mapping[str, Any]) -> Experiment:
    """End the experiment, and save the record if a file is named.

    Raises:
        ArgumentError: none runs.
    """
    record = _running(names).end()
    show.save(record, flags)
    return record


def drop(names: dict[str, Any]) -> None:
    """Give the experiment up.

    Raises:
        ArgumentError: none runs.
    """
    show.say(f"{_running(names).name} is given up; there is no record of it")
    del names["run"]


def compare(names: Mapping[str, Any], words: Sequence[str]) -> Comparison:
    """Two records, each a variable of the notebook or a file.

    Raises:
        ArgumentError: they are not two, or no records of one experiment.
    """
    from kernelkit.experiments import Experiment, compare

    if len(words) != 2:
        expected = "two files or variables, such as first.json second.json"
        raise ArgumentError("%experiment compare takes two records", expected=expected, got=" ".join(words))
    # A variable of another type is no record: the word may still name a file.
    one, other = (
        value if isinstance(value := names.get(word), Experiment) else _file(names, word) for word in words
    )
    return compare(one, other)


def _file(names: Mapping[str, Any], word: str) -> str:
    """The word, if a file has that name."""
    from kernelkit.experiments import Experiment

    if os.path.exists(os.path.expanduser(word)):  # noqa: PTH110, PTH111 (pathlib raises for ~nobody)
        return word
    if word in names:
        problem = f"the variable {word} is no record of an experiment, and no file has that name"
        raise ArgumentError(problem, expected="an Experiment", got=type(names[word]).__name__)
    records = [name for name, value in names.items() if isinstance(value, Experiment)]
    near = difflib.get_close_matches(word, records, n=1)
    cure = f"did you mean {near[0]}?" if near else "save a record with %experiment end --save FILE"
    raise ArgumentError(f"neither a variable nor a file has the name {word}", cure=cure)


def _running(names: Mapping[str, Any]) -> Run:
    from kernelkit.experiments import Run

    bound = names.get("run")
    if not isinstance(bound, Run) or bound.ended:
        raise ArgumentError("no experiment runs", cure="%experiment begin NAME [VARIABLE...]")
    return bound


def _value(names: Mapping[str, Any], variable: str) -> Any:
    if variable not in names:
        near = difflib.get_close_matches(variable, names, n=1)
        cure = f"did you mean {near[0]}?" if near else "bind it in a cell before this one"
        raise ArgumentError(f"the notebook has no variable {variable!r}", cure=cure)
    return names[variable]
