"""A program of our own beside the ranks of a host, spoken to in JSON lines through the host's agent."""

from __future__ import annotations

from collections import deque
from typing import Any

from kernelkit.errors import HostError
from kernelkit.launch.handle import Handle, Heard


class AgentTask:
    """Made by `Agents.task`; ends with its agent at the latest."""

    def __init__(self, name: str, handle: Handle, heard: Heard, module: str, boot: dict[str, Any]) -> None:
        self._name = name
        self._handle = handle
        self._heard = heard
        heard.said[name] = deque()
        handle.bear(tasks=[name])
        handle.send({"op": "task", "task": name, "module": module, "boot": boot})

    def tell(self, line: dict[str, Any]) -> None:
        """Write a line to its standard input."""
        self._handle.send({"op": "tell", "task": self._name, "line": line})

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line that it wrote; None where none came in time.

        Raises:
            HostError: it has ended, and all that it wrote was taken.
        """
        said, ended = self._heard.said[self._name], self._heard.tasks_ended
        self._heard.wait_for(lambda: bool(said) or self._name in ended, timeout_s)
        if said:
            return said.popleft()
        if self._name in ended:
            exit_ = ended[self._name]
            what = f"a probe on {exit_.host or self._handle.host} has ended ({exit_})"
            raise HostError(what, got="\n    ".join(exit_.stderr[-4:]))
        return None

    def end(self) -> None:
        """Kill it; nothing where it has ended."""
        self._handle.send({"op": "end", "task": self._name})
        self._handle.tasks.discard(self._name)
