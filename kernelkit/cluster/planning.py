"""Plans for the very cluster that is connected: from its calibration and its ranks' memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit.catalog import find_model
from kernelkit.errors import ArgumentError
from kernelkit.generation import Generation
from kernelkit.hosts.calibration import Calibration
from kernelkit.model import ShardedModel
from kernelkit.model.beside import Beside, beside
from kernelkit.model.operator import Operator, ask_all
from kernelkit.perf.own import own_ground
from kernelkit.perf.planning import What, plan_on
from kernelkit.perf.result import OWN_QUANTIZATION
from kernelkit.sharding.quantization import Quantization, config_quantization, parse_quantization

if TYPE_CHECKING:
    from kernelkit.perf.result import Plan, Strategy

_CONTEXT = 4096


def plan_model(
    cluster: Operator,
    calibration: Calibration | None,
    model: str | Path | Mapping[str, Any],
    strategy: Strategy,
    quantization: str | Mapping[str, Any] | None,
    context: int,
    batch: int,
    split: Sequence[int] | None,
) -> Plan:
    """Of a model that need not be there.

    Raises:
        ArgumentError: the cluster is not calibrated; or as `plan`.
    """
    measured = _measured(calibration)
    config, name = find_model(model)
    how, words = _quantization(quantization, config, measured)
    ground = own_ground(measured, _limits(cluster), how)
    return plan_on(ground, What(config, name, how, words, strategy, context, batch, split))


def plan_loaded(
    cluster: Operator, calibration: Calibration | None, model: ShardedModel, context: int = _CONTEXT
) -> Plan:
    """Of the model that is loaded, as it lies on the ranks.

    Raises:
        ArgumentError: the cluster is not calibrated, or there is no plan for a hybrid.
        ModelShardError: the architecture is not known.
    """
    return _Loaded(cluster, calibration, model).at(context)


def compare(
    cluster: Operator, calibration: Calibration | None, model: ShardedModel, generation: Generation
) -> Beside | None:
    """A generation with the model that is loaded, beside its prediction; see `beside`."""
    return beside(generation, _Loaded(cluster, calibration, model).at)


class _Loaded:
    """A model on the ranks; the same at every context."""

    def __init__(self, cluster: Operator, calibration: Calibration | None, model: ShardedModel) -> None:
        if model.strategy == "hybrid":
            raise ArgumentError(
                "there is no plan for a hybrid of stages and tensor parallelism",
                expected="a model that is loaded as tensor or pipeline",
                cure="kk.simulate(kk.Job.planned(MODEL, ON, stages=N), NETWORK), on machines of the catalog",
            )
        settings = model.summaries[0]["quantization_in_memory"]
        dtype = model.summaries[0]["dtype"]
        how = replace(parse_quantization(settings), dtype=dtype)
        words = json.dumps(settings) if settings else dtype
        config = cluster.operate({0: ("model_config", {})})[0]
        self._ground = own_ground(_measured(calibration), _limits(cluster), how)
        split = _split(model)
        self._what = What(config, model.name, how, words, model.strategy, _CONTEXT, split=split)

    def at(self, context: int) -> Plan:
        """The plan with so many tokens in the caches."""
        return plan_on(self._ground, replace(self._what, context=context))


def _split(model: ShardedModel) -> tuple[int, ...] | None:
    if model.strategy == "pipeline":
        return tuple(end - start for start, end in model.shards.layer_ranges)
    shares = tuple(model.summaries[0]["shares"])
    return None if len(set(shares)) == 1 else shares


def _quantization(
    asked: str | Mapping[str, Any] | None, config: Mapping[str, Any], calibration: Calibration
) -> tuple[Quantization, str]:
    """What is meant, and how a plan spells it; by default as ranks load it (`rank/precision.py`)."""
    if asked is not None:
        how = parse_quantization(asked)
        words = asked if isinstance(asked, str) else json.dumps(dict(asked))
        return (replace(how, dtype=_dtype(calibration, True)) if _packs(how) else how), words
    how = config_quantization(config)
    on_cpu = calibration.ranks[0].of("float32") is not None
    if on_cpu or not _packs(how):
        dtype = _dtype(calibration, False)
        return Quantization(dtype=dtype), dtype
    return replace(how, dtype=_dtype(calibration, True)), OWN_QUANTIZATION


def _packs(how: Quantization) -> bool:
    return how != Quantization(dtype=how.dtype)


def _dtype(calibration: Calibration, packed: bool) -> str:
    """Of activations: of those that were measured the first, beside packed weights bfloat16 if it is one."""
    kinds = [speed.kind for speed in calibration.ranks[0].kinds]
    return "bfloat16" if packed and "bfloat16" in kinds else kinds[0]


def _measured(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise ArgumentError("this cluster's speed was not measured yet", cure="%cluster calibrate")
    return calibration


def _limits(cluster: Operator) -> list[dict[str, Any]]:
    return [facts for _, facts in sorted(ask_all(cluster, "device").items())]
