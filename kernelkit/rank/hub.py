"""Models of the hub: their small files and their weights' headers first, then the weights needed here."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kernelkit.errors import ModelNotFoundError
from kernelkit.hub import asked
from kernelkit.rank import headers

Progress = Callable[[str, float], None]

EXPECTED = (
    "austen, smollm2, a local folder in the Hugging Face layout, or a hub id such as mlx-community/NAME"
)
WEIGHTS = "model*.safetensors"
_CONNECTIONS = 8


def patterns() -> list[str]:
    """The files of a model that mlx-lm reads."""
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS

    return list(DEFAULT_ALLOW_PATTERNS)


def snapshot(name: str, on_progress: Progress) -> Path:
    """The whole model in the hub's own cache; only the files that mlx-lm reads.

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be had.
    """
    return _download(name, on_progress, allow_patterns=patterns())


def outline(name: str, on_progress: Progress) -> Path:
    """The model without such weights as are not here yet: of those only the headers are fetched.

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be had.
    """
    folder = _download(name, on_progress, allow_patterns=[p for p in patterns() if p != WEIGHTS])
    known = headers.known(folder)
    lacking = {
        file: size_bytes
        for file, size_bytes in _listed_weights(name, folder).items()
        if not (folder / file).is_file() and file not in known
    }
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        asked = {file: pool.submit(_header, name, folder.name, file) for file in lacking}
        for done, (file, header) in enumerate(asked.items(), 1):
            headers.keep(folder, file, lacking[file], header.result())
            on_progress("headers", done / len(lacking))
    return folder


def fetch(name: str, folder: Path, files: Sequence[str], on_progress: Progress) -> None:
    """Download weight files of the snapshot that `outline` gave.

    Raises:
        ModelNotFoundError: they cannot be had.
    """
    _download(name, on_progress, allow_patterns=list(files), revision=folder.name)


def _listed_weights(name: str, folder: Path) -> dict[str, int]:
    """Weight files of a snapshot and their bytes, as the hub listed them; none where it never did."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        listed = get_cached_repo_tree(name, revision=folder.name)
    except CachedRepoTreeNotFoundError:  # downloaded by an older client, and not to be reached now
        return {}
    return {file.path: file.size for file in listed if fnmatch(file.path, WEIGHTS)}


def _header(name: str, revision: str, file: str) -> dict[str, Any]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    try:
        found = asked(
            name, EXPECTED, lambda: HfApi().parse_safetensors_file_metadata(name, file, revision=revision)
        )
    except SafetensorsParsingError as error:
        raise ModelNotFoundError(f"{file} of {name} is no safetensors file", got=str(error)) from error
    return {
        tensor: {"dtype": info.dtype, "shape": info.shape, "data_offsets": info.data_offsets}
        for tensor, info in found.tensors.items()
    }


def _download(name: str, on_progress: Progress, **how: Any) -> Path:
    from huggingface_hub import snapshot_download

    return Path(asked(name, EXPECTED, lambda: snapshot_download(name, tqdm_class=_bar(on_progress), **how)))


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
