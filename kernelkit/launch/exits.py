"""How a rank's process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Exit:
    """How a rank's process ended.

    Attributes:
        returncode: exit status; negative is the signal that killed it; None where nobody could see it.
        stderr: its last lines.
        host: where it ran.
        out_of_memory: whether the system ran out of memory since the rank began, and killed somebody.
        why: what is known in place of a status.
    """

    returncode: int | None
    stderr: list[str] = field(default_factory=list)
    host: str = ""
    out_of_memory: bool = False
    why: str = ""

    @property
    def told(self) -> str:
        """As the rest of a sentence about the rank."""
        return self.why if self.returncode is None else f"its process ended ({self})"

    def __str__(self) -> str:
        if self.returncode is None:
            return self.why
        killed = self.returncode == -signal.SIGKILL
        hint = "; the system was out of memory" if self.out_of_memory and killed else ""
        return f"{status_text(self.returncode)}{hint}"


def status_text(returncode: int) -> str:
    """`exit status 3`, `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit status {returncode}"
    # Linux has real-time signals that Python has no name for.
    known = -returncode in {known.value for known in signal.Signals}
    return f"killed by {signal.Signals(-returncode).name if known else f'signal {-returncode}'}"
