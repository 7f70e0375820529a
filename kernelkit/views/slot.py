"""A place in the running cell's output that lives while it runs and leaves nothing behind.

The saved notebook must be the same from run to run, and nbval compares what was first displayed, so
the slot begins and ends as the same empty output. In between it is updated some times a second.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from kernelkit.views.picture import MIME

# JupyterLab and nbconvert give an empty text no height at all (looked at in both).
_EMPTY: dict[str, Any] = {"text/plain": ""}
_FIRST_S = 0.3
_INTERVAL_S = 0.15


class Slot:
    """Use as a context manager; `show` may be called as often as one likes."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._used = False
        self._next_s = time.monotonic() + _FIRST_S
        self._notebook = _in_notebook()
        self._terminal = not self._notebook and sys.stderr.isatty()

    def __enter__(self) -> Slot:
        if self._notebook:
            self._publish(_EMPTY, update=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._used and self._notebook:
            self._publish(_EMPTY, update=True)
        elif self._used:
            sys.stderr.write("\r\x1b[K")

    def due(self) -> bool:
        """Whether it is time for another picture; cheap, for the caller that draws only then."""
        return (self._notebook or self._terminal) and time.monotonic() >= self._next_s

    def show(self, html: str, text: str, view: Mapping[str, Any] | None = None) -> None:
        """Replace what the slot shows; too early a call is dropped.

        Args:
            html: for a notebook.
            text: one line, for a terminal.
            view: a picture's kind, scene and alt, for pages that can draw it.
        """
        if not self.due():
            return
        self._next_s = time.monotonic() + _INTERVAL_S
        self._used = True
        if self._notebook:
            drawn = {MIME: view} if view is not None else {}
            self._publish({**drawn, "text/html": html, "text/plain": text}, update=True)
        else:
            sys.stderr.write(f"\r\x1b[K{text[:110]}")
            sys.stderr.flush()

    def _publish(self, data: dict[str, Any], *, update: bool) -> None:
        from IPython.display import publish_display_data

        publish_display_data(data, {}, transient={"display_id": self._id}, update=update)


def _in_notebook() -> bool:
    """Whether displays can be updated: under a Jupyter kernel, not in a terminal or a script."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
