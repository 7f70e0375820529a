"""What a C library writes before it ends the process must leave it: NCCL's errors end in `exit(1)`.

ipykernel puts a pipe in place of standard output and error, and a thread of Python's reads it. `exit` does
not wait for that thread: the one line that says why a rank is gone was lost every other time.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import threading
from typing import Any

from ipykernel.iostream import OutStream

_READ_BYTES = 65_536


class WatchedStream(OutStream):
    """ipykernel's stream, whose reader holds a lock while something is on its way."""

    def _setup_stream_redirects(self, name: str) -> None:
        self._taking = threading.Lock()
        super()._setup_stream_redirects(name)  # type: ignore[no-untyped-call]

    @property
    def _reading(self) -> int:
        assert self._fid is not None
        return int(self._fid)

    def _watch_pipe_fd(self) -> None:
        while True:
            select.select([self._reading], [], [])
            if not self._should_watch or not self.pass_on():
                return

    def pass_on(self, *, last: bool = False) -> bool:
        """Hand over what lies in the pipe: to the notebook, and to whoever has the process's own descriptor.

        Args:
            last: to the latter alone, since the process ends.

        Returns:
            False at the pipe's end.
        """
        with self._taking:
            while select.select([self._reading], [], [], 0)[0]:
                data = os.read(self._reading, _READ_BYTES)
                if last or self.echo is None:  # the echo goes there as well
                    os.write(self._original_stdstream_copy, data)
                if not last:
                    self.write(data.decode(errors="replace"))
                if not data:
                    return False
        return True


def keep_last_words(*streams: Any) -> None:
    """From now on `exit`, by whomever it is called, passes on what was written to these streams.

    Where C's library has no such hook, it stays as it was.
    """
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "__cxa_atexit") and hasattr(libc, "__cxa_finalize")):
        return
    process = os.getpid()

    def pass_on(_: Any) -> None:
        if os.getpid() != process:  # a forked child: the pipes are its parent's
            return
        libc.fflush(None)  # C flushes only after this
        for stream in streams:
            stream.pass_on(last=True)

    hook = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(pass_on)
    ours = ctypes.byref(ctypes.c_int())  # names the hook to C's library
    libc.__cxa_atexit(hook, None, ours)

    def forget() -> None:
        """Python ends by itself: the hook must run while there is one."""
        assert hook
        libc.__cxa_finalize(ours)

    atexit.register(forget)
