"""Many ranks' failures as one error: each traceback once, with the ranks that raised it."""

from __future__ import annotations

from collections.abc import Mapping

from kernelkit.errors import CellError, CellInterruptedError, RankError
from kernelkit.outputs import RankOutput
from kernelkit.outputs.text import rank_label

_SHOWN_TRACEBACKS = 3


def cell_error(outputs: Mapping[int, RankOutput], interrupted: bool, failure: str) -> CellError | None:
    """The error that a cell ends with, or None where it ended well.

    Args:
        outputs: of the ranks that ran it.
        interrupted: whether the user stopped it.
        failure: why the group cannot be used any more, or empty.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for rank, output in sorted(outputs.items()):
        if output.error is not None:
            groups.setdefault(tuple(output.error["traceback"]), []).append(rank)
    cure = f"%cluster restart: {failure}" if failure else ""
    names = {_name(output) for output in outputs.values() if output.error is not None}
    if interrupted or names == {"KeyboardInterrupt"}:
        shown = _labelled(groups)
        stuck = "" if failure else "; the cluster is still usable"
        return CellInterruptedError(f"the cell was interrupted{stuck}", tracebacks=shown, cure=cure)
    # Ranks that were interrupted because another failed are not the reason.
    causes = {
        trace: ranks for trace, ranks in groups.items() if _name(outputs[ranks[0]]) != "KeyboardInterrupt"
    }
    if not causes:
        return None
    what = "; ".join(
        f"{_label(ranks)} raised {_name(outputs[ranks[0]])}: {_text(outputs[ranks[0]])}"
        for ranks in causes.values()
    )
    return RankError(what, tracebacks=_labelled(causes), cure=cure)


def _labelled(groups: Mapping[tuple[str, ...], list[int]]) -> list[tuple[str, str]]:
    shown = [(_label(ranks), "\n".join(trace)) for trace, ranks in groups.items()][:_SHOWN_TRACEBACKS]
    if (left := len(groups) - len(shown)) > 0:
        shown.append((f"… and {left} more tracebacks: cluster.last[RANK].error", ""))
    return shown


def _label(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {rank_label(ranks)}"


def _name(output: RankOutput) -> str:
    return str(output.error["ename"]) if output.error else ""


def _text(output: RankOutput) -> str:
    return str(output.error["evalue"]) if output.error else ""
