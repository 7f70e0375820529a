"""Turn Ctrl-C into a flag for the time that ranks are at work.

A KeyboardInterrupt between two requests would leave one rank with a collective that the other was
never asked for. So while a request is under way SIGINT is only noted; the loop that follows the ranks
looks at the note several times a second and ends them in good order. A function of the caller's, which may
take as long as it likes, is broken off.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context manager; it does nothing in threads other than the main one, where no SIGINT arrives."""

    def __init__(self) -> None:
        self._pending = False
        self._asked = False
        self._in_function = False
        self._broke_off = False
        self._replaced: Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> Interrupts:
        # Whoever handles it otherwise (Python, ipykernel, asyncio) gets it back; who ignores it knows why.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._replaced = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._replaced is not None:
            signal.signal(signal.SIGINT, self._replaced)
        if self._pending and error is None:
            raise KeyboardInterrupt

    def take(self) -> bool:
        """Whether there was a Ctrl-C since the last time, or an `ask`; it is dealt with by asking."""
        taken = self._pending or self._asked
        self._pending = self._asked = False
        return taken

    def ask(self) -> None:
        """The same from another thread."""
        self._asked = True

    def call(self, function: Callable[..., None], *given: Any) -> None:
        """Call a function of the caller's, which Ctrl-C breaks off; from then on none is called any more.

        What the ranks sent meanwhile may be a long row of calls that would each take as long.
        """
        if self._broke_off:
            return
        try:
            self._in_function = True
            try:
                function(*given)
            finally:
                self._in_function = False
        except KeyboardInterrupt:
            if not self._broke_off:  # one of its own
                raise

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        if self._in_function:
            self._in_function = False
            self._broke_off = True
            raise KeyboardInterrupt
