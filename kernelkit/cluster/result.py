"""What a cell left behind on every rank, as the user holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kernelkit.outputs import RankOutput, Stream, render_cell, render_values
from kernelkit.views.publish import publish

if TYPE_CHECKING:
    from kernelkit.perf.timeline import Timeline


class Result(Mapping[int, RankOutput]):
    """Per rank: `result[1].value_repr`, `.stdout`, `.stderr`, `.displays`, `.error`.

    In a notebook it shows itself: what the ranks printed, unless a magic has shown that already,
    then the values of the last expression.

    Attributes:
        warning: what the user should know although nothing failed, or empty.
    """

    warning = ""

    def __init__(self, outputs: Mapping[int, RankOutput], world_size: int) -> None:
        self._outputs = dict(sorted(outputs.items()))
        self._world_size = world_size
        self._printed_shown = False

    def __getitem__(self, rank: int) -> RankOutput:
        return self._outputs[rank]

    def __iter__(self) -> Iterator[int]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def has_values(self) -> bool:
        """Whether the cell's last expression had a value on any rank."""
        return any(output.value is not None for output in self._outputs.values())

    @property
    def timeline(self) -> Timeline | None:
        """What each rank did when; None of a cell that was not recorded, or that a rank did not end."""
        from kernelkit.perf.recorded import timeline_of

        recordings = [output.recording for output in self._outputs.values() if output.recording is not None]
        return timeline_of(recordings, ()) if len(recordings) == self._world_size else None

    def show_printed(self) -> None:
        """Publish what was printed and displayed, once."""
        if not self._printed_shown:
            self._printed_shown = True
            for piece in render_cell(self._outputs, self._world_size):
                publish(piece)
            if self.warning:
                publish(Stream("stderr", f"warning: {self.warning}\n"))

    def __repr__(self) -> str:
        texts = [d.text for d in render_values(self._outputs, self._world_size) if d.is_text]
        return "\n".join(texts) or f"<Result of ranks {', '.join(map(str, self))}: no value>"

    def _ipython_display_(self) -> None:
        """Show rich values as such.

        Raises:
            NotImplementedError: IPython's sign for "use the repr": text alone becomes a plain `Out[n]`.
        """
        self.show_printed()
        values = render_values(self._outputs, self._world_size)
        if all(value.is_text for value in values):
            raise NotImplementedError
        for value in values:
            publish(value)
