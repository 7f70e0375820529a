"""What a simulated run has to do: seconds of computing by rank, and messages, of one step of decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelkit.amounts import check_amount, check_whole
from kernelkit.catalog import find_model, parse_nodes
from kernelkit.errors import ArgumentError, DoesNotFitError
from kernelkit.perf.devices import Device, device
from kernelkit.perf.estimate import Setting, token_cost
from kernelkit.perf.placing import Load, Model, place
from kernelkit.perf.work import RankWork, item_bytes
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.quantization import parse_quantization


@dataclass(frozen=True)
class Job:
    """One step of decoding, cut over ranks: stages of layers, and in each stage ranks that share every layer.

    One stage is tensor parallelism, as many stages as ranks a pipeline, others a hybrid of both. The first
    layers lie on the last ranks, as in MLX LM.

    Attributes:
        layers: of each stage, in the order of the layers.
        layer_s: by rank, seconds of computing of its part of one layer, an average one.
        head_s: by rank, of its part of what follows the layers.
        message_bytes: of the array that an all_sum adds up, and that goes from stage to stage.
        sums_per_layer: all_sums; they divide a layer's computing evenly.
        batch: sequences at once, in each micro-batch.
        name: what it is, for titles.
    """

    layers: tuple[int, ...]
    layer_s: tuple[float, ...]
    head_s: tuple[float, ...]
    message_bytes: float
    sums_per_layer: int = 2
    batch: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        ranks, stages = len(self.layer_s), len(self.layers)
        if not stages or ranks % stages or len(self.head_s) != ranks or not ranks:
            expected = "layer_s and head_s of each rank, and as many ranks in each stage"
            got = f"{stages} stages, {ranks} and {len(self.head_s)} ranks"
            raise ArgumentError("the job does not fit together", expected=expected, got=got)
        for name, values in (("layer_s", self.layer_s), ("head_s", self.head_s)):
            for value in values:
                check_amount(name, value)
        check_amount("message_bytes", self.message_bytes)
        for layers in self.layers:
            check_whole("layers of a stage", layers)
        check_whole("sums_per_layer", self.sums_per_layer, least=0)
        check_whole("batch", self.batch)

    @property
    def world_size(self) -> int:
        """How many ranks."""
        return len(self.layer_s)

    @property
    def stages(self) -> int:
        """1 for tensor parallelism, as many as ranks for a pipeline."""
        return len(self.layers)

    @property
    def ranks_per_stage(self) -> int:
        """That share every layer of a stage."""
        return self.world_size // self.stages

    @classmethod
    def even(
        cls,
        world_size: int,
        layers: int,
        layer_s: float,
        message_bytes: float,
        *,
        head_s: float = 0.0,
        stages: int = 1,
        sums_per_layer: int = 2,
        batch: int = 1,
        name: str = "",
    ) -> Job:
        """All ranks alike.

        Args:
            layer_s: of one layer on one rank alone; the ranks of a stage divide it.
            head_s: of what follows the layers, divided likewise.
        """
        for what, count in (("world_size", world_size), ("layers", layers), ("stages", stages)):
            check_whole(what, count)
        for what, time_s in (("layer_s", layer_s), ("head_s", head_s)):
            check_amount(what, time_s)
        if not 1 <= stages <= min(world_size, layers) or world_size % stages:
            expected = "a divisor of the number of ranks, at most as many as layers"
            raise ArgumentError("the ranks do not make up such stages", expected=expected, got=str(stages))
        many = world_size // stages
        return cls(
            _dealt(layers, stages),
            (layer_s / many,) * world_size,
            (head_s / many,) * world_size,
            message_bytes,
            sums_per_layer,
            batch,
            name,
        )

    @classmethod
    def planned(
        cls,
        model: str | Path | Mapping[str, Any],
        on: str | Sequence[str] = "4xm3-ultra-512",
        nodes: int | None = None,
        *,
        stages: int = 1,
        quantization: str | Mapping[str, Any] = "4bit",
        context: int = 4096,
        batch: int = 1,
    ) -> Job:
        """A model of the catalog on its machines, by the likely figures that `kernelkit.plan` reckons with.

        Args:
            model, on, nodes, quantization, context, batch: as of `kernelkit.plan`.
            stages: 1 for tensor parallelism, as many as machines for a pipeline.

        Raises:
            ArgumentError, ModelShardError: it cannot be cut that way, or a chip lacks figures.
            DoesNotFitError: some machine lacks the memory.
        """
        for what, count in (("stages", stages), ("context", context), ("batch", batch)):
            check_whole(what, count)
        config, name = find_model(model)
        whole, load = Model(anatomy(config), parse_quantization(quantization)), Load(context, batch)
        machines = parse_nodes(on, nodes)
        count, layers = len(machines), len(whole.anatomy.layers)
        if not 1 <= stages <= min(count, layers) or count % stages:
            expected = "a divisor of the number of machines, at most as many as layers"
            raise ArgumentError("the machines do not make up such stages", expected=expected, got=str(stages))
        many = count // stages
        works = [place(whole, machines[i : i + many], "tensor", load).works for i in range(0, count, many)]
        parts = [work for stage in works for work in stage]
        for node, work in zip(machines, parts, strict=True):
            kept = batch * work.kv_bytes(context, whole.how.dtype, None)
            needed = (work.held_bytes - work.outside.held_bytes + kept) / stages + work.outside.held_bytes
            if needed > node.working_set_bytes:
                what = (
                    f"{name} does not fit on {count} machines: {node.name} would need {needed / 1e9:.0f} GB"
                )
                raise DoesNotFitError(what, expected=f"up to {node.working_set_bytes / 1e9:.0f} GB")
        devices = [_device(node.chip.key, device(node.chip, whole.how)) for node in machines]
        found = [_seconds(whole, work, each, load) for work, each in zip(parts, devices, strict=True)]
        sums = sum((work.reduces + work.small_reduces) * times for work, times in parts[0].layers)
        return cls(
            _dealt(layers, stages),
            tuple(layer_s for layer_s, _ in found),
            tuple(head_s for _, head_s in found),
            batch * whole.anatomy.hidden * item_bytes(whole.how.dtype),
            round(sums / layers),
            batch,
            name,
        )


def _dealt(layers: int, stages: int) -> tuple[int, ...]:
    return tuple(layers * (i + 1) // stages - layers * i // stages for i in range(stages))


def _device(key: str, found: Device | None) -> Device:
    if found is None:
        raise ArgumentError(f"the catalog lacks figures of {key}", expected="memory bandwidth and compute")
    return found


def _seconds(whole: Model, work: RankWork, found: Device, load: Load) -> tuple[float, float]:
    """Of an average layer, and of what is outside the layers."""

    def cost(part: RankWork) -> float:
        run = Setting((part,), (found,), None, False, whole.anatomy.hidden, load.batch, whole.how.dtype)
        return token_cost(run, load.context).total.mid

    head_s = cost(RankWork((), work.outside))
    return (cost(work) - head_s) / sum(count for _, count in work.layers), head_s
