"""Many ranks' failures as one error: each traceback once, and of ranks that wait, where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kernelkit.cluster.follow import Ending
from kernelkit.errors import (
    CellError,
    CellInterruptedError,
    CollectiveMismatchError,
    RankError,
    RankStuckError,
)
from kernelkit.outputs import RankOutput
from kernelkit.outputs.text import rank_label
from kernelkit.places import Call, Places, awaited, sentence

_SHOWN_TRACEBACKS = 3
_RECOVER = "%cluster recover"


def cell_error(outputs: Mapping[int, RankOutput], ending: Ending, failure: str) -> CellError | None:
    """The error that a cell ends with, or None where it ended well.

    Args:
        outputs: of the ranks that ran it.
        ending: how waiting for it ended.
        failure: why the group cannot be used any more, or empty.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for rank, output in sorted(outputs.items()):
        if output.error is not None:
            groups.setdefault(tuple(output.error["traceback"]), []).append(rank)
    # Ranks that were interrupted because another failed are not the reason.
    stops = {"KeyboardInterrupt"}
    if ending.reason == "interrupted":
        stops.add("CancelledError")  # what an interrupt is to a cell that awaits
    causes = {trace: ranks for trace, ranks in groups.items() if _name(outputs[ranks[0]]) not in stops}
    if not causes or ending.reason in ("timeout", "deadlock"):
        if error := stuck_error(ending, failure):
            return error
        if not groups:
            return None
        return interrupted_error("the cell", failure, _labelled(groups))
    names = {_name(outputs[ranks[0]]) for ranks in causes.values()}
    if names == {CollectiveMismatchError.__name__}:  # found by --check, on every rank alike
        first = next(iter(causes.values()))[0]
        return CollectiveMismatchError(_text(outputs[first]), cure=_cure(failure))
    what = "; ".join(
        f"{_label(ranks)} raised {_name(outputs[ranks[0]])}: {_text(outputs[ranks[0]])}"
        for ranks in causes.values()
    )
    return RankError(what, tracebacks=_labelled(causes), cure=_cure(failure))


def stuck_error(ending: Ending, failure: str) -> CellError | None:
    """The error for ranks that waited: where each stood, and what they disagree in; None where none did.

    A stop by the user that all ranks followed is no such error.
    """
    if ending.reason not in ("timeout", "deadlock") and not (
        ending.blocked and ending.reason == "interrupted"
    ):
        return None
    waited = any(awaited(place, ending.places) for place in ending.places.values())
    what = ending.why or (
        "the cell was stopped while ranks waited for each other"
        if waited
        else "the cell was stopped, and ranks did not follow"
    )
    row = ending.difference
    places = "".join(f"\n    {place.full}" for place in ending.places.values())
    stacks = [(f"rank {rank} stood at", stack) for rank, stack in sorted(ending.stacks.items())]
    cure = _cure(failure) or "the ranks were interrupted, and the cluster is still usable"
    if row and _is_settled(row, ending.places):
        got = f"{describe_row(row)}{places}"
        return CollectiveMismatchError(what, expected=_SAME, got=got, cure=cure, tracebacks=stacks)
    return RankStuckError(what, got=places, cure=cure, tracebacks=stacks)


def interrupted_error(
    what: str, failure: str, tracebacks: list[tuple[str, str]] | None = None
) -> CellInterruptedError:
    """The error for a stop that all ranks followed."""
    usable = "" if failure else "; the cluster is still usable"
    return CellInterruptedError(f"{what} was interrupted{usable}", cure=_cure(failure), tracebacks=tracebacks)


def mismatch_error(what: str, row: Mapping[int, Call | None]) -> CollectiveMismatchError:
    """The error for ranks whose ledgers differ, once the cell is over."""
    cure = f"mend the lines above, then {_RECOVER}"
    return CollectiveMismatchError(what, expected=_SAME, got=describe_row(row), cure=cure)


_SAME = "the same collectives in the same order on every rank"


def describe_row(row: Mapping[int, Call | None]) -> str:
    """`the 3rd collective: rank 0 all_sum ...; rank 1 none`."""
    index = next((call.index for call in row.values() if call is not None), 0)
    calls = "; ".join(f"rank {rank} {call or 'none'}" for rank, call in row.items())
    return f"collective number {index + 1}: {calls}"


def failure_of(ending: Ending) -> str:
    """Why the group cannot be used after ranks did not end."""
    places = ending.places
    waits = []
    for rank in ending.blocked:
        what = awaited(places[rank], places)
        place = replace(places[rank], still_s=0.0)  # its time is no news, and differs from run to run
        waits.append(f"rank {rank} " + (f"waits in {what}" if what else sentence(place, places)))
    return "; ".join(waits)


def _is_settled(row: Mapping[int, Call | None], places: Places) -> bool:
    """Whether no rank can still come and make it right."""
    calls = [call for call in row.values() if call is not None]
    if not all(call.fits(calls[0]) for call in calls):
        return True
    return any(places[rank].over for rank, call in row.items() if call is None and rank in places)


def _cure(failure: str) -> str:
    return f"{_RECOVER} ({failure})" if failure else ""


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
