"""A plan as text and as HTML: one small table of the ranks, one of where the time goes, and sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from kernelkit.perf.ranges import Range
from kernelkit.tables import NO_MATH, Rows, html_table, text_table
from kernelkit.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from kernelkit.perf.result import Plan, Term

_RANK_COLUMNS = ("rank", "machine", "layers", "weights", "KV cache", "activations", "free")
_TERM_COLUMNS = ("a token's time", "likely", "from", "to", "share")
CAUSES = {
    "weights": "reading weights",
    "kv": "reading keys and values",
    "compute": "computing",
    "overhead": "starting kernels",
    "latency": "latency of collectives",
    "transfer": "bytes of collectives",
}


def as_text(plan: Plan) -> str:
    """All of it."""
    parts = [title(plan), *speeds(plan), text_table(_RANK_COLUMNS, _ranks(plan))]
    if plan.terms:
        parts.append(text_table(_TERM_COLUMNS, term_rows(plan.terms)))
    return "\n".join([*parts, *(f"- {reason}" for reason in plan.reasons)])


def as_html(plan: Plan) -> str:
    """The same as tables and a list."""
    tables = html_table(_RANK_COLUMNS, _ranks(plan), title(plan), *speeds(plan))
    if plan.terms:
        tables += html_table(_TERM_COLUMNS, term_rows(plan.terms))
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in plan.reasons)
    return f"{tables}<ul {NO_MATH}>{reasons}</ul>"


def title(plan: Plan) -> str:
    """What is planned."""
    over = f" over {plan.link} ({plan.backend}), {plan.strategy}" if plan.nodes > 1 else ""
    several = f", {plan.batch} sequences" if plan.batch > 1 else ""
    return (
        f"{plan.model or 'model'} {quantization_name(plan)} on {plan.on}{over}, "
        f"{plan.context:,} tokens{several}"
    )


def quantization_name(plan: Plan) -> str:
    """Short, also of settings: `8bit`, `4bit-gs32`, `mxfp4`."""
    if not plan.quantization.startswith("{"):
        return plan.quantization
    settings = json.loads(plan.quantization)
    if any(isinstance(value, dict) or value is False for value in settings.values()):
        return "mixed quantization"
    if (mode := settings.get("mode", "affine")) != "affine":
        return str(mode)
    group_size = settings.get("group_size", 64)
    return f"{settings.get('bits', 4)}bit" + ("" if group_size == 64 else f"-gs{group_size}")


def speeds(plan: Plan) -> list[str]:
    """A line of each speed that is predicted."""

    def rate(value: float) -> str:
        return format_rate(value, "tokens")

    lines = (
        ("decodes", plan.decode_tokens_per_s, rate),
        ("reads a prompt with", plan.prefill_tokens_per_s, rate),
        ("first token after", plan.time_to_first_token_s, format_seconds),
    )
    return [f"{name} {spread(figure, form)}" for name, figure, form in lines if figure is not None]


def spread(figure: Range, form: Callable[[float], str]) -> str:
    """`21.3 tokens/s (15 tokens/s to 27.1 tokens/s)`; of one that is known the figure alone."""
    if figure.low == figure.high:
        return form(figure.mid)
    return f"{form(figure.mid)} ({form(figure.low)} to {form(figure.high)})"


def term_rows(terms: Sequence[Term]) -> Rows:
    """What takes time at all."""
    total_s = sum(term.time_s.mid for term in terms)
    return [
        (
            CAUSES.get(term.cause, term.cause),
            format_seconds(term.time_s.mid),
            format_seconds(term.time_s.low),
            format_seconds(term.time_s.high),
            f"{term.time_s.mid / total_s:.0%}",
        )
        for term in terms
        if term.time_s.high > 0
    ]


def _ranks(plan: Plan) -> Rows:
    return [
        (
            str(rank.rank),
            rank.node,
            f"{rank.layers[0]}-{rank.layers[1] - 1}",
            format_bytes(rank.weight_bytes),
            format_bytes(rank.kv_bytes),
            format_bytes(rank.activation_bytes),
            format_bytes(rank.free_bytes),
        )
        for rank in plan.ranks
    ]
