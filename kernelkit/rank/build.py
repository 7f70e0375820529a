"""Build a model without reading its weights, and its tokenizer; what is wrong with the files is told here."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.headers import complete_view
from kernelkit.rank.misfits import misfits

# What mlx-lm and transformers raise on files that are broken or do not belong together.
# ArithmeticError: of a config with 0 heads.
_BAD_FILES = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, ArithmeticError,
)  # fmt: skip
_AGAIN = "download or convert the model again"
_SHOWN = 80


def build(path: Path, stand_ins: Mapping[str, mx.array] | None = None) -> tuple[Module, dict[str, Any]]:
    """mlx-lm's model with its weights as promises, and its config: only the headers of the files are read.

    Args:
        stand_ins: by name, to make the weights of in place of the tensors in the files.

    Raises:
        ModelNotFoundError: mlx-lm has no such architecture, or the files do not make a model.
    """
    # transformers tells every rank's user at import that there is no PyTorch.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from mlx_lm.utils import MODEL_REMAPPING, _get_classes, load_model

    asked: list[tuple[dict[str, Any], type]] = []

    def classes(config: dict[str, Any]) -> tuple[Any, type]:
        made, args = _get_classes(config)
        asked.append((config, args))
        return (made if stand_ins is None else partial(_with_weights, made, stand_ins)), args

    kind = _architecture(path / "config.json")
    try:
        module = MODEL_REMAPPING.get(kind, kind)
        if "." in module or importlib.util.find_spec(f"mlx_lm.models.{module}") is None:
            raise ModelNotFoundError(
                f"mlx-lm has no architecture {kind!r}",
                expected="a model_type that `mlx_lm.models` knows",
                got=f"model_type {kind!r} in {path / 'config.json'}",
                cure="pip install --upgrade mlx-lm",
            )
        with complete_view(path) as view:
            model, config = load_model(view, lazy=True, get_model_classes=classes)
    except SystemExit as error:  # how mlx-lm's olmo says that a package is missing
        raise ModelNotFoundError(
            f"mlx-lm's {kind} cannot be imported here: it needs a package that is not installed",
            cure=f"python -c 'import mlx_lm.models.{module}' says which",
        ) from error
    except _BAD_FILES as error:
        wrong = [words for config, args in asked for words in misfits(config, args)]
        raise ModelNotFoundError(
            f"the files in {path} do not make a model",
            expected="config.json and weights that belong together, as mlx-lm reads them",
            got=_first_line(error),
            cure=f"in config.json {'; '.join(wrong)}" if wrong else _AGAIN,
        ) from error
    return model, config


def _architecture(config: Path) -> str:
    """The `model_type` that a config.json names."""
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{config} cannot be read", got=_first_line(error), cure=_AGAIN) from error
    kind = found.get("model_type") if isinstance(found, dict) else None
    if not isinstance(kind, str):
        got = repr(found if kind is None else kind)
        raise ModelNotFoundError(
            f"{config} names no architecture",
            expected="an object whose model_type is a text, such as llama",
            got=got if len(got) <= _SHOWN else f"{got[:_SHOWN]}…",
            cure=_AGAIN,
        )
    return kind


def _with_weights(made: Callable[[Any], Any], weights: Mapping[str, mx.array], args: Any) -> Any:
    """A model that brings these weights into its form, and not those that it is given."""
    model = made(args)
    into_form = getattr(model, "sanitize", dict)
    model.sanitize = lambda from_files: into_form(dict(weights))
    return model


def load_tokenizer(path: Path, config: dict[str, Any]) -> Any:
    """mlx-lm's tokenizer of the model in `path`; it takes seconds.

    Raises:
        ModelNotFoundError: it cannot be read.
    """
    from huggingface_hub.errors import StrictDataclassError
    from mlx_lm import utils

    read: Any = utils.load_tokenizer  # not annotated upstream
    try:
        return read(path, eos_token_ids=config.get("eos_token_id"))
    # transformers checks the whole config on the way to a tokenizer.
    except StrictDataclassError as error:
        raise ModelNotFoundError(
            f"the config in {path} does not fit together",
            expected="one that transformers takes",
            got=_first_line(error),
            cure=_AGAIN,
        ) from error
    except _BAD_FILES as error:
        raise ModelNotFoundError(f"the tokenizer in {path} cannot be read", got=_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    if len(lines) > 1 and lines[0].rstrip().endswith(":"):  # a title, and what it is about below
        lines[0] = f"{lines[0].rstrip()} {lines[1].strip()}"
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
