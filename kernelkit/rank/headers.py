"""Weight files that are known by their headers alone: enough to build a model, see its shapes, and cut it.

A safetensors file begins with the names, types, shapes and places of its tensors. Where a host has no
need of a file's numbers, these few kilobytes stand for the gigabytes.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernelkit.rank.folders import headers_folder

_SUFFIX = ".json"


def keep(folder: Path, file: str, size_bytes: int, tensors: Mapping[str, Any]) -> None:
    """Remember the header of a weight file that `folder` lacks.

    Args:
        size_bytes: of the whole file.
        tensors: by name `dtype`, `shape` and `data_offsets`, as safetensors writes them.
    """
    target = headers_folder(folder) / f"{file}{_SUFFIX}"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{file}.{os.getpid()}")
    partial.write_text(json.dumps({"size_bytes": size_bytes, "tensors": tensors}), encoding="utf-8")
    partial.replace(target)


def known(folder: Path) -> dict[str, dict[str, Any]]:
    """Of every weight file that is known by its header and is not in `folder`: `size_bytes` and `tensors`."""
    found = {}
    for path in sorted(headers_folder(folder).glob(f"*{_SUFFIX}")):
        file = path.name.removesuffix(_SUFFIX)
        if not (folder / file).is_file():
            found[file] = json.loads(path.read_text(encoding="utf-8"))
    return found


@contextmanager
def complete_view(folder: Path) -> Iterator[Path]:
    """The folder as if all of its weight files were there, to load lazily from, by a name without brackets.

    mlx-lm looks for weights by a pattern that begins with the folder's name, so `[` in it finds nothing.
    Files that are not there have their header and the right length, and no numbers. At the end they are
    emptied, so that reading one of their tensors later is an error and never zeros.
    """
    lacking = known(folder)
    if not lacking and glob.escape(str(folder)) == str(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="kernelkit-view-") as name:
        view = Path(name)
        for path in folder.iterdir():
            (view / path.name).symlink_to(path.resolve())
        stubs = [view / file for file in lacking]
        for stub, header in zip(stubs, lacking.values(), strict=True):
            _write_stub(stub, header["tensors"])
        try:
            yield view
        finally:
            for stub in stubs:
                os.truncate(stub, 0)


def _write_stub(path: Path, tensors: Mapping[str, Any]) -> None:
    text = json.dumps(tensors).encode()
    data_bytes = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + data_bytes)  # a hole in the file: it takes no room
