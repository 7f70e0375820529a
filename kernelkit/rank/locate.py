"""From the name that a user gives to a folder with a model in it: `smollm2`, a path, or a hub id."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelkit.errors import ModelNotFoundError

Progress = Callable[[str, float], None]

_EXPECTED = "smollm2, a local folder in the Hugging Face layout, or a hub id such as mlx-community/NAME"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "*.tiktoken")


def resolve(name: str, on_progress: Progress = lambda phase, fraction: None) -> Path:
    """The folder that holds the model; converts or downloads it first where that is needed.

    Args:
        name: `smollm2`, a local folder (`~` is expanded), or a hub id `organisation/model`.
        on_progress: called with a phase ("converting", "downloading") and the part done, 0 to 1.

    Raises:
        ModelNotFoundError: `name` leads to no folder with a config, a tokenizer and all its weights.
    """
    if name == "smollm2":
        from kernelkit.rank.smollm2 import cache_folder, convert

        return convert(cache_folder(), lambda fraction: on_progress("converting", fraction))
    if folder := _local(name):
        return _checked(folder)
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        return _checked(_download(name, on_progress))
    raise ModelNotFoundError(f"there is no model {name!r}", expected=_EXPECTED, got="no such folder")


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
        raise ModelNotFoundError(f"{folder} is not a model folder", expected=_EXPECTED, got="a file")
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    # mlx-lm reads these names only.
    if not any(folder.glob("model*.safetensors")):
        missing.append("model*.safetensors")
    if not any(True for pattern in _TOKENIZERS for _ in folder.glob(pattern)):
        missing.append("tokenizer.json")
    missing += _missing_parts(folder / "model.safetensors.index.json")
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
    return sorted(file for file in files if not (index.parent / file).is_file())


def _download(name: str, on_progress: Progress) -> Path:
    """The hub's snapshot of `name` in the hub's own cache; only the files that mlx-lm reads."""
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS

    try:
        folder = snapshot_download(name, allow_patterns=DEFAULT_ALLOW_PATTERNS, tqdm_class=_bar(on_progress))
    except hub.GatedRepoError as error:
        cure = f"accept its terms on https://huggingface.co/{name}, then log in with `hf auth login`"
        raise ModelNotFoundError(f"the hub's model {name} is gated", cure=cure) from error
    except hub.RepositoryNotFoundError as error:
        got = "no such folder here, and no such public model on the hub"
        cure = "check the spelling; for a private model log in with `hf auth login`"
        raise ModelNotFoundError(
            f"there is no model {name!r}", expected=_EXPECTED, got=got, cure=cure
        ) from error
    except hub.LocalEntryNotFoundError as error:
        got = "no such folder here, no copy in the hub's cache, and the hub cannot be reached"
        cure = "connect this host to the network, or give the path of a local folder"
        raise ModelNotFoundError(
            f"there is no model {name!r}", expected=_EXPECTED, got=got, cure=cure
        ) from error
    # The hub's client passes its HTTP library's errors on, whichever library that is.
    except (hub.HTTPError, hub.HFValidationError, OSError) as error:  # type: ignore[attr-defined]
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelNotFoundError(f"{name} could not be downloaded", got=reason[0]) from error
    return Path(folder)


class _Silent(io.TextIOBase):
    """A text file that keeps nothing: the bars of many ranks would fight for one output."""

    def write(self, text: str) -> int:
        return len(text)


def _bar(on_progress: Progress) -> Any:
    """A tqdm class that reports the bytes downloaded and prints nothing."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            start: Any = super().__init__  # not annotated upstream
            start(*args, **{**kwargs, "file": _Silent()})

        def display(self, *args: Any, **kwargs: Any) -> None:
            if self.unit == "B" and self.total:
                on_progress("downloading", min(1.0, self.n / self.total))

    return Bar
