"""A check of a sharded model in words: a verdict, a row for coverage and one per prompt, and what differs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from kernelkit.tables import NO_MATH, html_table, text_table
from kernelkit.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from kernelkit.sharding.check import ModelCheck, PromptCheck

_COLUMNS = (
    *(
        "prompt",
        "tokens",
        "greedy tokens",
        "largest difference",
        "at most",
        "mean difference",
        "mean at most",
    ),
    "logits' scale",
    "verdict",
)


def as_text(check: ModelCheck) -> str:
    """A title, a table, and sentences."""
    table = [text_table(_COLUMNS, [_row(prompt) for prompt in check.prompts])] if check.prompts else []
    return "\n".join([title(check), *table, *sentences(check)])


def as_html(check: ModelCheck) -> str:
    """The same, as HTML."""
    rows = [_row(prompt) for prompt in check.prompts]
    table = html_table(_COLUMNS, rows) if rows else ""
    words = "<br>".join(escape(sentence) for sentence in sentences(check))
    return f"<div {NO_MATH}><b>{escape(title(check))}</b>{table}<div>{words}</div></div>"


def title(check: ModelCheck) -> str:
    """`SmolLM2, tensor parallel over 2 ranks in float32: equal to the unsharded model`."""
    ranks = f"{check.strategy} parallel over {check.world_size} ranks" if check.world_size > 1 else "one rank"
    verdict = "equal to" if check else "NOT equal to"
    return f"{check.model or check.model_type}, {ranks} in {check.dtype}: {verdict} the unsharded model"


def sentences(check: ModelCheck) -> list[str]:
    """What a reader should know, coverage first."""
    lines = [f"Coverage: {check.coverage}."]
    if not check.coverage:
        lines.append("A model that is not whole is not run: no logits were compared.")
    for prompt in check.prompts:
        lines += [f"{prompt.name}: {sentence}." for sentence in _about(prompt)]
    if check.prompts:
        lines.append(
            f"Took {format_seconds(check.elapsed_s)}. The unsharded model ran layer by layer on rank 0, in "
            f"{format_bytes(check.reference_bytes)} beside its part."
        )
    return lines


def _row(prompt: PromptCheck) -> tuple[str, ...]:
    return (
        prompt.name,
        f"{prompt.prompt_tokens} + {prompt.new_tokens}",
        _tokens(prompt),
        _size(prompt.max_difference),
        f"{prompt.tolerance:.2g}",
        _size(prompt.mean_difference),
        f"{prompt.mean_tolerance:.2g}",
        f"{prompt.scale:.3g}",
        "equal" if prompt else "differs",
    )


def _size(difference: float | None) -> str:
    return "not finite" if difference is None else f"{difference:.2g}"


def _tokens(prompt: PromptCheck) -> str:
    if prompt.differs_at is None:
        return "equal"
    if prompt.only_ties:
        return f"equal but for {prompt.differences} tie{'s' if prompt.differences > 1 else ''}"
    more = f" and {prompt.differences - 1} more" if prompt.differences > 1 else ""
    return f"the {_ordinal(prompt.differs_at + 1)} differs{more}"


def _about(prompt: PromptCheck) -> list[str]:
    found = [prompt.note] if prompt.note else []
    if prompt.differs_at is not None and prompt.only_ties:
        found.append(
            f"at its {_ordinal(prompt.differs_at + 1)} token the two likeliest are a tie within the tolerance"
        )
    if not prompt.ranks_agree:
        found.append("the ranks generated different tokens")
    if prompt.ranks_difference is None or prompt.ranks_difference > prompt.tolerance:
        found.append("the ranks have different logits")
    if not prompt and prompt.max_difference is not None and prompt.max_difference > prompt.tolerance:
        found.append(f"the largest difference is at position {prompt.max_at}")
    if (layer := prompt.layer) is not None:
        size = (
            "are not finite"
            if layer.difference is None
            else f"differ by {layer.difference:.2g} of their norm"
        )
        who = (
            ""
            if not layer.ranks
            else f" on rank{'s' if len(layer.ranks) > 1 else ''} " + ", ".join(map(str, layer.ranks))
        )
        if layer.difference is None or layer.difference > layer.tolerance:
            found.append(f"hidden states{who} {size} from {layer.place} on")
        else:
            found.append(f"the difference comes {layer.place}")
    return found


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"
