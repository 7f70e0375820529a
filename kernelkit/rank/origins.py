"""How each array of a cut model comes from the tensors of its files: MLX's graph of it, as plain data.

Loading, padding and cutting are run once more with stand-ins for the tensors of the files, as one function
that MLX exports: it tells every operation with its arguments. Nothing is computed. Whatever an architecture
does to its weights on the way, such as stacking experts, is in that graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from kernelkit.errors import ModelNotFoundError

Make = Callable[[Mapping[str, mx.array]], Mapping[str, mx.array]]


@dataclass(frozen=True)
class Made:
    """An array that an operation makes.

    Attributes:
        operation: MLX's name of it, such as "Slice".
        arguments: as MLX exports them.
        inputs: names of arrays.
        index: which of its outputs it is.
        shape, dtype: of this output.
    """

    operation: str
    arguments: Sequence[Any]
    inputs: tuple[str, ...]
    index: int
    shape: tuple[int, ...]
    dtype: mx.Dtype


@dataclass(frozen=True)
class Origins:
    """The graph.

    Attributes:
        tensors: by name in the graph, the name of a tensor in the files.
        constants: by name in the graph, numbers that come from nowhere else.
        made: by name in the graph, what an operation makes.
        outputs: by path of a parameter, its name in the graph.
        shapes: by name in the graph; of `tensors` and `constants` too.
    """

    tensors: dict[str, str]
    constants: dict[str, mx.array]
    made: dict[str, Made]
    outputs: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def trace(tensors: Mapping[str, mx.array], make: Make) -> Origins:
    """Run `make` with stand-ins for `tensors`, and follow what it does.

    Args:
        tensors: by name in the files; they are not read.
        make: gives the parameters by path, from such tensors.

    Returns:
        Without outputs where MLX cannot tell: an architecture looks at the numbers of its weights, or brings
        them into form by an operation that is not exported.
    """
    paths: list[str] = []
    told: list[dict[str, Any]] = []

    def run(*stand_ins: mx.array) -> list[mx.array]:
        found = make(dict(zip(tensors, stand_ins, strict=True)))
        paths.extend(found)
        return list(found.values())

    export: Any = mx.export_function  # a callback is not in its annotation
    try:
        with _without_copies():
            export(told.append, run, *tensors.values())
    except (ValueError, ModelNotFoundError):  # from MLX, and what `build` makes of that
        return Origins({}, {}, {}, {}, {})
    return _origins(list(tensors), paths, told)


@contextmanager
def _without_copies() -> Iterator[None]:
    """MLX does not export `contiguous`, which changes where numbers lie and not which they are."""
    real: Any = mx.contiguous
    replaced: Any = mx
    replaced.contiguous = lambda array, *others, **options: array
    try:
        yield
    finally:
        replaced.contiguous = real


def _origins(names: list[str], paths: list[str], told: list[dict[str, Any]]) -> Origins:
    found = Origins({}, {}, {}, {}, {})
    for event in told:
        if event["type"] == "inputs":
            found.tensors.update(zip((name for name, *_ in event["inputs"]), names, strict=True))
            found.shapes.update({name: tuple(shape) for name, shape, _ in event["inputs"]})
        elif event["type"] == "outputs":
            found.outputs.update(zip(paths, (name for name, *_ in event["outputs"]), strict=True))
        elif event["type"] == "constants":
            found.constants.update(event["constants"])
            found.shapes.update({name: tuple(value.shape) for name, value in event["constants"]})
        elif event["type"] == "primitive":
            inputs = tuple(name for name, *_ in event["inputs"])
            for index, (name, shape, dtype) in enumerate(event["outputs"]):
                made = Made(event["name"], event["arguments"], inputs, index, tuple(shape), dtype)
                found.made[name] = made
                found.shapes[name] = made.shape
    return found
