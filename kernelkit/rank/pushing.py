"""Send a model's files from one rank to others in step, and agree on every end of it.

Before each chunk all ranks add up their states, so that a full disk, a broken file or the user's stop on one
rank ends the loop on all of them at the same chunk, and no rank waits for another that has left.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from kernelkit.rank import state
from kernelkit.rank.arrival import Arrival
from kernelkit.rank.convey import CHUNK_BYTES, Way, chunks_of, share, way_for
from kernelkit.rank.progress import Throttled

_FINE, _STOP, _FAILED = 0, 1, 2

# By transfer: a stop may reach this rank before `transfer` itself does.
_stops: dict[str, threading.Event] = {}


def transfer(
    push: str,
    source: int,
    writers: Mapping[str, Mapping[str, Any]],
    files: Sequence[tuple[str, int]],
    folder: str,
) -> dict[str, Any]:
    """Take part in a push: all ranks of the group with the same arguments, whatever their part.

    Args:
        push: names this one for `stop_transfer`.
        source: the rank that reads the files.
        writers: by rank, as JSON writes it: `folder`, where to; `ours`; `needed` and `kept`, names of files.
        files: name and bytes of each that is sent.
        folder: where the source has them.

    Returns:
        `end`: `done`, `stopped` or `failed`, alike on all ranks; `error`, what failed here; `elapsed_s`.
    """
    assert state.group is not None
    stop = _stops.setdefault(push, threading.Event())
    for old in [name for name in _stops if name != push]:
        del _stops[old]
    mine = writers.get(str(state.rank))
    way = way_for(state.backend, state.group, source, [int(rank) for rank in writers])
    with ThreadPoolExecutor(1) as beside:
        part: _Part
        if state.rank == source:
            part = _Source(Path(folder), sum(size for _, size in files), beside)
        elif mine is not None:
            arrival = Arrival(Path(mine["folder"]), ours=mine["ours"])
            part = _Writer(arrival, mine["needed"], mine["kept"], beside)
        else:
            part = _Part()
        started_s = time.perf_counter()
        try:
            end = _run(state.group, way, part, source, files, stop)
        except BaseException:
            part.leave(failed=False)  # an interrupt: what is whole is of use the next time
            raise
    return {"end": end, "error": part.error, "elapsed_s": time.perf_counter() - started_s}


def stop_transfer(push: str) -> None:
    """From a subshell: end it at the next chunk, on all ranks; one rank that knows is enough."""
    _stops.setdefault(push, threading.Event()).set()


def _run(
    group: mx.distributed.Group,
    way: Way,
    part: _Part,
    source: int,
    files: Sequence[tuple[str, int]],
    stop: threading.Event,
) -> str:
    def agreed() -> str:
        """`done` where all ranks are fine, else why they end here; alike on all."""
        own = _FAILED if part.error else _STOP if stop.is_set() else _FINE
        states = [0] * group.size()
        states[group.rank()] = own
        shared = share(group, states)
        return "failed" if _FAILED in shared else "stopped" if _STOP in shared else "done"

    part.attempt(part.open)
    for name, size_bytes in files:
        part.attempt(part.begin, name, size_bytes)
        for number in range(way.steps(chunks_of(size_bytes))):
            part.attempt(part.settle)
            if (end := agreed()) != "done":
                part.leave(failed=end == "failed")
                return end
            part.take(way.step(number, size_bytes, part.read))
        part.attempt(part.end)
        sent = share(group, list(part.digest) if group.rank() == source else [0] * 32)
        part.attempt(part.verify, bytes(sent))
    if (end := agreed()) != "done":  # the last file
        part.leave(failed=end == "failed")
        return end
    part.attempt(part.finish)
    end = agreed()
    return "failed" if end == "failed" else "done"


class _Part:
    """What a rank does in a push: here, nothing but to hand chunks on.

    Attributes:
        error: what has failed on this rank, or empty.
        digest: SHA-256 of the file that was read or written last.
    """

    error = ""
    digest = bytes(32)

    def attempt(self, action: Any, *arguments: Any) -> None:
        """Do something that may fail; after a failure nothing more is done, and the others are told."""
        if self.error:
            return
        try:
            action(*arguments)
        except OSError as error:
            self.error = str(error)

    def open(self) -> None: ...

    def begin(self, name: str, size_bytes: int) -> None: ...

    def settle(self) -> None:
        """Before a step: wait for the disk."""

    def read(self, number: int) -> mx.array:
        raise AssertionError("only the source reads")

    def take(self, chunk: mx.array | None) -> None: ...

    def end(self) -> None: ...

    def verify(self, sent: bytes) -> None: ...

    def finish(self) -> None: ...

    def leave(self, *, failed: bool) -> None: ...


class _Source(_Part):
    """Reads a chunk ahead, in a thread beside."""

    def __init__(self, folder: Path, total_bytes: int, beside: ThreadPoolExecutor) -> None:
        self._folder, self._total_bytes, self._beside = folder, total_bytes, beside
        self._done_bytes, self._began_s = 0, time.perf_counter()
        self._progress = Throttled("push")
        self._ahead: Future[bytes] | None = None
        self._chunk = b""

    def begin(self, name: str, size_bytes: int) -> None:
        self._name, self._left_bytes = name, size_bytes
        self._hash = hashlib.sha256()
        self._file = (self._folder / name).open("rb", buffering=0)
        self._ahead = self._beside.submit(self._read)

    def _read(self) -> bytes:
        """The next chunk; empty at the end of the file."""
        wanted = min(CHUNK_BYTES, self._left_bytes)
        pieces = []
        while wanted:
            piece = self._file.read(wanted)
            if not piece:
                raise OSError(f"{self._file.name} has become shorter while it was read")
            pieces.append(piece)
            wanted -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._left_bytes -= len(data)
        self._hash.update(data)
        return data

    def settle(self) -> None:
        if self._ahead is not None:
            self._chunk, self._ahead = self._ahead.result(), None

    def read(self, number: int) -> mx.array:
        data = self._chunk
        self._ahead = self._beside.submit(self._read)
        self._done_bytes += len(data)
        rate = self._done_bytes / (time.perf_counter() - self._began_s)
        self._progress.tell(
            f"sending {self._name}", self._done_bytes / self._total_bytes, bytes_per_s=round(rate)
        )
        return mx.array(np.frombuffer(data, np.uint8))

    def end(self) -> None:
        self.settle()
        self._file.close()
        self.digest = self._hash.digest()


class _Writer(_Part):
    """Writes and hashes a chunk in a thread beside, while the next one comes."""

    def __init__(
        self, arrival: Arrival, needed: Sequence[str], kept: Sequence[str], beside: ThreadPoolExecutor
    ) -> None:
        self._arrival, self._needed, self._kept, self._beside = arrival, needed, kept, beside
        self._writes = False
        self._pending: Future[None] | None = None

    def open(self) -> None:
        self._arrival.open(self._kept)

    def begin(self, name: str, size_bytes: int) -> None:
        self._name = name
        self._writes = name in self._needed
        if self._writes:
            self._arrival.begin(name)

    def settle(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def take(self, chunk: mx.array | None) -> None:
        if chunk is not None and self._writes:
            data: Any = chunk  # MLX does not say in its types that it is a buffer
            self._pending = self._beside.submit(self._arrival.write, memoryview(data))

    def end(self) -> None:
        self.settle()
        if self._writes:
            self.digest = self._arrival.end()

    def verify(self, sent: bytes) -> None:
        if self._writes:
            if sent != self.digest:
                raise OSError(f"{self._name} did not arrive as it was sent: its SHA-256 differs")
            self._arrival.accept()

    def finish(self) -> None:
        self._arrival.finish()

    def leave(self, *, failed: bool) -> None:
        if self._pending is not None:  # it may fail as well, and nobody needs it any more
            self._pending.exception()
            self._pending = None
        self._arrival.leave(keep=not (failed and self.error))
