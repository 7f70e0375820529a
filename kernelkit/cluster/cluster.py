"""The cluster that a user holds: it composes ranks, channel and results into one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kernelkit.cluster import transfer
from kernelkit.cluster.bringup import Members, Report
from kernelkit.cluster.checks import check_code, check_ranks, check_record, check_seconds, check_variables
from kernelkit.cluster.follow import ASK_TIMEOUT_S
from kernelkit.cluster.models import ModelHolder
from kernelkit.cluster.observers import Moment, tell
from kernelkit.cluster.recovery import Kept, Recovery, put_back, salvage
from kernelkit.cluster.result import Result
from kernelkit.cluster.runner import OnEvent, OnTurn
from kernelkit.cluster.site import Site
from kernelkit.cluster.status import look
from kernelkit.errors import ArgumentError, NoModelError
from kernelkit.hosts.status import ClusterStatus
from kernelkit.outputs import RankOutput

if TYPE_CHECKING:
    from pathlib import Path

    from kernelkit.generation import Generation
    from kernelkit.hosts.calibration import Calibration
    from kernelkit.hosts.clustermap import ClusterMap
    from kernelkit.hosts.linkreport import LinkReport
    from kernelkit.model.beside import Beside
    from kernelkit.perf.result import Plan
    from kernelkit.perf.result import Strategy as PlanStrategy


class Cluster(ModelHolder):
    """Ranks that run code together. Made by `connect`, ended by `stop` or with the notebook.

    Attributes:
        site: where the ranks run; `world_size`: their number.
        backend: MLX's name of the data plane, and `why` it is this one.
        notes: differences between the hosts that do no harm.
        last: what the latest cell left behind, also when it failed.
        model: what `load` loaded.
        measured: what `links` found out the last time.
        calibration: what `calibrate` found out the last time.
        observers: functions that are told what runs; see `Lifetime`.
    """

    def __init__(self, site: Site, members: Members) -> None:
        super().__init__(site, members)
        self.last = Result({}, self.world_size)
        self.measured: LinkReport | None = None
        self.calibration: Calibration | None = None
        self._cells = 0
        self._kept: dict[int, Kept] = {}

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
        record: bool = False,
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
            record: run every collective where it is called, and time it; the result's `timeline` then says
                what each rank did when. The numbers are the same, the cell may be slower.
            on_turn: called some 10 times a second with the outputs so far, the ranks that still run and,
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
        check_record(record, check=check, ranks=ranks)
        chosen = list(range(self.world_size)) if ranks is None else check_ranks(ranks, self.world_size)
        # Always a number, and the same on all ranks: else equal tracebacks would differ in it.
        self._cells += 1
        outputs = {rank: RankOutput(rank) for rank in chosen}
        result = Result(outputs, self.world_size)
        self._runner.check_usable()
        self.last = result
        number = cell if cell is not None else self._cells
        result.warning = self._runner.run(
            code, outputs, number, on_turn, timeout_s=timeout_s, check=check, record=record
        )
        return result

    # -- values -----------------------------------------------------------------------------------

    def push(
        self, variables: Mapping[str, Any] | None = None, *, ranks: Sequence[int] | None = None, **named: Any
    ) -> None:
        """Bind variables on every rank, or on `ranks`: `cluster.push(y=[1, 2, 3])`.

        Raises:
            TransferError: a value that is not JSON-like, bytes, or a NumPy or MLX array.
            ArgumentError: a name that is none, or that ranks have from the start.
        """
        bound = check_variables(variables, named)
        chosen = range(self.world_size) if ranks is None else check_ranks(ranks, self.world_size)
        transfer.push(self._runner, bound, chosen)

    def __setitem__(self, name: str, value: Any) -> None:
        self.push({name: value})

    def __getitem__(self, name: str) -> dict[int, Any]:
        """The variable's value on each rank; arrays arrive as NumPy.

        Raises:
            TransferError: a rank has no such variable, or one that cannot be carried.
        """
        if not isinstance(name, str):
            raise ArgumentError("cluster[...] takes a variable's name", expected="a string", got=repr(name))
        return transfer.pull(self._runner, name, range(self.world_size))

    # -- the whole --------------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        """What every rank is and does; answers also while a cell runs or hangs."""
        return look(self._runner.members, self.state, self.backend)

    def map(self, links: LinkReport | None = None) -> ClusterMap:
        """Hosts, ranks and links as one picture needs them; answers also while a cell runs, and shows that.

        Args:
            links: what the links carry; by default what `links` found out the last time, if it was called.

        Raises:
            ArgumentError: the report is of a cluster with other ranks.
        """
        from kernelkit.cluster.mapping import draw_map

        hosts = self._runner.members.site.hostfile.hosts
        return draw_map(self.status(), hosts, links or self.measured, self._runner.places)

    def complete(self, code: str, position: int, rank: int = 0) -> dict[str, Any] | None:
        """Jupyter's completion of `code` at `position` in a rank's namespace; None if none came in time."""
        return self._runner.members.channel.complete(rank, code, position, ASK_TIMEOUT_S)

    def links(self, *, report: Report = lambda _: None) -> LinkReport:
        """Measure latency and bandwidth of every link between the hosts, both ways, over MLX and plain TCP.

        Short-lived processes beside the ranks do it: the ranks and their variables are left alone. A link
        takes ten seconds at most.

        Raises:
            ClusterBusyError: something runs on the ranks, and each would disturb the other.
        """
        from kernelkit.cluster.links import measure_cluster  # what only this needs is not loaded at connect

        with self._runner.at_rest() as members:
            self.measured = measure_cluster(members.site, self.backend, members.agent.task, report)
        tell(self.observers, Moment("links", "ended", self.state))
        return self.measured

    def calibrate(self, *, on_event: OnEvent = lambda rank, event: None) -> Calibration:
        """Measure what each rank's device reads and multiplies, and what an all_sum over them takes.

        Some seconds, on all ranks at once; predictions for this cluster are made from it.

        Args:
            on_event: called with each rank's progress.

        Raises:
            CellInterruptedError: Ctrl-C or the stop button.
        """
        from kernelkit.hosts.calibration import Calibration

        time = datetime.now(UTC).isoformat(timespec="seconds")
        found = self.operate(dict.fromkeys(range(self.world_size), ("calibrate", {})), on_event=on_event)
        self.calibration = Calibration.of(time, self.backend, found)
        return self.calibration

    def plan(
        self,
        model: str | Path | Mapping[str, Any] | None = None,
        strategy: PlanStrategy = "tensor",
        quantization: str | Mapping[str, Any] | None = None,
        context: int = 4096,
        batch: int = 1,
        split: Sequence[int] | None = None,
    ) -> Plan:
        """What to expect of a model on this very cluster, from what `calibrate` measured and its memory.

        Args:
            model: as `kernelkit.plan` takes it; by default the one that is loaded, as it lies on the ranks,
                and then only `context` counts of what follows.
            quantization: in memory; None as the ranks load it by default.

        Raises:
            ArgumentError: not calibrated yet, or as `kernelkit.plan`.
            NoModelError: nothing is loaded, and no model was named.
        """
        from kernelkit.cluster.planning import plan_loaded, plan_model

        if model is None:
            if self.model is None:
                raise NoModelError("no model is loaded, and none is named", cure="%model load, or name one")
            return plan_loaded(self, self.calibration, self.model, context)
        return plan_model(self, self.calibration, model, strategy, quantization, context, batch, split)

    def compare(self, generation: Generation) -> Beside | None:
        """A generation of the model that is loaded, beside what was to be expected of this very cluster.

        Returns:
            None where too few tokens came to measure a speed.

        Raises:
            ArgumentError: not calibrated yet, or there is no prediction for such a model.
            NoModelError: nothing is loaded.
        """
        from kernelkit.cluster.planning import compare

        if self.model is None:
            raise NoModelError("no model is loaded", cure="%model load PATH_OR_HF_ID")
        return compare(self, self.calibration, self.model, generation)

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
        if self.model is not None and self.model.loaded:  # what was unloaded stays so
            self._model = self.model
        if not sound:
            if self.state != "stopped":
                report("taking over variables")
                # What an earlier recovery could not put back yet is newer than what is there.
                self._kept = self._runner.give_up(salvage) | self._kept
            self._end()
            self._renew(report)
        report("putting variables back")
        carried, left = put_back(self._kept, self._runner.operate)
        self._kept = {}
        loaded = ""
        if (model := self._model) is not None:
            report(f"loading {model.name}")
            # The folder stays what it was, wherever the notebook has gone; several hosts each have their own.
            found_by = model.path if len(self.site.hosts) == 1 else model.name
            heir = self._load(found_by, model.layout, called=model.name)
            model.succeed(heir)
            loaded = heir.name
        ranks = f"{self.world_size} new rank{'s' if self.world_size > 1 else ''}"
        return Recovery(f"{ranks}, backend {self.backend}", carried, left, loaded)

    def stop(self) -> None:
        """End all ranks. Safe to call twice."""
        with self._changing:
            self._kept, self._model = {}, None
            self._end()

    def _end(self) -> None:
        self._forget_model()
        super()._end()
