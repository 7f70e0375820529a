"""Probes as local processes: what an agent does for `survey.links`, without an agent."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from kernelkit.errors import HostError


class LocalTask:
    """A `survey.links.Task` on this machine."""

    def __init__(
        self, host: str, module: str, boot: dict[str, Any], prefix: Sequence[str] = (), stderr: Any = None
    ) -> None:
        self.host = host
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self._partial = b""
        self._lines: list[bytes] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self.tell(boot)

    def tell(self, request: dict[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except BrokenPipeError as error:
            raise HostError(f"the probe on {self.host} has ended") from error

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        deadline_s = time.monotonic() + timeout_s
        while not self._lines:
            if not self._selector.select(max(0.0, deadline_s - time.monotonic())):
                return None
            data = os.read(self._stdout.fileno(), 65536)
            if not data:
                raise HostError(f"the probe on {self.host} ended with {self.process.wait()}")
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._lines += lines
        said: dict[str, Any] = json.loads(self._lines.pop(0))
        return said

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._selector.close()
        self._stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def until(self, event: str, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """All that it says up to that event, which is the last of the list."""
        said: list[dict[str, Any]] = []
        deadline_s = time.monotonic() + timeout_s
        while not said or said[-1]["event"] != event:
            line = self.next(max(0.0, deadline_s - time.monotonic()))
            assert line is not None, f"no {event} within {timeout_s} s, only {said}"
            assert line["event"] != "error" or event == "error", line
            said.append(line)
        return said
