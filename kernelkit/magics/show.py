"""What the magics say and show; what is heavy to load is loaded when it is first shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelkit.outputs import RankOutput
    from kernelkit.places import Places


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


def publish(piece: Any) -> None:
    from kernelkit.views.publish import publish as publish_piece

    publish_piece(piece)


def say(text: str) -> None:
    from kernelkit.outputs import Display

    publish(Display({"text/plain": text}))


def warn(text: str) -> None:
    from kernelkit.outputs import Stream

    publish(Stream("stderr", text + "\n"))


def ranks_text(count: int) -> str:
    return f"{count} {plural(count)}"


def plural(count: int) -> str:
    return "rank" if count == 1 else "ranks"
