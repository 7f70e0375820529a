"""Run one case of the fault matrix on a real cluster, and say what came of it.

The cluster lives on from case to case: that `recover` gives a good one back is part of every case. What a
case finds is returned, never raised.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from kernelkit import Cluster, KernelkitError, connect
from tests.rank import tiny
from tests.ranks.before import armed_before
from tests.ranks.deadline import Caught, HungError, deadline
from tests.ranks.faults import REACHED, Trigger, armed, looping_cell, stuck_cell
from tests.ranks.leftovers import Leftovers, agent_of, folders
from tests.ranks.matrix import BEFORE, DETECTION_TARGET_S, JOINING, KILL, TIMEOUT_S, Case
from tests.ranks.outcome import Outcome, Then
from tests.waiting import eventually

# A case that takes longer hangs: far more than any takes, and enough for four ranks on two cores.
DEADLINE_S = 90.0
_STOP_S = 30.0
_LONG_TOKENS = 20_000
_SHORT_TOKENS = 12
_PROMPT = "once upon a time"

_KEEP = "kept = [{token}, rank]; weights = mx.arange(8) * (rank + 1); mx.eval(weights)"
_KEPT = "[globals().get('kept'), weights.tolist() if 'weights' in globals() else None]"
_SUM = "mx.distributed.all_sum(mx.array(rank + 1)).item()"


class Harness:
    """Runs cases one after the other, on one cluster as long as their number of ranks stays the same.

    Args:
        folder: as `scratch` gives it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched = [path for path in folders() if folder in path.parents]
        self._cluster: Cluster | None = None
        self._left = Leftovers(self._watched)
        self._token = 0
        # 12 heads divide by 2, 3 and 4 ranks.
        heads = {"hidden_size": 48, "num_attention_heads": 12, "num_key_value_heads": 12}
        shape = {"num_hidden_layers": 8, "intermediate_size": 96, **heads}
        self._model = str(tiny.build(folder / "model", "qwen2", **shape))
        self._said: dict[str, str] = {}  # by strategy and size, what the model says when nothing is wrong

    def run(self, case: Case, then: Then = "recover") -> Outcome:
        """Meet the fault, recover, and look whether everything is well again."""
        outcome = Outcome(case, then)
        with Caught() as caught, deadline(DEADLINE_S):
            if case.phase in BEFORE:
                self._before(case, outcome)
            else:
                self._after(case, outcome)
        if caught.error is not None:
            self._abandon(caught.error, outcome)
        return outcome

    def close(self) -> None:
        """End the cluster."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.stop()

    # -- before there is a cluster ----------------------------------------------------------------

    def _before(self, case: Case, outcome: Outcome) -> None:
        self.close()
        self._left = Leftovers(self._watched)
        with self._left.marking(), armed_before(case, self._folder) as (trigger, report):
            try:
                with connect(case.world_size, report=report) as cluster:
                    # It came too late for that; then the next cell must tell.
                    trigger.finish()
                    eventually(lambda: cluster.state != "idle", DETECTION_TARGET_S)
                    cluster.run("pass")
            except KernelkitError as error:
                outcome.error, outcome.text = type(error).__name__, str(error)
            ended_s = time.monotonic()
            trigger.finish()
        outcome.expect(trigger.at_s > 0, "the ranks never came to where they were to be hit")
        outcome.detection_s = ended_s - trigger.at_s
        outcome.judge_error()
        self._settle(self._left, outcome)
        started_s = time.monotonic()
        cluster = self._connect(case.world_size)
        outcome.recovery_s = time.monotonic() - started_s
        self._judge_group(case, outcome, cluster)

    # -- on a cluster -----------------------------------------------------------------------------

    def _after(self, case: Case, outcome: Outcome) -> None:
        cluster = self._prepared(case)
        self._strike(case, outcome, cluster)
        outcome.judge_error()
        self._judge_state(case, outcome, cluster)
        cluster = self._follow(case, outcome, cluster)
        self._judge_group(case, outcome, cluster)
        self._judge_variables(case, outcome, cluster)

    def _prepared(self, case: Case) -> Cluster:
        cluster = self._cluster
        if cluster is None or cluster.world_size != case.world_size:
            self.close()
            cluster = self._connect(case.world_size)
        self._token += 1
        cluster.run(_KEEP.format(token=self._token))
        if case.phase.kind == "generate":
            assert case.strategy
            if cluster.model is None or cluster.model.strategy != case.strategy:
                cluster.load(self._model, case.strategy)
            self._said[self._key(case)] = self._says(cluster)
        return cluster

    def _strike(self, case: Case, outcome: Outcome, cluster: Cluster) -> None:
        with armed(cluster, case, self._folder) as trigger:
            started_s = time.monotonic()
            try:
                outcome.text = self._meet(case, outcome, cluster, trigger)
            except KernelkitError as error:
                outcome.error, outcome.text = type(error).__name__, str(error)
            except KeyboardInterrupt as error:
                if case.fault.ended_by != "ctrl-c":
                    raise
                outcome.error, outcome.text = type(error).__name__, "it came through"
            ended_s = time.monotonic()
        told_s = trigger.at_s
        if case.fault.ended_by == "timeout":
            told_s = max(told_s, started_s + TIMEOUT_S)
        elif case.phase.kind == "stuck" and case.fault.ended_by == "itself":
            told_s = max(_reached_s(cluster))
        outcome.detection_s = ended_s - told_s if told_s else None

    def _meet(self, case: Case, outcome: Outcome, cluster: Cluster, trigger: Trigger) -> str:
        """Until the error is raised; gives the warning where there is none."""
        kind, fault = case.phase.kind, case.fault
        timeout_s = TIMEOUT_S if fault.ended_by == "timeout" else None

        def on_turn(*_: object) -> None:
            if len(_reached_s(cluster)) == case.world_size:
                trigger.reached()

        if kind == "stuck":
            code = stuck_cell(case)
            result = cluster.run(code, timeout_s=timeout_s, check=fault.check, on_turn=on_turn)
            return result.warning
        if kind == "cell":
            cluster.run(looping_cell(case), timeout_s=timeout_s, on_turn=on_turn)
        elif kind == "load":
            assert case.strategy
            try:
                cluster.load(self._model, case.strategy, on_event=lambda *_: trigger.reached())
            except KernelkitError:
                outcome.expect(cluster.model is None, "a model that was not loaded to the end is there")
                raise
        elif kind == "generate":
            assert cluster.model
            cluster.model.generate(_PROMPT, _LONG_TOKENS, on_text=lambda _: trigger.reached())
        # Idle, or the phase was over before the fault came: the next cell must tell.
        trigger.finish()
        if fault.deadly:
            eventually(lambda: cluster.state != "idle", DETECTION_TARGET_S)
        cluster.run("pass", timeout_s=timeout_s)
        return ""

    def _follow(self, case: Case, outcome: Outcome, cluster: Cluster) -> Cluster:
        """Go on as the user does; gives the cluster that works again."""
        old, new = self._left, Leftovers(self._watched)
        pids = [rank.pid for rank in cluster.status().ranks]
        with new.marking():
            if outcome.then == "recover after a broken recovery" and cluster.state != "idle":
                self._break_recovery(case, outcome, cluster)
            started_s = time.monotonic()
            if outcome.then == "connect":
                self.close()
                self._cluster = cluster = connect(case.world_size)
            elif outcome.then == "restart":
                cluster.restart()
            else:
                recovery = cluster.recover()
            outcome.recovery_s = time.monotonic() - started_s
        now = [rank.pid for rank in cluster.status().ranks]
        if now != pids:
            new.record(agent_of(now[0]))
            self._left = new
            self._settle(old, outcome)
        if outcome.then == "recover twice":
            again = cluster.recover()
            outcome.expect(again.what.startswith("nothing to recover"), f"a second recovery: {again!r}")
        if case.phase.kind == "generate" and outcome.recovers:
            outcome.expect(recovery.model == self._model, f"the model was not loaded again: {recovery!r}")
            text = self._says(cluster) if cluster.model else None
            outcome.expect(text == self._said[self._key(case)], f"the model says something else: {text!r}")
        return cluster

    def _break_recovery(self, case: Case, outcome: Outcome, cluster: Cluster) -> None:
        """A rank of the new group is lost before it is one."""
        lost = Case(JOINING, KILL, case.world_size, case.world_size - 1)
        broken = ""
        with armed_before(lost, self._folder) as (trigger, report):
            try:
                cluster.recover(report=report)
            except KernelkitError as error:
                broken = type(error).__name__
            trigger.finish()
        outcome.expect(
            broken in KILL.errors, f"a recovery that loses a rank ended with {broken or 'nothing'}"
        )
        outcome.expect(cluster.state == "stopped", f"after a broken recovery the state is {cluster.state!r}")

    # -- judging ----------------------------------------------------------------------------------

    def _judge_state(self, case: Case, outcome: Outcome, cluster: Cluster) -> None:
        state, sound = cluster.state, case.fault.sound
        known = state == "idle" or state.startswith("failed: ")
        outcome.expect(known and sound in (None, state == "idle"), f"the state is {state!r}")

    def _judge_group(self, case: Case, outcome: Outcome, cluster: Cluster) -> None:
        outcome.expect(cluster.state == "idle", f"the state after recovery is {cluster.state!r}")
        total = case.world_size * (case.world_size + 1) // 2
        result = cluster.run(_SUM)
        sums = [result[rank].value_repr for rank in range(case.world_size)]
        outcome.expect(sums == [str(total)] * case.world_size, f"the ranks' sum is {sums}, not {total}")

    def _judge_variables(self, case: Case, outcome: Outcome, cluster: Cluster) -> None:
        result = cluster.run(_KEPT)
        for rank in range(case.world_size):
            is_hit = case.fault.to_agent or (rank == case.victim and not case.fault.keeps)
            lost = is_hit or not outcome.recovers
            weights = [i * (rank + 1) for i in range(8)]
            wanted = repr([None, None] if lost else [[self._token, rank], weights])
            got = result[rank].value_repr
            outcome.expect(got == wanted, f"rank {rank} has {got} in place of {wanted}")

    # -- clusters ---------------------------------------------------------------------------------

    def _connect(self, world_size: int) -> Cluster:
        self._left = Leftovers(self._watched)
        with self._left.marking():
            self._cluster = cluster = connect(world_size)
        self._left.record(agent_of(cluster.status().ranks[0].pid))
        return cluster

    def _settle(self, left: Leftovers, outcome: Outcome) -> None:
        outcome.settled_s, outcome.leftovers = left.settle()
        if outcome.leftovers:
            left.kill()

    def _abandon(self, error: BaseException, outcome: Outcome) -> None:
        """After what must not happen: nothing of this cluster is used any more."""
        if isinstance(error, HungError):
            outcome.hang = str(error)
        else:
            outcome.problems.append(f"{type(error).__name__}: {error}")
        self._left.kill()
        with Caught(), deadline(_STOP_S):
            self.close()

    def _says(self, cluster: Cluster) -> str:
        assert cluster.model
        return cluster.model.generate(_PROMPT, _SHORT_TOKENS).text

    @staticmethod
    def _key(case: Case) -> str:
        return f"{case.strategy} {case.world_size}"


def _reached_s(cluster: Cluster) -> list[float]:
    """When the ranks of the running or latest cell said that they are where they are to be."""
    found = []
    for output in cluster.last.values():
        word, _, clock = output.stdout.partition("\n")[0].partition(" ")
        with suppress(ValueError):  # half a line, so far
            found += [float(clock)] if word == REACHED else []
    return found
