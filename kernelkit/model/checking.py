"""Check that a sharded model equals the unsharded one: ask the ranks step by step, judge what they answer."""

from __future__ import annotations

import base64
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernelkit.errors import ArgumentError, CellInterruptedError, ModelShardError
from kernelkit.model.operator import OnEvent, Operator, ask_all
from kernelkit.settings import check_text
from kernelkit.sharding.check import Coverage, LayerDifference, ModelCheck, PromptCheck
from kernelkit.sharding.coverage import cover
from kernelkit.sharding.merge import shard_map
from kernelkit.sharding.tolerance import Tolerance, rounding_tolerance

SHORT = "The capital of France is"
LONG_TOKENS = 2100
_MOST_TOKENS = 10_000_000  # more than any model reads
# Repeated until it is long enough.
LONG = (
    "Two machines lie side by side on a desk, joined by a single cable. One of them holds the first half "
    "of a story, the other one the second half, and neither could tell it alone. Whoever asks them a "
    "question gets one answer. "
)


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        name: what it is called.
        path: the folder on rank 0's host.
        quantize: bits that it was loaded with; None as in the file.
        dtype: that was asked for when it was loaded; see `Layout`.
        facts: rank 0's summary of it.
    """

    name: str
    path: str
    quantize: int | None
    dtype: str
    facts: Mapping[str, Any]


def check(
    cluster: Operator,
    subject: Subject,
    prompts: Sequence[str],
    long: int,
    max_tokens: int,
    on_event: OnEvent,
) -> ModelCheck:
    """Coverage first; then of each prompt greedy tokens, the unsharded model's answers, and the ranks'.

    Raises:
        ArgumentError: a setting that says nothing.
        CellInterruptedError: Ctrl-C or the stop button.
    """
    _check_settings(prompts, long, max_tokens)
    began_s = time.monotonic()
    asked = [(SHORT, None), *((text, None) for text in prompts), *([(LONG, long)] if long else [])]
    names = ["short", *(f"own {number}" for number in range(1, len(prompts) + 1)), "long"]
    about = {"path": subject.path, "quantize": subject.quantize, "dtype": subject.dtype}
    texts = [{"text": text, "tokens": tokens} for text, tokens in asked]
    plan = cluster.operate({0: ("plan_check", {**about, "prompts": texts, "max_tokens": max_tokens})})[0]
    coverage = _coverage(cluster, plan["parameters"], subject.name)
    found = []
    peak_bytes = 0
    if coverage:
        asking = _Asking(cluster, about, plan, subject.facts, on_event)
        for name, prompt in zip(names, plan["prompts"], strict=False):
            found.append(asking.prompt(name, prompt["ids"], max_tokens, prompt["note"]))
        peak_bytes = asking.peak_bytes
    facts = subject.facts
    return ModelCheck(
        subject.name,
        facts["model_type"],
        facts["strategy"],
        cluster.world_size,
        plan["dtype"],
        coverage,
        tuple(found),
        time.monotonic() - began_s,
        peak_bytes,
    )


def _check_settings(prompts: Sequence[str], long: int, max_tokens: int) -> None:
    listed = isinstance(prompts, list | tuple)
    if not listed or not all(isinstance(text, str) and text for text in prompts):
        raise ArgumentError("these are no prompts", expected="a list of texts", got=repr(prompts)[:80])
    for text in prompts:
        check_text(text, "a prompt")
    for name, value, least in (("long", long, 0), ("max_tokens", max_tokens, 1)):
        if type(value) is not int or not least <= value <= _MOST_TOKENS:
            expected = f"{least} to {_MOST_TOKENS:,}"
            raise ArgumentError(f"{name}: no number of tokens", expected=expected, got=repr(value))


def _coverage(cluster: Operator, stored: Sequence[Mapping[str, Any]], name: str) -> Coverage:
    """From the ranks' parameters as they are now."""
    try:
        return cover(shard_map(ask_all(cluster, "shards"), name), stored, cluster.world_size)
    except ModelShardError as error:
        file_bytes = sum(int(one["size_bytes"]) for one in stored)
        details = "; ".join(filter(None, [error.expected and f"expected {error.expected}", error.got]))
        problem = f"{error.what}: {details}" if details else error.what
        return Coverage(len(stored), 0, file_bytes, problems=(problem,))


