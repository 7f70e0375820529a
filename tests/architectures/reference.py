"""The tiny models in this one process: their folders, and what they answer unsharded."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from mlx_lm.generate import stream_generate
from mlx_lm.utils import load_model, load_tokenizer

from tests.architectures import forward, tiny

# What architectures raise when something does not fit. One leaves Python where a package is missing.
_UPSTREAM = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    StrictDataclassError,
    SystemExit,
    TypeError,
    ValueError,
)

TEXT = "Four layers deep, a tiny model answers: "
TOKENS = 8
_LONGEST = 160


class NotLoadableError(Exception):
    """mlx-lm itself does not run it here; the message is a line that says why."""


@dataclass(frozen=True)
class Reference:
    """A model's folder and its answers.

    Attributes:
        answers: as of `forward.ask`, in NumPy.
        generated: the tokens after `TEXT`, greedy.
    """

    folder: Path
    answers: dict[str, Any]
    generated: list[int]


def make(folder: Path, name: str) -> Reference:
    """Build an architecture's tiny model, load it again as mlx-lm does, and ask it.

    Raises:
        NotLoadableError: one of these failed, within mlx-lm or what it stands on.
    """
    try:
        with redirect_stdout(io.StringIO()) as printed:
            tiny.build(folder, name)
            model, _ = load_model(folder)
            tokenizer = load_tokenizer(folder)
            answers = forward.ask(model)
            steps = stream_generate(model, tokenizer, tokenizer.encode(TEXT), max_tokens=TOKENS)
            generated = [step.token for step in steps]
    except _UPSTREAM as error:
        raise NotLoadableError(_line(error, printed.getvalue())) from error
    arrays = {part: np.array(answers[part]) for part in ("whole", "cached")}
    return Reference(folder, {**answers, **arrays}, generated)


def _line(error: BaseException, printed: str) -> str:
    """An error as one line; of the cause that it names, or of what was printed before Python was to end."""
    cause = error.__cause__ or error
    words = printed if isinstance(cause, SystemExit) else str(cause)
    return f"{type(cause).__name__}: {words.strip().partition(chr(10))[0]}"[:_LONGEST]
