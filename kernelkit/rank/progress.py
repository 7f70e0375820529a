"""Tell the notebook how far something is, often enough for the eye and no oftener."""

from __future__ import annotations

import time
from typing import Any

from kernelkit.rank import state

# As often as the pictures are drawn anew; each event takes processor time from the ranks on a small machine.
EVENT_INTERVAL_S = 0.1


class Throttled:
    """The progress of one operation: an event at most every 100 ms, and always the last one."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._sent_s = 0.0

    def tell(self, phase: str, fraction: float, **more: Any) -> None:
        """Say that `phase` is done to this part, 0 to 1; `more` goes along in the event."""
        now = time.monotonic()
        if fraction >= 1 or now - self._sent_s >= EVENT_INTERVAL_S:
            self._sent_s = now
            event = {"event": "progress", "operation": self._operation, "phase": phase, "fraction": fraction}
            state.publish({**event, **more})