class _Asking:
    """The way through one prompt after the other."""

    def __init__(
        self,
        cluster: Operator,
        about: Mapping[str, Any],
        plan: Mapping[str, Any],
        facts: Mapping[str, Any],
        on_event: OnEvent,
    ) -> None:
        self._cluster, self._about, self._plan, self._facts = cluster, about, plan, facts
        self._on_event = on_event
        self.peak_bytes = 0

    def prompt(self, name: str, ids: list[int], max_tokens: int, note: str) -> PromptCheck:
        """One prompt, from its greedy tokens to the verdict."""
        generated = self._ask_all("check_generate", name, ids=ids, max_tokens=max_tokens)
        tokens = generated[0]["tokens"]
        known = [*ids, *tokens]
        truth = self._ask_first("check_reference", name, ids=known[:-1])
        self.peak_bytes = max(self.peak_bytes, truth["peak_bytes"])
        answers = self._ask_all("check_compare", name, ids=known, prompt_tokens=len(ids))
        same = all(answer["tokens"] == tokens for answer in generated.values())
        found, worst = judge(name, answers, self._tolerance(answers[0], len(known) - 1), len(ids), same)
        found = replace(found, note=note)
        return found if found.within else replace(found, layer=self._part(name, known[: worst + 1]))

    def _tolerance(self, answer: Mapping[str, Any], length: int) -> Tolerance:
        """Of this prompt's logits, relative to their root mean square."""
        return self._rounding(self._plan["layers"], length, length * answer["vocab"])

    def _rounding(self, layers: int, length: int, compared: int) -> Tolerance:
        ranks = self._cluster.world_size if self._facts["strategy"] == "tensor" else 1
        reduced = self._plan["reduced"] * layers // max(1, self._plan["layers"])
        return rounding_tolerance(self._plan["dtype"], layers, ranks, reduced, length, max(1, compared))

    def _part(self, name: str, ids: list[int]) -> LayerDifference | None:
        """Where the hidden states part at the last of `ids`, whose logits differ."""
        truth = _states(self._ask_first("trace_reference", name, ids=ids))
        held = {rank: _states(answer) for rank, answer in self._ask_all("trace_ranks", name, ids=ids).items()}
        for layer in sorted(truth):
            size = len(truth[layer])
            tolerance = self._rounding(layer + 1, len(ids), size).mean
            there = {rank: states[layer] for rank, states in held.items() if layer in states}
            apart = {rank: _apart(truth[layer], state) for rank, state in there.items()}
            ranks = tuple(rank for rank, value in apart.items() if not value <= tolerance)
            if ranks:
                largest = max(apart.values())
                place = f"layer {layer}" if layer >= 0 else "the embeddings"
                return LayerDifference(
                    layer if layer >= 0 else None,
                    place,
                    largest if math.isfinite(largest) else None,
                    tolerance,
                    ranks,
                )
        place = "after the layers, from the last norm or the head"
        return LayerDifference(None, place, 0.0, self._rounding(self._plan["layers"], len(ids), 1).mean, ())

    def _ask_all(self, operation: str, name: str, **more: Any) -> dict[int, Any]:
        return self._ask(range(self._cluster.world_size), operation, {"name": name, **more})

    def _ask_first(self, operation: str, name: str, **more: Any) -> Any:
        return self._ask([0], operation, {"name": name, **self._about, **more})[0]

    def _ask(self, ranks: Sequence[int], operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        """One operation; a stop ends it on all ranks after the same step."""
        key = secrets.token_hex(8)
        stops: list[str] = []

        def stop() -> bool:
            stops.append(key)
            return self._stop(key)

        answers = self._cluster.operate(
            dict.fromkeys(ranks, (operation, {"operation": key, **arguments})),
            on_event=self._on_event,
            on_interrupt=stop,
        )
        # A stop that comes after the last step finds nothing to end here, and still ends the check.
        if stops:
            raise CellInterruptedError("the check was stopped; the model is still there")
        return answers

    def _stop(self, key: str) -> bool:
        """Every rank pauses and says how far it is; all go on to the furthest of these, and end there."""
        everyone = self._cluster.world_size
        reached = self._cluster.ask("freeze_check", {"operation": key})
        if len(reached) < everyone:
            return False
        asked = {"operation": key, "stop_at": max(reached.values())}
        return len(self._cluster.ask("release_check", asked)) == everyone


def judge(
    name: str, answers: Mapping[int, Mapping[str, Any]], relative: Tolerance, prompt_tokens: int, same: bool
) -> tuple[PromptCheck, int]:
    """What the ranks' answers to `check_compare` say.

    Args:
        relative: the tolerance in units of the logits' root mean square.
        same: whether all ranks generated the same tokens.

    Returns:
        The verdict, and the first position at which something differs by more than rounding explains; where
        nothing does, the one with the largest difference.
    """
    first = answers[0]
    tolerance = relative.largest * first["rms"]
    largest = [_or_infinite(value) for value in first["differences"]]
    apart = _ranks_apart(answers)
    max_at = largest.index(max(largest))
    beyond = [i for i, pair in enumerate(zip(largest, apart, strict=True)) if max(pair) > tolerance]
    wrong = [i for i, is_best in enumerate(first["best"]) if not is_best]
    # Either of the two logits may be off by the tolerance.
    ties = all(_or_infinite(first["gaps"][i]) <= 2 * tolerance for i in wrong)
    return (
        PromptCheck(
            name,
            prompt_tokens,
            len(first["best"]),
            wrong[0] if wrong else None,
            len(wrong),
            bool(wrong) and ties,
            _or_none(largest[max_at]),
            max_at,
            first["rms"],
            tolerance,
            first["mean_difference"],
            relative.mean * first["rms"],
            _or_none(max(apart)),
            same,
        ),
        beyond[0] if beyond else max_at,
    )


def _ranks_apart(answers: Mapping[int, Mapping[str, Any]]) -> list[float]:
    """By position, how far the other ranks' logits are from rank 0's, by what they say of them."""
    first = answers[0]
    apart = [0.0] * len(first["tops"])
    for answer in answers.values():
        for key in ("tops", "sums"):
            for position, (own, other) in enumerate(zip(first[key], answer[key], strict=True)):
                difference = math.inf if own is None or other is None else abs(own - other)
                apart[position] = max(apart[position], difference)
    return apart


def _states(answer: Mapping[str, Any]) -> dict[int, Any]:
    import numpy as np

    return {
        int(layer): np.frombuffer(base64.b64decode(text), dtype=np.float32)
        for layer, text in answer["states"].items()
    }


def _apart(truth: Any, state: Any) -> float:
    """The norm of the difference, relative to the truth's."""
    import numpy as np

    with np.errstate(all="ignore"):
        value = float(np.linalg.norm(state - truth) / max(float(np.linalg.norm(truth)), 1e-30))
    return value if math.isfinite(value) else math.inf


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
