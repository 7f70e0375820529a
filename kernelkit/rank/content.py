"""What is in the files of the model that is loaded, as digests: the same weights have the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kernelkit.errors import ModelNotFoundError
from kernelkit.rank.files import model_files, sha256
from kernelkit.rank.progress import Throttled
from kernelkit.rank.shards import loaded_model

# By what a file is (path, bytes, time of its last change): large weights are not read for every experiment.
_KNOWN: dict[tuple[str, int, int], str] = {}


def hash_model() -> dict[str, str]:
    """SHA-256 by name of the files of the model that is loaded, as this host has them now.

    Raises:
        NoModelError: there is no model.
        ModelNotFoundError: its files are not there any more, or cannot be read.
    """
    folder = loaded_model().folder
    assert folder is not None
    try:
        sizes = model_files(folder)
        progress, total, done = Throttled("content"), sum(sizes.values()) or 1, 0
        digests = {}
        for name, size_bytes in sizes.items():

            def tell(read_bytes: int, before: int = done) -> None:
                progress.tell("comparing", (before + read_bytes) / total)

            digests[name] = _digest(folder / name, tell)
            done += size_bytes
    except OSError as error:
        raise ModelNotFoundError(f"{folder} cannot be read any more", got=str(error)) from error
    return digests


def _digest(path: Path, tell: Callable[[int], None]) -> str:
    facts = path.stat()
    key = (str(path), facts.st_size, facts.st_mtime_ns)
    if key not in _KNOWN:
        _KNOWN[key] = sha256(path, tell)
    return _KNOWN[key]
