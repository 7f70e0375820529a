"""An observer that keeps what it is told."""

from __future__ import annotations

from kernelkit.cluster.observers import Moment


class Seen(list[Moment]):
    """All moments, in order."""

    def __call__(self, moment: Moment) -> None:
        self.append(moment)

    @property
    def phases(self) -> list[str]:
        return [moment.phase for moment in self]

    @property
    def ends(self) -> list[tuple[str, str]]:
        """What has ended, and the state of the cluster then."""
        return [(moment.what, moment.state) for moment in self if moment.phase == "ended"]
