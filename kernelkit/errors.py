"""Every error that kernelkit raises on purpose, as one tree.

::

    KernelkitError                 anything below: one `except` for all of it
    ├── ArgumentError              a call or a magic line asks for what is not there
    ├── TransferError              a value that push or pull cannot carry
    ├── ClusterError               about the group of ranks as a whole
    │   ├── NoClusterError         nothing is connected yet
    │   ├── ClusterRunningError    a second connect while one runs
    │   ├── ClusterBusyError       another cell is still running on the ranks
    │   ├── ConnectError           ranks did not start
    │   │   ├── HostError          a host cannot be reached, or lacks what ranks need there
    │   │   └── GroupError         they did, and formed no group that works
    │   └── ClusterFailedError     an earlier failure left the group unusable
    ├── CellError                  a cell did not end well on the ranks
    │   ├── RankError              it raised on at least one rank
    │   ├── RankLostError          a rank's process ended
    │   ├── RankStuckError         it did not end: a rank waits for another, or its time was up
    │   ├── CollectiveMismatchError  ranks called different collectives
    │   └── CellInterruptedError   the user stopped it (GenerationStoppedError: with the text so far)
    └── ModelError                 about the model
        ├── NoModelError           no model is loaded
        ├── ModelNotFoundError     the path or hub id does not lead to one
        ├── ModelPushError         its files could not be sent to another host
        ├── ModelShardError        it cannot be cut that way over that many ranks
        └── DoesNotFitError        a rank's device has less memory than its part needs

Each message says what went wrong and, where they help, what was expected, what was got and the
cure. In a notebook an error shows as that message alone: our own frames help nobody there.
"""

from __future__ import annotations

from typing import Any

_RED, _BOLD, _RESET = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class KernelkitError(Exception):
    """Base of the tree.

    Args:
        what: one sentence on what went wrong.
        expected: what would have been right.
        got: what was there instead.
        cure: what the user can do now.
    """

    def __init__(self, what: str, *, expected: str = "", got: str = "", cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        # What a caller gave in place of a text must not make the error one that cannot be shown.
        self.got = got if isinstance(got, str) else repr(got)
        self.cure = cure

    def __str__(self) -> str:
        parts = (("expected", self.expected), ("got", self.got), ("cure", self.cure))
        lines = [f"  {name}:{text if text[0] == chr(10) else ' ' + text}" for name, text in parts if text]
        return "\n".join([self.what, *lines])

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{_RED}{_BOLD}{type(self).__name__}{_RESET}: {self}"]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-like form, to carry the error from a rank to the notebook."""
        fields = {"what": self.what, "expected": self.expected, "got": self.got, "cure": self.cure}
        return {"type": type(self).__name__, **fields}


class ArgumentError(KernelkitError):
    """A call or a magic line asks for something that is not there."""


class TransferError(KernelkitError):
    """A value cannot be carried between the notebook and a rank."""


class ClusterError(KernelkitError):
    """Something about the group of ranks as a whole."""


class NoClusterError(ClusterError):
    """Nothing is connected yet, or it was stopped."""


class ClusterRunningError(ClusterError):
    """A cluster is connected already; a second one was asked for."""


class ClusterBusyError(ClusterError):
    """Another cell is still running on the ranks."""


class ConnectError(ClusterError):
    """The ranks did not start, or did not form a group that works."""


class HostError(ConnectError):
    """A host cannot be reached, or lacks what ranks need there."""


class GroupError(ConnectError):
    """The ranks started, and formed no group or a wrong one; new ranks on new ports may well."""


class ClusterFailedError(ClusterError):
    """An earlier failure left the group unusable: MLX cannot form one twice in a process."""


class CellError(KernelkitError):
    """A cell did not end well on the ranks.

    Attributes:
        tracebacks: for each set of ranks that raised alike, its name and what IPython printed there.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str = "",
        got: str = "",
        cure: str = "",
        tracebacks: list[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(what, expected=expected, got=got, cure=cure)
        self.tracebacks = tracebacks or []
        for label, text in self.tracebacks:  # for plain Python, which knows no _render_traceback_
            self.add_note(f"{label}\n{text}")

    def _render_traceback_(self) -> list[str]:
        lines = []
        for label, text in self.tracebacks:
            lines += [f"{_BOLD}{label}{_RESET}", text]
        return [*lines, *super()._render_traceback_()]


class RankError(CellError):
    """A cell raised on at least one rank."""


class RankLostError(CellError):
    """A rank's process ended: killed, crashed, or by its own `os._exit`."""


class RankStuckError(CellError):
    """A cell did not end: a rank waits for another that has not come, or the time that it had is up."""


class CollectiveMismatchError(CellError):
    """Ranks called different collectives, or some called one that others never will."""


class CellInterruptedError(CellError):
    """The user stopped the cell."""


class ModelError(KernelkitError):
    """Something about the model."""


class NoModelError(ModelError):
    """No model is loaded on this cluster."""


class ModelNotFoundError(ModelError):
    """The path or hub id does not lead to a model that can be read."""


class ModelPushError(ModelError):
    """A model's files could not be sent to another host, or did not arrive as they were sent."""


class ModelShardError(ModelError):
    """The model cannot be cut that way over that many ranks."""


class DoesNotFitError(ModelError):
    """A rank's device has less memory than its part of the model needs.

    Attributes:
        rank: the first of those that share the device.
        needed_bytes: by all of them.
        available_bytes: on the device.
    """

    def __init__(
        self, what: str, *, rank: int = 0, needed_bytes: int = 0, available_bytes: int = 0, **words: str
    ) -> None:
        super().__init__(what, **words)
        self.rank = rank
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes

    def to_dict(self) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in ("rank", "needed_bytes", "available_bytes")}
        return {**super().to_dict(), **figures}


def from_dict(data: dict[str, Any]) -> KernelkitError:
    """The error that `to_dict` described; an unknown type becomes a plain `KernelkitError`."""
    kinds: set[type[KernelkitError]] = {
        ArgumentError,
        CollectiveMismatchError,
        TransferError,
        ConnectError,
        DoesNotFitError,
        GroupError,
        HostError,
        NoModelError,
        ModelNotFoundError,
        ModelPushError,
        ModelShardError,
    }
    kind: type[KernelkitError] = {k.__name__: k for k in kinds}.get(data["type"], KernelkitError)
    return kind(data["what"], **{name: value for name, value in data.items() if name not in ("type", "what")})
