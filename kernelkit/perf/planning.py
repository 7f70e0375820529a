"""`plan`: what fits, how fast, and why, before anything is bought or loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelkit.catalog import LinkKind, Node, find_model, link_kind, parse_nodes
from kernelkit.errors import ArgumentError
from kernelkit.perf.asked import check_asked, check_load
from kernelkit.perf.collectives import Wire, backend_of, check_backend, wire
from kernelkit.perf.costs import Cost
from kernelkit.perf.devices import Device, device
from kernelkit.perf.enough import enough
from kernelkit.perf.estimate import Setting, prompt_cost, token_cost
from kernelkit.perf.placing import Load, Model, Placing, largest_context, place
from kernelkit.perf.ranges import Range
from kernelkit.perf.reasons import sentences
from kernelkit.perf.result import OWN_QUANTIZATION, Plan, Strategy, Term, quantization_of
from kernelkit.perf.uneven import faster
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.quantization import Quantization, config_quantization, parse_quantization

_MOST_MODELS = 64
_models: dict[tuple[str, str], Model] = {}


def plan(
    model: str | Path | Mapping[str, Any],
    on: str | Sequence[str] = "4xm3-ultra-512",
    nodes: int | None = None,
    link: str | None = None,
    strategy: Strategy = "tensor",
    quantization: str | Mapping[str, Any] | None = None,
    context: int = 4096,
    batch: int = 1,
    *,
    split: Sequence[int] | None = None,
    kv_bits: int | None = None,
    backend: str | None = None,
    fast_synch: bool = False,
) -> Plan:
    """What to expect of a model on some machines, one rank on each.

    Args:
        model: the key of a model in the catalog, a hub id, a folder, a `config.json`, or what is in it.
        on: machines, as `4xm3-ultra-512`, `m4-max-128,m3-ultra-256` or a list of such words.
        nodes: repeat a single machine this often instead.
        link: the key of a kind of link; by default the fastest that all machines have built in.
        strategy: `tensor`, each rank a part of every layer, or `pipeline`, each some layers.
        quantization: of the weights in memory, as `sharding.quantization.parse_quantization` takes it;
            by default as the model's own config says, and `4bit` where that says nothing.
        context: tokens in each sequence's caches while it is decoded, and of the prompt before.
        batch: sequences at once.
        split: shares of each layer, or layers, by rank; by default evenly, by memory where only that fits,
            and by the machines' bandwidth where that decodes faster.
        kv_bits: of quantized keys and values.
        backend: MLX's; by default the link's own. `jaccl-ring` for more than 8 ranks.
        fast_synch: whether the ranks run with `MLX_METAL_FAST_SYNCH=1`, which makes collectives faster and
            can wedge a Mac's GPU. kernelkit leaves it unset.

    Raises:
        ArgumentError: something asked for is not there, or a backend cannot do it; the error says which.
        ModelNotFoundError: there is no model of that name.
        ModelShardError: the architecture is not known, or cannot be cut that way.
    """
    check_asked(context, batch, strategy, kv_bits, fast_synch)
    check_backend(backend)
    config, name = find_model(model)
    words = _quantization_words(quantization, config)
    how = quantization_of(words, config)
    machines = parse_nodes(on, nodes)
    kind = _link(machines, link)
    used = "" if kind is None else backend_of(kind, backend, strategy, len(machines))
    ground = Ground(
        machines,
        [device(node.chip, how) for node in machines],
        kind.key if kind else "",
        kind.title if kind else "",
        used,
        None if kind is None else wire(kind, used, any(n.chip.is_apple for n in machines), fast_synch),
    )
    what = What(config, name, how, words, strategy, context, batch, split, kv_bits, fast_synch, True)
    return plan_on(ground, what)


@dataclass(frozen=True)
class Ground:
    """What a model is planned on.

    Attributes:
        machines: of the ranks, in order.
        devices: what each computes with; None where that is not known.
        link: key of what joins them, and its `title`; empty of a single machine.
        backend: MLX's, over that.
        line: the link as the backend uses it; None of a single machine, or where it is not known.
        source: a sentence on where its figures are from, if they are not the catalog's.
    """

    machines: Sequence[Node]
    devices: Sequence[Device | None]
    link: str
    title: str
    backend: str
    line: Wire | None
    source: str = ""


@dataclass(frozen=True)
class What:
    """What is planned; as the arguments of `plan`, with the model found and its quantization read.

    Attributes:
        by_speed: whether, without a split, faster machines get more where that is faster.
    """

    config: Mapping[str, Any]
    name: str
    how: Quantization
    quantization: str
    strategy: Strategy
    context: int
    batch: int = 1
    split: Sequence[int] | None = None
    kv_bits: int | None = None
    fast_synch: bool = False
    by_speed: bool = False


def plan_on(ground: Ground, what: What) -> Plan:
    """What to expect of a model on that ground.

    Raises:
        ArgumentError: something asked for cannot be.
        ModelShardError: the architecture is not known, or cannot be cut that way.
    """
    check_load(what.context, what.batch)
    text = json.dumps(what.config, sort_keys=True)
    whole, load = _model(text, what.how), Load(what.context, what.batch, what.kv_bits)
    placing, evenly = place(whole, ground.machines, what.strategy, load, what.split), None
    costs = _costs(whole, placing, ground, what)
    if what.by_speed and what.split is None:
        placing, costs, evenly = faster(
            whole,
            ground.machines,
            ground.devices,
            what.strategy,
            load,
            placing,
            lambda cut: _costs(whole, cut, ground, what),
        )
    longest = largest_context(whole, placing, load)
    least = None if placing.fits else enough(whole, ground.machines, ground.link, ground.backend, load)
    return Plan(
        what.name,
        _named(ground.machines),
        ground.link,
        ground.backend,
        what.strategy,
        what.quantization,
        what.context,
        what.batch,
        what.fast_synch,
        placing.ranks,
        *_speeds(costs, what.context, what.batch),
        _terms(costs[0]) if costs else (),
        _terms(costs[1]) if costs else (),
        longest,
        sentences(whole, ground, placing, costs, what, longest, least, evenly),
        text,
        placing.split,
        what.kv_bits,
        what.how.dtype,
    )


def forget() -> None:
    """Let go of what is kept for further plans of the same models."""
    _models.clear()


def _model(config: str, how: Quantization) -> Model:
    """Made once for many plans: what is dealt of it is kept by it."""
    key = (config, repr(how))
    if key not in _models:
        if len(_models) >= _MOST_MODELS:
            _models.clear()
        _models[key] = Model(anatomy(json.loads(config)), how)
    return _models[key]


def _link(machines: Sequence[Node], key: str | None) -> LinkKind | None:
    """What joins them; None of a single one.

    Raises:
        ArgumentError: a machine has no such port, or there is none that all have.
    """
    if len(machines) == 1:
        if key is not None:
            link_kind(key)
        return None
    built_in = [set(node.chip.links) for node in machines]
    if key is None:
        common = [each for each in machines[0].chip.links if all(each in ports for ports in built_in)]
        if not common:
            raise ArgumentError("no link is built into all machines", expected='such as link="10gbe"')
        return link_kind(common[0])
    kind = link_kind(key)
    # Ethernet and Wi-Fi can be had for any machine.
    if key.startswith(("tb", "nvlink")):
        for node, ports in zip(machines, built_in, strict=True):
            if key not in ports:
                expected = ", ".join(node.chip.links) or "Ethernet or Wi-Fi"
                raise ArgumentError(f"{node.name} has no {kind.title}", expected=expected, got=key)
    return kind


def _costs(model: Model, placing: Placing, ground: Ground, what: What) -> tuple[Cost, Cost] | None:
    """Of a token and of a prompt; None where it does not fit, or a figure is not known."""
    known = [each for each in ground.devices if each is not None]
    alone = len(ground.machines) == 1
    if not placing.fits or len(known) < len(ground.devices) or not (alone or ground.line):
        return None
    run = Setting(
        placing.works,
        known,
        ground.line,
        what.strategy == "pipeline",
        model.anatomy.hidden,
        what.batch,
        model.how.dtype,
        what.kv_bits,
    )
    return token_cost(run, what.context), prompt_cost(run, what.context)


def _speeds(
    costs: tuple[Cost, Cost] | None, context: int, batch: int
) -> tuple[Range | None, Range | None, Range | None]:
    if costs is None:
        return None, None, None
    token, prompt = (cost.total for cost in costs)
    return token.of_amount(batch), prompt.of_amount(batch * context), prompt


def _terms(cost: Cost) -> tuple[Term, ...]:
    return tuple(Term(cause, time_s) for cause, time_s in cost.named())


def _named(machines: Sequence[Node]) -> str:
    """As they are spelled: `2xm3-ultra-512, m4-max-128`."""
    words: list[tuple[str, int]] = []
    for node in machines:
        name = node.name.partition(" #")[0]
        if words and words[-1][0] == name:
            words[-1] = (name, words[-1][1] + 1)
        else:
            words.append((name, 1))
    return ", ".join(f"{count}x{name}" if count > 1 else name for name, count in words)


def _quantization_words(asked: str | Mapping[str, Any] | None, config: Mapping[str, Any]) -> str:
    """What is meant, as `quantization_of` reads it."""
    if asked is None:
        own = config.get("quantization")
        if not isinstance(own, str | Mapping):
            return "4bit" if config_quantization(config) == Quantization() else OWN_QUANTIZATION
        asked = own
    if not isinstance(asked, str | Mapping):
        parse_quantization(asked)
    return asked if isinstance(asked, str) else json.dumps(dict(asked))
