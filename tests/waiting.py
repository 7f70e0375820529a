"""Wait for what happens in other processes: poll with a deadline, never sleep and hope."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

# Of a Ctrl-C that was not seen.
_UNSEEN_S = 5.0


def eventually(condition: Callable[[], Any], timeout_s: float = 20.0) -> bool:
    """Poll until a condition holds; False after the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def ctrl_c_after(started: threading.Event, ended: threading.Event | None = None) -> threading.Thread:
    """Press Ctrl-C once that has happened; the thread that does is to be joined.

    Args:
        ended: to be set when it had its effect; without it for some seconds it is pressed again. Python looks
            for signals before it begins to sleep, and not at one that comes between its look and the sleep.
    """

    def press() -> None:
        # To the main thread, as a terminal's: one that it does not get itself would not wake it.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def watch() -> None:
        started.wait(60)
        press()
        if ended is not None and not ended.wait(_UNSEEN_S):
            press()

    presser = threading.Thread(target=watch)
    presser.start()
    return presser


def gone(pid: int) -> bool:
    """Whether a process has ended; an orphan that nobody has reaped yet counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
