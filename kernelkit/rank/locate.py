"""From the name that a user gives to a folder with a model: `austen`, `smollm2`, a path, or a hub id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelkit.catalog.files import data_file
from kernelkit.errors import ModelNotFoundError
from kernelkit.rank import headers
from kernelkit.rank.folders import pushed_folder
from kernelkit.rank.hub import EXPECTED, WEIGHTS, outline, snapshot

Progress = Callable[[str, float], None]

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "*.tiktoken")


@dataclass(frozen=True)
class Found:
    """A model on this host.

    Attributes:
        folder: where it lies.
        kind: `austen`, which comes with kernelkit; `smollm2`, as it was converted; `folder`, a user's own;
            `pushed`, a copy that another host sent; `hub`, a snapshot of the hub.
    """

    folder: Path
    kind: Literal["austen", "smollm2", "folder", "pushed", "hub"]


def resolve(name: str, on_progress: Progress = lambda phase, fraction: None) -> Path:
    """The folder that holds the model, whole; converts or downloads it first where that is needed.

    Args:
        name: `austen`, `smollm2`, a local folder (`~` is expanded), or a hub id `organisation/model`.
        on_progress: called with a phase ("converting", "downloading") and the part done, 0 to 1.

    Raises:
        ModelNotFoundError: `name` leads to no folder with a config, a tokenizer and all its weights.
    """
    return find(name, on_progress, whole=True).folder


def find(name: str, on_progress: Progress, *, whole: bool) -> Found:
    """As `resolve`; a user's own folder comes before a pushed copy, and that before the hub.

    Args:
        whole: False leaves the weights of a hub's model out as far as they are not here yet: their headers
            are fetched, for `headers.complete_view`.
    """
    if name == "austen":
        return Found(_checked(teaching_model()), "austen")
    if name == "smollm2":
        from kernelkit.rank.smollm2 import cache_folder, convert

        return Found(convert(cache_folder(), lambda fraction: on_progress("converting", fraction)), "smollm2")
    if folder := _local(name):
        return Found(_checked(folder), "folder")
    if name and (copy := pushed_folder(name)).is_dir():
        return Found(_checked(copy), "pushed")
    if is_hub_id(name):
        return Found(_checked((snapshot if whole else outline)(name, on_progress)), "hub")
    raise ModelNotFoundError(f"there is no model {name!r}", expected=EXPECTED, got="no such folder")


def teaching_model() -> Path:
    """The folder of `austen`: in a checkout beside the package, installed within it.

    Raises:
        KernelkitError: the installation lacks it.
    """
    return data_file("models/austen/config.json").parent


def is_hub_id(name: str) -> bool:
    """Whether it has the form of one; a folder may as well."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None


def _local(name: str) -> Path | None:
    """The file or folder of that name on this host, if there is one."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    # No such user's home; or too long a name, or a folder that may not be read.
    except (RuntimeError, OSError):
        return None


def _checked(folder: Path) -> Path:
    """`folder`, if mlx-lm will find in it what it needs."""
    if not folder.is_dir():
        raise ModelNotFoundError(f"{folder} is not a model folder", expected=EXPECTED, got="a file")
    known = headers.known(folder)
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    # mlx-lm reads these names only.
    if not known and not any(folder.glob(WEIGHTS)):
        missing.append(WEIGHTS)
    if not any(True for pattern in _TOKENIZERS for _ in folder.glob(pattern)):
        missing.append("tokenizer.json")
    missing += [file for file in _missing_parts(folder / "model.safetensors.index.json") if file not in known]
    if missing:
        raise ModelNotFoundError(
            f"{folder} does not hold a whole model",
            expected="config.json, model*.safetensors and a tokenizer",
            got=f"{', '.join(missing)} missing",
            cure="download it again, or convert it with `mlx_lm.convert`",
        )
    return folder


def _missing_parts(index: Path) -> list[str]:
    """Weight files that the index names and the folder lacks, as after a broken download."""
    if not index.is_file():
        return []
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelNotFoundError(f"{index} cannot be read", got=repr(error)) from error
    if odd := [file for file in files if not isinstance(file, str)]:
        raise ModelNotFoundError(
            f"{index} cannot be read", expected="a file's name for each parameter", got=repr(odd[0])
        )
    return sorted(file for file in files if not (index.parent / file).is_file())
