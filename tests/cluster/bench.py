"""Two ranks that play a script, and a runner above them: what its tests share, without a process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from kernelkit.channel.fake import FakeChannel, Request, Script
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.runner import Runner
from kernelkit.cluster.site import local_site
from kernelkit.launch.exits import Exit
from kernelkit.outputs import RankOutput


class FakeAgent:
    """The parent of the ranks, as far as the runner looks at it."""

    def __init__(self) -> None:
        self.exits: dict[int, Exit] = {}
        self.alive = True
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Bench:
    """Two ranks that play a script, and the runner above them.

    Attributes:
        play: what a rank does with a cell; operations answer at once unless `operate` says otherwise.
        stuck: ranks that never end what they are in, and so never answer in their main thread.
    """

    def __init__(self) -> None:
        self.agent = FakeAgent()
        self.channel = FakeChannel(self._script)
        self.play: Script = lambda channel, request: channel.finish(request)
        self.operate: Script = lambda channel, request: channel.finish(request)
        facts: dict[int, Any] = {0: {}, 1: {}}
        members: Any = Members(self.agent, self.channel, local_site(2), "ring", facts=facts)  # type: ignore[arg-type]
        self.runner = Runner(members)
        self.outputs = {rank: RankOutput(rank) for rank in (0, 1)}

    def _script(self, channel: FakeChannel, request: Request) -> None:
        (self.operate if request.operation else self.play)(channel, request)

    def run(self, on_turn: Callable[[Any, Any, Any], None] = lambda outputs, running, places: None) -> None:
        self.runner.run("code", self.outputs, None, on_turn)

    def operations(self) -> list[tuple[int, str]]:
        return [(r.rank, r.operation) for r in self.channel.requests if r.operation]

    def end_on_interrupt(self) -> None:
        """From now on an interrupted rank raises KeyboardInterrupt and ends."""

        def raise_there(rank: int) -> None:
            request = next(r for r in reversed(self.channel.requests) if r.rank == rank and not r.operation)
            self.channel.fail(request, "KeyboardInterrupt", "")

        self.channel.on_interrupt = raise_there


def report() -> dict[str, Any]:
    """What a rank answers that stands in a line of its cell."""
    call = {
        "index": 0,
        "op": "all_sum",
        "shape": [4],
        "dtype": "float32",
        "file": "",
        "line": 2,
        "source": "x",
    }
    nothing: dict[str, Any] = {"recent": [call], "sent": [], "received": [], "ledger": [call]}
    place = {"line": 3, "source": "mx.eval(x)", "doing": "", "in_mlx": True, "cpu_s": 0.0, "calls": 1}
    return {**place, **nothing, "stack": "the stack"}


def hang(channel: FakeChannel, request: Request) -> None:
    """The script of a rank that waits for ever."""


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)
