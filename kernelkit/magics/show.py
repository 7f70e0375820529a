"""What the magics say and show; what is heavy to load is loaded when it is first shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kernelkit.outputs import RankOutput
    from kernelkit.places import Places


class Savable(Protocol):
    """What `--save` takes: it refuses a file that cannot be written by an `ArgumentError`."""

    def save(self, path: str) -> object: ...


def ends(timeout_s: float | None, stuck_s: float) -> str:
    """What the live view says about its own end."""
    from kernelkit.units import format_seconds

    if timeout_s is not None:
        return f"--timeout {format_seconds(timeout_s)}"
    return f"ends by itself once a rank has not moved for {format_seconds(stuck_s)} (cluster.stuck_s)"


def running(
    slot: Any,
    outputs: Mapping[int, RankOutput],
    still: Sequence[int],
    elapsed_s: float,
    places: Places,
    how: str,
) -> None:
    from kernelkit.views.live import running_html, running_text

    html = running_html(outputs, still, elapsed_s, places, how)
    slot.show(html, running_text(outputs, still, elapsed_s, places))


def new_slot() -> Any:
    from kernelkit.views.slot import Slot

    return Slot()


@contextmanager
def bars() -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """A function that draws the ranks' progress, a bar for each that has told any; they go at the end."""
    from kernelkit.views.live import progress_html, progress_text

    fractions: dict[int, tuple[str, float]] = {}
    with new_slot() as slot:

        def draw(rank: int, event: dict[str, Any]) -> None:
            fractions[rank] = (event["phase"], event["fraction"])
            slot.show(progress_html(fractions), progress_text(fractions))

        yield draw


def publish(piece: Any) -> None:
    from kernelkit.views.publish import publish as publish_piece

    publish_piece(piece)


def display(result: Any) -> None:
    """Show a result as the last line of a cell would."""
    from IPython.display import display as show

    show(result)


def say(text: str) -> None:
    from kernelkit.outputs import Display

    publish(Display({"text/plain": text}))


def warn(text: str) -> None:
    from kernelkit.outputs import Stream

    publish(Stream("stderr", text + "\n"))


@contextmanager
def saving() -> Iterator[None]:
    """What was found out is shown also where it cannot be written."""
    from kernelkit.errors import ArgumentError

    try:
        yield
    except ArgumentError as error:
        warn(str(error))


def save(found: Savable, flags: Mapping[str, Any]) -> None:
    """To the file that `--save` names, if it does."""
    if "save" in flags:
        with saving():
            found.save(flags["save"])


def ranks_text(count: int) -> str:
    return f"{count} {plural(count)}"


def plural(count: int) -> str:
    return "rank" if count == 1 else "ranks"
