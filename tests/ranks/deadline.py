"""End what hangs, and take down what a step raised: here a failure is a result, not the end of the run."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

_SHOWN_FRAMES = 6


class HungError(BaseException):
    """The time was up; the message is the main thread's stack at that moment. No handler may catch it."""


@contextlib.contextmanager
def deadline(limit_s: float) -> Iterator[None]:
    """Raise `HungError` in the main thread, wherever it is, after `limit_s`.

    SIGUSR1 in place of SIGALRM, which pytest-timeout uses.
    """

    def hung(number: int, frame: FrameType | None) -> None:
        stack = "".join(traceback.format_stack(frame)[-_SHOWN_FRAMES:])
        raise HungError(f"not done after {limit_s:.0f} s:\n{stack}")

    main = threading.main_thread().ident
    assert main == threading.get_ident(), "only the main thread can be interrupted"
    before = signal.signal(signal.SIGUSR1, hung)
    timer = threading.Timer(limit_s, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)


class Caught:
    """A context manager that ends with what was raised inside as its `error`.

    Ctrl-C passes: whoever runs the matrix may stop it.
    """

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return isinstance(error, Exception | HungError)
