"""The cluster that a user holds: it composes ranks, channel and results into one object."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelkit import values
from kernelkit.channel.base import Message
from kernelkit.cluster.bringup import Members, Report, bring_up
from kernelkit.cluster.checks import check_code, check_names, check_ranks, check_seconds, check_world_size
from kernelkit.cluster.follow import ASK_TIMEOUT_S
from kernelkit.cluster.recovery import Kept, Recovery, put_back, salvage
from kernelkit.cluster.result import Result
from kernelkit.cluster.runner import STUCK_S, OnEvent, OnTurn, Runner
from kernelkit.cluster.status import ClusterStatus, look
from kernelkit.errors import ArgumentError, CellError
from kernelkit.model import ShardedModel, Strategy
from kernelkit.outputs import RankOutput


def connect(world_size: int = 2, *, report: Report = lambda _: None) -> Cluster:
    """Start local ranks on MLX's ring backend and form a group of them.

    Clusters are independent: a second one may run beside the first. `with connect() as cluster:` stops it.

    Args:
        world_size: how many ranks. More than the machine has cores works, slowly: rings busy-wait.
        report: is told in a few words what happens, for a progress line.

    Raises:
        ArgumentError: no possible number of ranks.
        ConnectError: they did not start or did not form a group.
    """
    check_world_size(world_size)
    return Cluster(world_size, bring_up(world_size, report))


class Cluster:
    """Ranks that run code together. Made by `connect`, ended by `stop` or with the notebook.

    Attributes:
        world_size: the number of ranks.
        backend: MLX's name of the data plane.
        last: what the latest cell left behind, also when it failed.
    """

    def __init__(self, world_size: int, members: Members) -> None:
        self.world_size = world_size
        self.backend = "ring" if world_size > 1 else "none"
        self.last = Result({}, world_size)
        self.model: ShardedModel | None = None
        self._model: ShardedModel | None = None  # to be loaded again by a recovery that was broken off
        self._cells = 0
        self._kept: dict[int, Kept] = {}
        self._changing = threading.RLock()
        self._adopt(members)

    def _adopt(self, members: Members, stuck_s: float = STUCK_S) -> None:
        self._runner = Runner(members, stuck_s)
        # Runs when this object goes, and at the interpreter's exit: nothing stays behind.
        self._closing = weakref.finalize(self, members.close)

    @property
    def state(self) -> str:
        """`idle`, `running`, `stopped`, or `failed: ` and the reason."""
        return self._runner.state

    @property
    def stuck_s(self) -> float:
        """A cell ends once a rank has stood still in MLX for so many seconds; 600 at first."""
        return self._runner.stuck_s

    @stuck_s.setter
    def stuck_s(self, seconds: float) -> None:
        check_seconds("stuck_s", seconds, or_none=False)
        self._runner.stuck_s = seconds

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        ranks = f"{self.world_size} rank{'s' if self.world_size > 1 else ''}"
        return f"<Cluster: {ranks}, backend {self.backend}, {self.state}>"

    # -- running ----------------------------------------------------------------------------------

    def run(
        self,
        code: str,
        ranks: Sequence[int] | None = None,
        *,
        cell: int | None = None,
        timeout_s: float | None = None,
        check: bool = False,
        on_turn: OnTurn = lambda outputs, running, places: None,
    ) -> Result:
        """Run code in the persistent namespace of every rank, or of `ranks`, and wait for it.

        Args:
            code: as in a notebook cell: magics and top-level `await` work.
            ranks: which ones; all by default.
            cell: number that tracebacks name the code by.
            timeout_s: it may take so long; without it, only a rank that stands still in MLX for `stuck_s`
                ends it, or one that waits for what no rank can bring any more.
            check: compare every collective with the other ranks before it runs, and run it at once; each
                then costs another one.
            on_turn: called some 20 times a second with the outputs so far, the ranks that still run and,
                from the first second on, where each rank stands.

        Raises:
            RankError: the code raised on a rank; the outputs are in `last`.
            RankLostError: a rank's process ended.
            RankStuckError: it did not end in time, or the user stopped it while ranks waited.
            CollectiveMismatchError: ranks called different collectives.
            CellInterruptedError: Ctrl-C or the stop button.
            ClusterBusyError, ClusterFailedError, NoClusterError: it cannot run now.
        """
        check_code(code)
        check_seconds("timeout_s", timeout_s)
        chosen = list(range(self.world_size)) if ranks is None else check_ranks(ranks, self.world_size)
        # Always a number, and the same on all ranks: else equal tracebacks would differ in it.
        self._cells += 1
        outputs = {rank: RankOutput(rank) for rank in chosen}
        result = Result(outputs, self.world_size)
        self._runner.check_usable()
        self.last = result
        number = cell if cell is not None else self._cells
        result.warning = self._runner.run(code, outputs, number, on_turn, timeout_s=timeout_s, check=check)
        return result

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        on_event: OnEvent = lambda rank, event: None,
        on_interrupt: Callable[[], bool] | None = None,
    ) -> dict[int, Any]:
        """Run one of the ranks' own operations on each, and gather the answers; see `Runner.operate`."""
        return self._runner.operate(requests, on_event=on_event, on_interrupt=on_interrupt)

    def interrupt(self) -> None:
        """Do what Ctrl-C does to what runs in another thread; nothing where nothing runs."""
        self._runner.interrupt()

    # -- values -----------------------------------------------------------------------------------

    def push(
        self, variables: Mapping[str, Any] | None = None, *, ranks: Sequence[int] | None = None, **named: Any
    ) -> None:
        """Bind variables on every rank, or on `ranks`: `cluster.push(y=[1, 2, 3])`.

        Raises:
            TransferError: a value that is not JSON-like, bytes, or a NumPy or MLX array.
        """
        bound = {**(variables or {}), **named}
        check_names(bound)
        tree, buffers = values.encode(bound, "push")
        chosen = range(self.world_size) if ranks is None else check_ranks(ranks, self.world_size)
        self._runner.operate({rank: ("push", {"tree": json.dumps(tree)}) for rank in chosen}, buffers=buffers)

    def __setitem__(self, name: str, value: Any) -> None:
        self.push({name: value})

    def __getitem__(self, name: str) -> dict[int, Any]:
        """The variable's value on each rank; arrays arrive as NumPy.

        Raises:
            TransferError: a rank has no such variable, or one that cannot be carried.
        """
        if not isinstance(name, str):
            raise ArgumentError("cluster[...] takes a variable's name", expected="a string", got=repr(name))
        buffers: dict[int, list[values.Buffer]] = {}

        def take(message: Message) -> None:
            if message.buffers:
                buffers[message.rank] = message.buffers

        requests = {rank: ("pull", {"name": name}) for rank in range(self.world_size)}
        trees = self._runner.operate(requests, on_message=take)
        return {rank: values.decode(json.loads(tree), buffers.get(rank, [])) for rank, tree in trees.items()}

    # -- the model --------------------------------------------------------------------------------

    def load(
        self,
        name: str,
        strategy: Strategy = "tensor",
        *,
        on_event: OnEvent = lambda rank, event: None,
        called: str = "",
    ) -> ShardedModel:
        """Shard a language model over all ranks.

        Args:
            name: a folder in the Hugging Face layout, a hub id, or `smollm2`.
            strategy: `tensor` cuts every layer, `pipeline` deals the layers out.
            called: how the model is called where it is shown; `name` by default.
            on_event: called with each rank's progress.

        Raises:
            ModelNotFoundError, ModelShardError: before anything is loaded; a model that was there stays.
        """
        try:
            model = ShardedModel.load(self, name, strategy, on_event, called)
        except CellError:  # broken off while it read; after any other error the old model still is there
            self._model = self.model or self._model  # what `recover` loads again
            self._forget_model()
            raise
        self._forget_model()
        self.model, self._model = model, None
        return model

    def _forget_model(self) -> None:
        if self.model is not None:
            self.model.forget()
        self.model = None

    # -- the whole --------------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        """What every rank is and does; answers also while a cell runs or hangs."""
        return look(self._runner.members, self.state, self.backend)

    def complete(self, code: str, position: int, rank: int = 0) -> dict[str, Any] | None:
        """Jupyter's completion of `code` at `position` in a rank's namespace; None if none came in time."""
        return self._runner.members.channel.complete(rank, code, position, ASK_TIMEOUT_S)

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        """Run an operation on all ranks beside what they are doing; those that answered in time."""
        return self._runner.members.channel.ask(range(self.world_size), operation, arguments, ASK_TIMEOUT_S)

    def restart(self, *, report: Report = lambda _: None) -> None:
        """End all ranks and start as many new ones, with empty namespaces and no model.

        Raises:
            ConnectError: they did not start; the cluster is stopped then.
        """
        with self._changing:
            self.stop()
            self._adopt(bring_up(self.world_size, report), self.stuck_s)

    def recover(self, *, report: Report = lambda _: None) -> Recovery:
        """New ranks for a cluster that failed or hangs, with the old ranks' variables and model.

        A cluster that works is left as it is. What runs or hangs in another thread is given up. Variables
        are kept until they are back: where this fails or is interrupted, it can be called again.

        Raises:
            ConnectError: the new ranks did not start; the cluster is stopped, its variables are kept.
        """
        with self._changing:  # a second one finds what the first has done
            return self._recover(report)

    def _recover(self, report: Report) -> Recovery:
        unfinished = bool(self._kept or self._model)
        sound = self._runner.is_sound()
        if sound and not unfinished:
            return Recovery("nothing to recover: the ranks answer and are in step")
        self._model = self.model or self._model
        if not sound:
            if self.state != "stopped":
                report("taking over variables")
                # What an earlier recovery could not put back yet is newer than what is there.
                self._kept = self._runner.give_up(salvage) | self._kept
            self._end()
            self._adopt(bring_up(self.world_size, report), self.stuck_s)
        report("putting variables back")
        carried, left = put_back(self._kept, self._runner.operate)
        self._kept = {}
        loaded = ""
        if (model := self._model) is not None:
            report(f"loading {model.name}")
            loaded = self.load(model.path, model.strategy, called=model.name).name
        ranks = f"{self.world_size} new rank{'s' if self.world_size > 1 else ''}"
        return Recovery(f"{ranks}, backend {self.backend}", carried, left, loaded)

    def stop(self) -> None:
        """End all ranks. Safe to call twice."""
        with self._changing:
            self._kept, self._model = {}, None
            self._end()

    def _end(self) -> None:
        self._forget_model()
        self._runner.leave()
        self._closing()
