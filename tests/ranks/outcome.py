"""What came of a case, and whether its error is the one that it must be."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.ranks.faults import LAST_WORDS
from tests.ranks.leftovers import Report
from tests.ranks.matrix import BEFORE, RECOVERY_TARGET_S, Case

# What the user does then. A second recovery finds nothing to do; a broken one loses a new rank on the way.
Then = Literal["recover", "recover twice", "recover after a broken recovery", "restart", "connect"]


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        then: how the user went on.
        error: name of the error that the cell ended with; empty where it ended well.
        text: its message, or the warning.
        detection_s: from the fault, or from when it could be told, until the notebook had its prompt back.
        recovery_s: of `recover`, or of what was done in its place.
        settled_s: until nothing of the old ranks was left.
        leftovers: what was left after all.
        problems: what is not as it must be; empty in a good outcome.
        hang: where it hung, or empty.
    """

    case: Case
    then: Then
    error: str = ""
    text: str = ""
    detection_s: float | None = None
    recovery_s: float | None = None
    settled_s: float | None = None
    leftovers: Report = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hang: str = ""

    @property
    def good(self) -> bool:
        return not (self.problems or self.hang or self.leftovers)

    @property
    def recovers(self) -> bool:
        """Whether variables are there again."""
        return self.then not in ("restart", "connect")

    def expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)

    def judge_error(self) -> None:
        """Is it the right error, and does it say what it must?"""
        case, fault = self.case, self.case.fault
        wanted = " or ".join(name or "a warning" for name in fault.errors)
        got = self.error or "no error"
        self.expect(self.error in fault.errors, f"expected {wanted}, got {got}: {self.text}")
        # Of ranks that all are about to start, nobody can say which one will be first.
        is_any = case.phase in BEFORE and bool(fault.statement)
        victims = range(case.world_size) if is_any else [case.victim]
        says = [*fault.says]
        if fault.deadly and not fault.to_agent and (case.phase not in BEFORE or is_any):
            says.append(LAST_WORDS if is_any else f"{LAST_WORDS} {case.victim}")
        host = socket.gethostname()
        missing = [
            [
                piece
                for piece in says
                if piece.format(victim=rank, other=int(rank == 0), host=host) not in self.text
            ]
            for rank in victims
        ]
        lacking = min(missing, key=len)
        self.expect(not lacking, f"the message lacks {lacking}: {self.text}")

    @property
    def met(self) -> bool:
        """Whether both times are within their targets; a recovery's is set for two ranks."""
        detected = self.detection_s is not None and self.detection_s <= self.case.detection_target_s
        limit_s = RECOVERY_TARGET_S if self.case.world_size <= 2 else math.inf
        return detected and self.recovery_s is not None and self.recovery_s <= limit_s

    def to_dict(self) -> dict[str, Any]:
        """JSON-like; the message is in `problems`, where there are any."""
        case = self.case
        return {
            "phase": case.phase.name,
            "fault": case.fault.name,
            "strategy": case.strategy,
            "ranks": case.world_size,
            "victim": "agent" if case.fault.to_agent else case.victim,
            "delay_s": case.delay_s,
            "then": self.then,
            "error": self.error,
            "detection_s": _rounded(self.detection_s),
            "detection_target_s": case.detection_target_s,
            "recovery_s": _rounded(self.recovery_s),
            "settled_s": _rounded(self.settled_s),
            "met": self.met,
            "leftovers": self.leftovers,
            "problems": self.problems,
            "hang": self.hang,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
