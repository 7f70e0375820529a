"""Whether the ranks together hold the whole model: every parameter owned once, or on every rank by intent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from kernelkit.sharding.paths import layer_and_module
from kernelkit.sharding.pieces import REPLICATED, WHOLE, Parameter
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.units import format_bytes

_NAMED = 3  # so many parameters of one kind of problem are named


@dataclass(frozen=True)
class Coverage:
    """What the ranks hold, against what the model's files say there is.

    Attributes:
        parameters, layers: of the files.
        file_bytes: of all parameters, each once, in the dtype that they have in memory.
        held_bytes: on all ranks together.
        padding_bytes: of these, zeros that were added so that sizes divide.
        copy_bytes: of these, what is there more than once by intent: replicated parameters, repeated
            KV heads.
        problems: sentences; none where all is there.
    """

    parameters: int
    layers: int
    file_bytes: int
    held_bytes: int = 0
    padding_bytes: int = 0
    copy_bytes: int = 0
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        if self.problems:
            return "; ".join(self.problems)
        more = [
            f"{format_bytes(size)} of {what}"
            for size, what in ((self.padding_bytes, "padding"), (self.copy_bytes, "copies"))
            if size
        ]
        held = " + ".join([format_bytes(self.file_bytes), *more])
        return f"all {self.parameters} parameters of {self.layers} layers are there: {held}"


def cover(shards: ShardMap, stored: Sequence[Mapping[str, Any]], world_size: int) -> Coverage:
    """Hold what the ranks have against the full list of parameters.

    Args:
        shards: of the ranks' real parameters.
        stored: of each parameter that the files make, its `path`, `shape` (list), `dtype` and `size_bytes`,
            as mlx-lm names them.
        world_size: how many ranks there are.
    """
    whole = {str(one["path"]): one for one in stored}
    held = {parameter.path: parameter for parameter in shards.parameters}
    problems = [
        *_listed("not on any rank", [path for path in whole if path not in held]),
        *_listed("not in the files", [path for path in held if path not in whole]),
    ]
    wrong: dict[str, list[str]] = {}
    held_bytes = padding_bytes = copy_bytes = 0
    for path, parameter in held.items():
        size = sum(piece.size_bytes for piece in parameter.pieces)
        padding = sum(piece.part_bytes(piece.padding, parameter.axis) for piece in parameter.pieces)
        held_bytes, padding_bytes = held_bytes + size, padding_bytes + padding
        if path not in whole:
            continue
        copy_bytes += max(0, size - padding - int(whole[path]["size_bytes"]))
        if problem := _problem(parameter, whole[path], world_size):
            wrong.setdefault(problem, []).append(path)
    for problem, paths in wrong.items():
        problems += _listed(problem, paths)
    problems += _layer_problems(shards, whole)
    file_bytes = sum(int(one["size_bytes"]) for one in stored)
    if not problems and held_bytes != file_bytes + padding_bytes + copy_bytes:
        problems.append(f"the ranks hold {held_bytes} bytes, less than the model's {file_bytes}")
    numbered = {layer_and_module(path)[0] for path in whole} - {None}
    return Coverage(
        len(whole), len(numbered), file_bytes, held_bytes, padding_bytes, copy_bytes, tuple(problems)
    )


def _problem(parameter: Parameter, stored: Mapping[str, Any], world_size: int) -> str:
    """What is wrong with one parameter, in words; nothing where all of it is there."""
    if prod(parameter.shape) != prod(stored["shape"]):
        return "of another shape than in the files"
    if parameter.dtype != stored["dtype"]:
        return f"{parameter.dtype} in place of {stored['dtype']}"
    pieces = parameter.pieces
    if parameter.cut == WHOLE and len(pieces) != 1:
        return f"on {len(pieces)} ranks in place of one"
    if parameter.cut == REPLICATED and len(pieces) != world_size:
        return f"on {len(pieces)} of {world_size} ranks"
    if parameter.axis is None:
        if any(piece.shape != parameter.shape for piece in pieces):
            return "there in part only"
        return ""
    real = sum(piece.shape[parameter.axis] - piece.padding - piece.repeated for piece in pieces)
    if len(pieces) != world_size or real != parameter.shape[parameter.axis]:
        return f"cut into pieces that make {real} of {parameter.shape[parameter.axis]}"
    return ""


def _layer_problems(shards: ShardMap, whole: Mapping[str, Any]) -> list[str]:
    """Layers that no rank runs, or of a pipeline more than one."""
    runs = [0] * shards.layers
    for start, end in shards.layer_ranges:
        for layer in range(start, end):
            runs[layer] += 1
    wanted = 1 if shards.strategy == "pipeline" else shards.world_size
    wrong = [layer for layer, ranks in enumerate(runs) if ranks != wanted]
    present = {found for path in whole if (found := layer_and_module(path)[0]) is not None}
    problems = [f"layer {layer} runs on {runs[layer]} ranks, not on {wanted}" for layer in wrong[:_NAMED]]
    absent = sorted(present - set(range(shards.layers)))
    return problems + [f"layer {layer} is run by no rank" for layer in absent[:_NAMED]]


def _listed(problem: str, paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return [f"{problem}: {', '.join(paths[:_NAMED])}{more}"]
