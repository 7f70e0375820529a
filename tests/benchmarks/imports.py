"""What it costs a notebook to have kernelkit at hand, before it is used.

Timed inside fresh processes, around the statement alone. ipyparallel's import, which is all that it needs
to have `%%px` later, stands beside it for scale; the targets are absolute. The controller must stay
light: none of the modules below may be brought in.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.benchmarks.measure import Measure, Outcome, Summary, Target, by_turns
from tests.benchmarks.processes import Script

_HEAVY = {
    "ipykernel", "ipywidgets", "jupyter_client", "matplotlib", "ml_dtypes", "mlx", "mlx_lm", "numpy",
    "pandas", "psutil", "tokenizers", "torch", "transformers", "zmq",
}  # fmt: skip
# In an IPython shell these are there already.
_HEAVY_FOR_IMPORT = {"IPython", "traitlets"}
_WARM_UP = 1
_PEER = "import ipyparallel"


def run(quick: bool) -> Outcome:
    """Time both statements, each beside ipyparallel's in the same place."""
    rounds = 5 if quick else 11
    plain, new_plain = _compare("import kernelkit", "import", "plain", Target("value", "<=", 0.15), rounds)
    shell, new_shell = _compare(
        "%load_ext kernelkit", "load_ext", "ipython", Target("value", "<=", 0.3), rounds
    )
    heavy = {
        "import kernelkit": sorted(new_plain & (_HEAVY | _HEAVY_FOR_IMPORT)),
        "%load_ext kernelkit": sorted(new_shell & _HEAVY),
    }
    count = Summary.of([sum(len(names) for names in heavy.values())])
    none_heavy = Measure(
        "heavy modules that the two bring in", "", count, targets=(Target("value", "<=", 0),)
    )
    return Outcome([plain, shell, none_heavy], _WARM_UP, {"heavy_modules": heavy})


def _compare(statement: str, how: str, where: str, target: Target, rounds: int) -> tuple[Measure, set[str]]:
    """The row of one statement, and the top-level modules that it brought in."""
    results = by_turns(
        {
            statement: partial(_time, how, "kernelkit", where),
            _PEER: partial(_time, "import", "ipyparallel", where),
        },
        rounds=rounds,
        warm_up=_WARM_UP,
        show=lambda answer: f"{answer['took_s'] * 1e3:.1f} ms",
        every=5,
    )
    ours, theirs = ([answer["took_s"] for answer in results[name]] for name in (statement, _PEER))
    new = {name for answer in results[statement] for name in answer["new"]}
    return Measure.compare(f"`{statement}`", "s", ours, f"`{_PEER}`", theirs, target), new


def _time(how: str, package: str, where: str) -> dict[str, Any]:
    with Script("import_statement", how, package, where) as script:
        return script.answer()
