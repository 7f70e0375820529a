"""Whether a sharded model answered as the whole one does: equal, refused or wrong, and by how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

# Of the largest logit. Sums over 2 or 3 ranks add the same float32 numbers in another order, which moves
# them by some 1e-7 of their size; layers with gains above 1 make 1e-6 to 2e-5 of it, as was seen. In all
# tiny models any one layer, with the rows of its matrices in reverse, moves a logit by 0.4 and more.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Verdict:
    """One architecture under one strategy on so many ranks.

    Attributes:
        verdict: "refused" by an error of kernelkit before anything was loaded.
        difference: the largest of any logit on any rank, as a part of the largest logit; None if none came.
        reason: a line: why it was refused, or what is wrong.
    """

    verdict: Literal["equal", "refused", "wrong"]
    difference: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, without what is not known."""
        known = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        if self.difference is not None:
            known["difference"] = float(f"{self.difference:.2g}")
        return known


def difference(expected: np.ndarray, got: np.ndarray) -> float:
    """The largest difference, as a part of the largest number expected; infinite where shapes differ."""
    if expected.shape != got.shape or not np.array_equal(np.isfinite(expected), np.isfinite(got)):
        return float("inf")
    finite = np.isfinite(expected)
    scale = float(np.abs(expected[finite]).max())
    return float(np.abs(expected[finite] - got[finite]).max()) / scale


def compare(expected: dict[str, Any], answers: dict[int, dict[str, Any]]) -> Verdict:
    """Hold every rank's answers, as of `forward.ask`, against those of the whole model."""
    worst, faults = 0.0, []
    for rank, answer in sorted(answers.items()):
        for part in ("whole", "cached"):
            off = difference(expected[part], answer[part])
            worst = max(worst, off)
            if not off <= TOLERANCE:
                faults.append(f"{part} logits differ by {off:.1g} on rank {rank}")
        if answer["tokens"] != expected["tokens"]:
            faults.append(f"greedy tokens {answer['tokens']} in place of {expected['tokens']} on rank {rank}")
    if faults:
        return Verdict("wrong", worst if np.isfinite(worst) else None, "; ".join(faults[:3]))
    return Verdict("equal", worst)


def compare_tokens(expected: list[int], generated: list[int]) -> str:
    """What is wrong with a generated text; empty if nothing is."""
    return "" if generated == expected else f"generated {generated} in place of {expected}"
