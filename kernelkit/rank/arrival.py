"""A model's folder on this host while its files arrive: nothing half-written is ever taken for a model."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_LOCK, _PART = ".lock", ".part"
_LAST = "config.json"  # without it a folder is no model


class Arrival:
    """Files come into a hidden folder beside the target, each under a name of its own until it is verified.

    Every method raises OSError where the disk does not do what it should.

    Args:
        target: where the model is to be.
        ours: the target is kernelkit's own, in its cache: what is there and is not of this model may go.
    """

    def __init__(self, target: Path, *, ours: bool) -> None:
        self._target, self._ours = target, ours
        self._partial = partial_folder(target)
        self._lock: IO[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()

    def open(self, kept: Sequence[str]) -> None:
        """Begin; what an earlier arrival left half-written goes.

        Args:
            kept: files that are known to be right, here or in the target.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        self._lock = (self._partial / _LOCK).open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise OSError(f"another push to {self._target} is under way") from error
        if self._ours and self._target.is_dir():
            for path in self._target.iterdir():
                path.replace(self._partial / path.name)
            self._target.rmdir()
        for path in self._partial.iterdir():
            if path.name not in (*kept, _LOCK):
                path.unlink()

    def begin(self, name: str) -> None:
        """A file comes."""
        self._name = name
        self._digest = hashlib.sha256()
        self._file = (self._partial / f"{name}{_PART}").open("wb", buffering=0)

    def write(self, data: memoryview) -> None:
        """Its next bytes."""
        assert self._file is not None
        self._digest.update(data)
        while data:  # an unbuffered file may take less than it is given
            data = data[self._file.write(data) :]

    def end(self) -> bytes:
        """The file is there; its SHA-256, of what was written."""
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        return self._digest.digest()

    def accept(self) -> None:
        """It is what was sent: it gets its name."""
        (self._partial / f"{self._name}{_PART}").replace(self._partial / self._name)

    def finish(self) -> None:
        """All files are there: the folder gets its name, or they go into the one that is there."""
        self._unlock()
        if not self._target.exists():
            self._partial.rename(self._target)
            return
        for path in sorted(self._partial.iterdir(), key=lambda path: path.name == _LAST):
            path.replace(self._target / path.name)
        self._partial.rmdir()

    def leave(self, *, keep: bool) -> None:
        """It was broken off. Whole files may be kept, for the next time; after a full disk they are not."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is None:  # never opened, or somebody else's
            return
        for path in self._partial.glob(f"*{_PART}"):
            path.unlink()
        self._unlock()
        if not keep or not any(self._partial.iterdir()):
            shutil.rmtree(self._partial)

    def _unlock(self) -> None:
        if self._lock is not None:
            (self._partial / _LOCK).unlink()
            self._lock.close()
            self._lock = None


def partial_folder(target: Path) -> Path:
    """Where files wait until all are there."""
    return target.with_name(f".{target.name}.partial")
