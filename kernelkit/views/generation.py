"""What one generation was like: tokens per second over time, the first token, memory, communication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kernelkit.units import format_bytes, format_rate, format_seconds
from kernelkit.views import generation_rates as rates
from kernelkit.views.picture import Picture

_NOT_RECORDED = "communication was not recorded (--record)"


class Generated(Protocol):
    """What the picture needs of a `kernelkit.generation.Generation`."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def prompt_tokens_per_s(self) -> float: ...
    @property
    def tokens_per_s(self) -> float: ...
    @property
    def peak_memory_bytes(self) -> Sequence[int]: ...
    @property
    def finish(self) -> str: ...
    @property
    def token_times_s(self) -> Sequence[float]: ...
    @property
    def elapsed_s(self) -> Sequence[float]: ...
    @property
    def communication_s(self) -> Sequence[float]: ...
    @property
    def communication_share(self) -> Sequence[float]: ...


class Going(Protocol):
    """What the picture needs of a `kernelkit.generation.Progress`."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def prompt_done(self) -> int: ...
    @property
    def token_times_s(self) -> Sequence[float]: ...


def generation(gen: Generated) -> Picture:
    """Tokens per second over time, time to first token, memory, and communication where it was recorded.

    Args:
        gen: as `model.generate` gives it, or `Generation.load`.
    """
    drawn = scene(gen)
    return Picture("generation", drawn, text(gen), alt(drawn))


def generating(progress: Going, elapsed_s: float) -> Picture:
    """The same of a generation that still runs, to be drawn again and again.

    Args:
        progress: as `on_progress` is given it.
        elapsed_s: since the call, by the caller's clock.
    """
    drawn = running_scene(progress, elapsed_s)
    return Picture("generation", drawn, drawn["title"], alt(drawn))


def text(gen: Generated) -> str:
    """The answer, unless it was shown already, and its figures."""
    return repr(gen)


def scene(gen: Generated) -> dict[str, Any]:
    """All that the picture shows."""
    count, times_s = len(gen.tokens), gen.token_times_s
    whole_s = max([*times_s[-1:], *gen.elapsed_s[:1]], default=0.0)
    prompt = f"prompt {_tokens(gen.prompt_tokens)}, {format_rate(gen.prompt_tokens_per_s, 'tokens')}"
    in_time = f" in {format_seconds(whole_s)}" if times_s else ""
    return {
        "title": f"{_tokens(count)}{in_time} ({gen.finish})",
        "running": False,
        **_course(times_s, gen.tokens_per_s, prompt),
        "elapsed_s": whole_s,
        "finish": gen.finish,
        "ranks": [_rank(gen, rank) for rank in range(len(gen.peak_memory_bytes))],
        "recorded": bool(gen.communication_share),
        "communication": "" if gen.communication_share else _NOT_RECORDED,
    }


def running_scene(progress: Going, elapsed_s: float) -> dict[str, Any]:
    """All that is known while it runs."""
    times_s = progress.token_times_s
    whole_s = max([elapsed_s, *times_s[-1:]])
    mean = rates.rate(times_s, 0, len(times_s) - 1) if times_s else None
    if times_s:
        speed = f", {format_rate(mean, 'tokens')}" if mean else ""
        title = f"{_tokens(len(times_s))} in {format_seconds(whole_s)} so far{speed}"
    elif progress.prompt_tokens:
        title = f"reading the prompt: {progress.prompt_done:,} of {_tokens(progress.prompt_tokens)}"
    else:
        title = "reading the prompt"
    return {
        "title": title,
        "running": True,
        **_course(times_s, mean, f"prompt {_tokens(progress.prompt_tokens)}"),
        "elapsed_s": whole_s,
        "finish": "",
        "ranks": [],
        "recorded": False,
        "communication": "",
    }


def alt(drawn: dict[str, Any]) -> str:
    """The picture in a few sentences."""
    said = [f"Generation: {drawn['title']}."]
    if drawn["first"]:
        words = f"{drawn['first']['words']} ({drawn['first']['prompt']})"
        said.append(f"Tokens per second over time, {words}, {drawn['mean']['words']}.")
    shares = [f"{one['share']:.0%}" for one in drawn["ranks"] if one["share"] is not None]
    if shares:
        said.append(f"Time in communication per rank: {', '.join(shares)}.")
    return " ".join(said)


def _course(times_s: Sequence[float], tokens_per_s: float | None, prompt: str) -> dict[str, Any]:
    """Dots, lines, and the words at them."""
    shown = rates.points(times_s)
    count = len(times_s)
    per_dot = rates.every(count)
    first = None
    if times_s:
        time = format_seconds(times_s[0])
        first = {"time_s": round(times_s[0], 4), "words": f"time to first token {time}", "prompt": prompt}
    known = tokens_per_s if count > 1 and tokens_per_s else None
    none = "no rate: a single token" if count == 1 else "no rate"
    said = f"mean {format_rate(known, 'tokens')}" if known else none
    return {
        "tokens": count,
        # How many tokens there were, when, and the rates of dot and line.
        "points": [
            [one.tokens, round(one.time_s, 4), _short(one.tokens_per_s), _short(one.smooth_tokens_per_s)]
            for one in shown
        ],
        "dots": "each token" if per_dot == 1 else f"every {per_dot} tokens",
        "line": f"running mean over {rates.window(count)} tokens",
        "first": first,
        "mean": {"tokens_per_s": known, "words": said},
        "top_tokens_per_s": rates.top_tokens_per_s(shown),
    }


def _rank(gen: Generated, rank: int) -> dict[str, Any]:
    peak_bytes = gen.peak_memory_bytes[rank]
    share, words = None, ""
    if rank < len(gen.communication_share):
        share = min(1.0, gen.communication_share[rank])
        words = f"{share:.0%}, {format_seconds(gen.communication_s[rank])}"
    return {
        "rank": rank,
        "peak_memory_bytes": peak_bytes,
        "peak": format_bytes(peak_bytes),
        "share": _short(share),
        "share_words": words,
    }


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"


def _short(value: float | None) -> float | None:
    """To a precision that no eye can see through."""
    return None if value is None else float(f"{value:.6g}")
