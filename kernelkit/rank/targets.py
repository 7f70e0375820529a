"""Where a model goes that another host sends, and what of it is there already."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kernelkit.rank.arrival import partial_folder
from kernelkit.rank.files import model_files
from kernelkit.rank.folders import pushed_folder
from kernelkit.rank.hub import WEIGHTS
from kernelkit.rank.locate import teaching_model


def survey_target(name: str, kind: str, files: dict[str, int]) -> dict[str, Any]:
    """Look for the place of a model on this host; nothing is changed.

    Args:
        name: as the user says it; a path means this host's own.
        kind: of the model at its source, as in `locate.Found`.
        files: all of its files, with their bytes.

    Returns:
        `folder`, where it is to be; `ours`, whether that is kernelkit's own; `look_in`, the two folders in
        which files of it may be; `there` and `partial`, those of the right size in the first and the second;
        `other`, files of the first that are not the model's; `free_bytes` of the disk. Or `refusal`.
    """
    target, ours = _target(name, kind)
    if target.exists() and not target.is_dir():
        return {"refusal": f"{target} is a file"}
    there = model_files(target) if target.is_dir() else {}
    waiting = model_files(partial) if (partial := partial_folder(target)).is_dir() else {}
    base = _nearest(target)
    if not _can_be_written(base):
        return {"refusal": f"{base} cannot be written"}
    return {
        "folder": str(target),
        "ours": ours,
        "look_in": [str(target), str(partial)],
        "there": [file for file, size in there.items() if files.get(file) == size],
        "partial": [file for file, size in waiting.items() if files.get(file) == size],
        "other": [
            file
            for file, size in there.items()
            if files.get(file, size) != size or (file not in files and fnmatch(file, WEIGHTS))
        ],
        "free_bytes": shutil.disk_usage(base).free,
    }


def _target(name: str, kind: str) -> tuple[Path, bool]:
    """The folder, and whether it is kernelkit's own."""
    # Every installation has it: what differs is another kernelkit's, and stays.
    if kind == "austen":
        return teaching_model(), False
    if kind == "smollm2":
        from kernelkit.rank.smollm2 import cache_folder

        return cache_folder(), True
    if kind == "folder":
        try:
            own = Path(name).expanduser().absolute()
            if own.exists() or _can_be_written(_nearest(own)):
                return own, False
        except (RuntimeError, OSError):  # no such user's home, or a folder that may not be looked into
            pass
    return pushed_folder(name), True


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _can_be_written(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
