"""A model's files on this host: which there are, what is in them, and the fetching of those that lack."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kernelkit.errors import KernelkitError, ModelNotFoundError
from kernelkit.rank import headers, hub, state
from kernelkit.rank.locate import find
from kernelkit.rank.progress import Throttled

_PIECE_BYTES = 2**23
# A tokenizer has some ten million bytes; what is larger is compared by its size, so that loading stays quick.
_HASHED_BYTES = 100_000_000
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def find_files(name: str, whole: bool = False) -> dict[str, Any]:
    """Find a model on this host; of a hub's model not yet here, the weights only where `whole` says so.

    A refusal is an answer like others, so that no host's ends another's work.

    Returns:
        `folder` and `kind` as in `locate.Found`; `files`, bytes of each that is here; `sizes`, bytes of each
        weight file, here or not, and of other large ones; `lacking`, those that are not here; `digests`,
        SHA-256 of each other file. Or `error`.
    """
    try:
        found = find(name, Throttled("files").tell, whole=whole)
    except KernelkitError as error:
        return {"error": error.to_dict()}
    lacking = headers.known(found.folder)
    files = model_files(found.folder)
    sizes = {file: size for file, size in files.items() if fnmatch(file, hub.WEIGHTS) or size > _HASHED_BYTES}
    return {
        "folder": str(found.folder),
        "kind": found.kind,
        "files": files,
        "sizes": {**sizes, **{file: header["size_bytes"] for file, header in lacking.items()}},
        "lacking": list(lacking),
        "digests": {file: sha256(found.folder / file) for file in files if file not in sizes},
    }


def model_files(folder: Path) -> dict[str, int]:
    """The files in a model's folder that mlx-lm reads, and their bytes."""
    wanted = hub.patterns()
    return {
        path.name: path.stat().st_size
        for path in sorted(folder.iterdir())
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in wanted)
    }


def wanted_files(path: str) -> list[str]:
    """Weight files that this host lacks and that hold something of what was prepared for this rank.

    Which layers they hold is what their headers say; what is in no layer every rank may need.
    """
    assert state.prepared is not None
    start, end = state.prepared.cut.layer_range
    tensor = state.prepared.summary["strategy"] == "tensor"
    wanted = []
    for file, header in headers.known(Path(path)).items():
        layers = [_LAYER.search(tensor) for tensor in header["tensors"] if tensor != "__metadata__"]
        if tensor or any(match is None or start <= int(match[1]) < end for match in layers):
            wanted.append(file)
    return wanted


def fetch_files(name: str, path: str, files: list[str]) -> None:
    """Download these weight files of a hub's model.

    Raises:
        ModelNotFoundError: they cannot be had.
    """
    hub.fetch(name, Path(path), files, Throttled("files").tell)


def hash_files(folders: list[str], files: list[str]) -> dict[str, str]:
    """SHA-256 of files, each in the first of the folders that has it."""
    paths = {}
    for file in files:
        there = [Path(folder) / file for folder in folders if (Path(folder) / file).is_file()]
        if there:
            paths[file] = there[0]
    progress = Throttled("push")
    total = sum(path.stat().st_size for path in paths.values()) or 1
    done, digests = 0, {}
    for file, path in paths.items():

        def tell(read: int, before: int = done) -> None:
            progress.tell("comparing", (before + read) / total)

        try:
            digests[file] = sha256(path, tell)
        except OSError as error:
            raise ModelNotFoundError(f"{path} cannot be read", got=str(error)) from error
        done += path.stat().st_size
    return digests


def sha256(path: Path, on_read: Any = lambda read_bytes: None) -> str:
    """Of a file of any size; a piece at a time is in memory."""
    digest, read = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            read += len(piece)
            on_read(read)
    return digest.hexdigest()
