"""End with the agent, also where no thread of this process can see that it has ended."""

from __future__ import annotations

import signal
import sys


def die_with_parent() -> None:
    """Ask Linux to kill this process with its agent; elsewhere the end of standard input must do.

    It covers the one moment in which the watching thread cannot run: MLX's `init` holds the GIL
    while it waits for a peer.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
