"""What fits, how fast, and why: predictions from models' anatomy and the catalog's figures, no cluster."""

from __future__ import annotations

from kernelkit.perf.planning import plan
from kernelkit.perf.published import PublishedTable, published
from kernelkit.perf.ranges import Constant, Range
from kernelkit.perf.result import Plan, PlannedRank, Term
from kernelkit.perf.sweeping import Sweep, compare, sweep

__all__ = [
    "Constant",
    "Plan",
    "PlannedRank",
    "PublishedTable",
    "Range",
    "Sweep",
    "Term",
    "compare",
    "plan",
    "published",
    "sweep",
]
