"""The runner's judgement, without a process: who is waited for, what an error is, what is still usable."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from kernelkit.channel.fake import FakeChannel, Request, Script
from kernelkit.cluster import follow, runner
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.runner import EVENT_MIME, Runner
from kernelkit.errors import (
    CellError,
    CellInterruptedError,
    ClusterBusyError,
    ClusterFailedError,
    ConnectError,
    KernelkitError,
    ModelShardError,
    NoClusterError,
    RankError,
    RankLostError,
    RankStuckError,
    TransferError,
)
from kernelkit.launch.local import Exit
from kernelkit.outputs import RankOutput


class FakeAgent:
    """The parent of the ranks, as far as the runner looks at it."""

    def __init__(self) -> None:
        self.exits: dict[int, Exit] = {}
        self.alive = True
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes time, so whoever waits for the grace to pass need not wait long."""
    monkeypatch.setattr(follow, "ERROR_GRACE_S", 0.1)
    monkeypatch.setattr(follow, "INTERRUPT_GRACE_S", 0.1)
    monkeypatch.setattr(runner, "INTERRUPT_GRACE_S", 0.1)


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
        members: Any = Members(self.agent, self.channel, {0: {}, 1: {}})  # type: ignore[arg-type]
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


@pytest.fixture
def bench() -> Bench:
    return Bench()


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


# -- well -----------------------------------------------------------------------------------------


def test_a_cell_goes_to_its_ranks_and_fills_their_outputs(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        channel.stream(request, f"{request.code} on {request.rank}")
        channel.finish(request)

    bench.play = play
    bench.runner.run("code", {1: bench.outputs[1]}, 7, lambda outputs, running, places: None)
    assert [(r.rank, r.code, r.cell) for r in bench.channel.requests] == [(1, "code", 7)]
    assert bench.outputs[1].stdout == "code on 1"
    assert bench.runner.state == "idle"


def test_output_between_reply_and_idle_is_kept(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        channel.send(request, "execute_reply", {"status": "ok"})
        channel.stream(request, "late")
        channel.send(request, "status", {"execution_state": "idle"})

    bench.play = play
    bench.run()
    assert bench.outputs[0].stdout == "late"


def test_the_late_output_of_an_earlier_cell_is_not_taken_for_this_ones(bench: Bench) -> None:
    earlier = Request("an-earlier-request", 0)
    bench.channel.stream(earlier, "stale")
    bench.channel.finish(earlier)
    bench.run()
    assert bench.outputs[0].stdout == ""


def test_help_in_a_reply_is_shown(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        page = {"source": "page", "data": {"text/plain": "Signature"}}
        channel.send(request, "execute_reply", {"status": "ok", "payload": [page]})
        channel.send(request, "status", {"execution_state": "idle"})

    bench.play = play
    bench.run()
    assert [d.text for d in bench.outputs[0].displays] == ["Signature"]


def test_turns_tell_who_still_runs(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.finish(request) if request.rank == 0 else None
    seen: list[list[int]] = []

    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        seen.append(list(running))
        if running == [1]:
            bench.channel.finish(bench.channel.requests[1])

    bench.run(on_turn)
    assert seen == [[1], []]


def test_a_cell_that_ended_well_costs_no_check(bench: Bench) -> None:
    bench.run()
    assert bench.operations() == []


# -- busy, stopped, lost --------------------------------------------------------------------------


def test_while_a_cell_runs_another_is_refused(bench: Bench) -> None:
    refused: list[str] = []

    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        refused.append(bench.runner.state)
        with pytest.raises(ClusterBusyError):
            bench.runner.check_usable()

    bench.run(on_turn)
    assert refused == ["running"]
    bench.runner.check_usable()


def test_a_stopped_cluster_is_none(bench: Bench) -> None:
    bench.runner.leave()
    assert bench.agent.stopped
    assert bench.runner.state == "stopped"
    with pytest.raises(NoClusterError) as caught:
        bench.run()
    assert "%cluster connect" in caught.value.cure


def test_a_rank_that_is_lost_ends_the_cell_at_once(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        if request.rank == 1:
            channel.happen(lambda: bench.agent.exits.update({1: Exit(-9, ["last words"])}))

    bench.play = play
    with pytest.raises(RankLostError) as caught:
        bench.run()
    assert caught.value.what == "rank 1 on this host is gone: its process ended (killed by SIGKILL)"
    assert "last words" in caught.value.got
    assert bench.runner.state.startswith("failed: rank 1 on this host is gone")
    with pytest.raises(ClusterFailedError) as refused:
        bench.run()
    assert "%cluster recover" in refused.value.cure


def test_a_rank_that_ends_after_its_cell_does_not_spoil_the_cell(bench: Bench) -> None:
    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        bench.agent.exits[1] = Exit(0)

    bench.run(on_turn)
    assert bench.runner.state == "failed: a rank is gone"
    with pytest.raises(RankLostError, match="rank 1"):
        bench.run()


def test_an_agent_that_is_lost_ends_the_cell(bench: Bench) -> None:
    bench.play = hang
    bench.channel.happen(lambda: setattr(bench.agent, "alive", False))
    with pytest.raises(RankLostError, match="agent"):
        bench.run()
    assert bench.runner.state.startswith("failed: ")


# -- errors ---------------------------------------------------------------------------------------


def test_an_error_on_one_rank_lets_the_other_end_by_itself(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        if request.rank == 0:
            channel.fail(request)
        else:
            channel.happen(lambda: channel.stream(request, "went on"))
            channel.happen(lambda: channel.finish(request))

    bench.play = play
    with pytest.raises(RankError) as caught:
        bench.run()
    assert caught.value.what == "rank 0 raised ValueError: no"
    assert bench.outputs[1].stdout == "went on"
    assert bench.channel.interrupted == []
    assert bench.runner.state == "idle"


def test_after_an_error_the_ranks_are_checked_for_being_in_step(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request)
    with pytest.raises(RankError):
        bench.run()
    assert bench.operations() == [(0, "verify"), (1, "verify")]
    nonces = {r.arguments["nonce"] for r in bench.channel.requests if r.operation}
    assert len(nonces) == 1


def test_an_error_of_a_cell_on_some_ranks_is_checked_on_all(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request)
    with pytest.raises(RankError):
        bench.runner.run("code", {0: bench.outputs[0]}, None, lambda outputs, running, places: None)
    assert bench.operations() == [(0, "verify"), (1, "verify")]


def test_the_others_are_interrupted_after_a_moment_and_are_not_the_reason(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request) if request.rank == 1 else None
    bench.end_on_interrupt()
    with pytest.raises(RankError) as caught:
        bench.run()
    assert bench.channel.interrupted == [0]
    assert caught.value.what == "rank 1 raised ValueError: no"
    assert [label for label, _ in caught.value.tracebacks] == ["rank 1"]
    assert not caught.value.cure
    assert bench.runner.state == "idle"


def test_a_rank_that_no_interrupt_reaches_fails_the_cluster_and_is_named_with_its_line(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request) if request.rank == 0 else None
    bench.channel.answers[1, "report"] = report()
    with pytest.raises(RankError) as caught:
        bench.run()
    assert bench.channel.interrupted == [1]
    assert caught.value.what == "rank 0 raised ValueError: no"
    assert caught.value.cure == "%cluster recover (rank 1 waits in all_sum at line 2)"
    assert bench.operations() == [], "a stuck rank is not asked for a collective"
    assert bench.runner.state == "failed: rank 1 waits in all_sum at line 2"
    with pytest.raises(ClusterFailedError) as refused:
        bench.run()
    assert "rank 1 waits in all_sum" in refused.value.what
    assert "%cluster recover" in refused.value.cure


def test_a_stuck_rank_that_does_not_even_answer_is_still_named(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request) if request.rank == 0 else None
    with pytest.raises(RankError) as caught:
        bench.run()
    assert caught.value.cure == "%cluster recover (rank 1 does not answer)"
    assert bench.channel.asked == [(0, "report"), (1, "report")]


@pytest.mark.parametrize("how", ["wrong", "raised", "silent"])
def test_ranks_out_of_step_fail_the_cluster(bench: Bench, how: str) -> None:
    bench.play = lambda channel, request: channel.fail(request)

    def operate(channel: FakeChannel, request: Request) -> None:
        if request.rank == 0:
            channel.finish(request)
        elif how == "wrong":
            channel.refuse(request, ConnectError("rank 1 is out of step"))
        elif how == "raised":
            channel.fail(request, "RuntimeError", "connection lost")

    bench.operate = operate
    with pytest.raises(RankError) as caught:
        bench.run()
    assert "out of step" in caught.value.cure
    assert bench.runner.state.startswith("failed: ")
    assert "out of step" in bench.runner.failure


def test_errors_alike_are_told_once_and_different_ones_apart(bench: Bench) -> None:
    bench.play = lambda channel, request: channel.fail(request, "ValueError", "same")
    with pytest.raises(RankError) as caught:
        bench.run()
    assert caught.value.what == "ranks 0-1 raised ValueError: same"
    bench.outputs = {rank: RankOutput(rank) for rank in (0, 1)}
    bench.play = lambda channel, request: channel.fail(request, "ValueError", str(request.rank))
    with pytest.raises(RankError) as caught:
        bench.run()
    assert caught.value.what == "rank 0 raised ValueError: 0; rank 1 raised ValueError: 1"


def test_an_error_of_the_callback_leaves_the_lock_open(bench: Bench) -> None:
    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        raise RuntimeError("the widget is gone")

    with pytest.raises(RuntimeError):
        bench.run(on_turn)
    bench.runner.check_usable()


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


# -- interrupts -----------------------------------------------------------------------------------


def test_ctrl_c_interrupts_every_rank_and_the_cluster_stays_usable(bench: Bench) -> None:
    bench.play = hang
    bench.end_on_interrupt()
    bench.channel.happen(press_ctrl_c)
    with pytest.raises(CellInterruptedError) as caught:
        bench.run()
    assert bench.channel.interrupted == [0, 1]
    assert "still usable" in caught.value.what
    assert not caught.value.cure
    assert bench.operations() == [(0, "verify"), (1, "verify")]
    assert bench.runner.state == "idle"


def test_ctrl_c_spares_the_ranks_that_have_ended(bench: Bench) -> None:
    def play(channel: FakeChannel, request: Request) -> None:
        if request.rank == 0:
            channel.finish(request)
        else:
            channel.happen(press_ctrl_c)

    bench.play = play
    bench.end_on_interrupt()
    with pytest.raises(CellInterruptedError):
        bench.run()
    assert bench.channel.interrupted == [1]


def test_ctrl_c_on_a_stuck_rank_says_that_the_cluster_is_not_usable(bench: Bench) -> None:
    bench.play = hang
    bench.channel.happen(press_ctrl_c)
    bench.channel.answers |= {(0, "report"): report(), (1, "report"): report()}
    with pytest.raises(RankStuckError) as caught:
        bench.run()
    assert "still usable" not in str(caught.value)
    assert "%cluster recover" in caught.value.cure
    assert [label for label, _ in caught.value.tracebacks] == ["rank 0 stood at", "rank 1 stood at"]
    assert bench.runner.state == "failed: rank 0 at line 3: mx.eval(x); rank 1 at line 3: mx.eval(x)"


def test_ctrl_c_that_leaves_ranks_out_of_step_says_so(bench: Bench) -> None:
    bench.play = hang
    bench.operate = hang
    bench.end_on_interrupt()
    bench.channel.happen(press_ctrl_c)
    with pytest.raises(CellInterruptedError) as caught:
        bench.run()
    assert "out of step" in caught.value.cure
    assert bench.runner.state.startswith("failed: ")


def test_a_second_ctrl_c_never_leaves_a_running_rank_under_the_name_of_idle(bench: Bench) -> None:
    """The user did not wait for the grace: whatever is raised, the cluster must know that a rank runs."""
    bench.play = hang
    bench.channel.on_interrupt = lambda rank: bench.channel.happen(press_ctrl_c) if rank == 1 else None
    bench.channel.happen(press_ctrl_c)
    with pytest.raises((KernelkitError, KeyboardInterrupt)):
        bench.run()
    assert bench.runner.state.startswith("failed: ")


def test_ctrl_c_during_the_check_after_an_error_does_not_leave_a_half_checked_cluster(bench: Bench) -> None:
    """The check is a collective: broken off, nobody knows whether the ranks are in step."""
    bench.play = lambda channel, request: channel.fail(request)

    def operate(channel: FakeChannel, request: Request) -> None:
        if request.rank == 1:
            channel.happen(press_ctrl_c)

    bench.operate = operate
    with pytest.raises((KernelkitError, KeyboardInterrupt)):
        bench.run()
    assert bench.runner.state.startswith("failed: ")


# -- operations -----------------------------------------------------------------------------------

BOTH: dict[int, tuple[str, dict[str, Any]]] = {0: ("load", {"path": "p"}), 1: ("load", {"path": "p"})}


def test_an_operation_answers_per_rank_in_rank_order(bench: Bench) -> None:
    bench.operate = lambda channel, request: channel.finish(request, value=request.rank * 10)
    answers = bench.runner.operate({1: ("load", {}), 0: ("load", {})}, buffers=[b"raw"])
    assert list(answers.items()) == [(0, 0), (1, 10)]
    assert all(list(r.buffers) == [b"raw"] for r in bench.channel.requests)


def test_progress_reaches_the_one_who_asked(bench: Bench) -> None:
    def operate(channel: FakeChannel, request: Request) -> None:
        channel.send(request, "display_data", {"data": {EVENT_MIME: {"event": "progress", "fraction": 0.5}}})
        channel.stream(request, "not an event")
        channel.finish(request)

    bench.operate = operate
    events: list[tuple[int, dict[str, Any]]] = []
    bench.runner.operate(BOTH, on_event=lambda rank, event: events.append((rank, event)))
    assert [(rank, event["fraction"]) for rank, event in events] == [(0, 0.5), (1, 0.5)]


def test_an_operations_error_is_the_lowest_ranks_with_its_own_type(bench: Bench) -> None:
    def operate(channel: FakeChannel, request: Request) -> None:
        if request.operation == "verify":
            channel.finish(request)
        elif request.rank == 0:
            channel.refuse(request, ModelShardError("9 heads", cure="3 ranks"))
        else:
            channel.refuse(request, TransferError("another"))

    bench.operate = operate
    with pytest.raises(ModelShardError) as caught:
        bench.runner.operate(BOTH)
    assert caught.value.cure == "3 ranks"
    assert bench.operations()[2:] == [(0, "verify"), (1, "verify")]
    assert bench.runner.state == "idle"


@pytest.mark.parametrize("how", ["our own error", "a foreign exception"])
def test_an_operation_that_fails_on_one_rank_does_not_wait_for_the_other_for_ever(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 1 waits in a collective for rank 0, whose operation gave up: its reply is `ok` all the same."""

    def operate(channel: FakeChannel, request: Request) -> None:
        if request.operation == "verify":
            channel.finish(request)
        elif request.rank == 1:
            channel.on_interrupt = lambda rank: channel.fail(request, "KeyboardInterrupt", "")
        elif how == "our own error":
            channel.refuse(request, ModelShardError("no"))
        else:
            answer = {"status": "error", "ename": "OSError", "evalue": "disk", "traceback": []}
            channel.send(request, "execute_reply", {"status": "ok", "user_expressions": {"answer": answer}})
            channel.send(request, "status", {"execution_state": "idle"})

    turns = 0
    poll = bench.channel.poll

    def counted(timeout_s: float) -> Any:
        nonlocal turns
        turns += 1
        if turns > 50:
            raise TimeoutError("it waits and waits")
        return poll(timeout_s)

    monkeypatch.setattr(bench.channel, "poll", counted)
    bench.operate = operate
    with pytest.raises(ModelShardError if how == "our own error" else CellError):
        bench.runner.operate(BOTH)


def test_ctrl_c_ends_an_operation_gently_where_it_can(bench: Bench) -> None:
    bench.operate = hang

    def gently() -> bool:
        for request in list(bench.channel.requests):
            bench.channel.finish(request, value="stopped in step")
        return True

    bench.channel.happen(press_ctrl_c)
    answers = bench.runner.operate(BOTH, on_interrupt=gently)
    assert answers == {0: "stopped in step", 1: "stopped in step"}
    assert bench.channel.interrupted == []


@pytest.mark.parametrize("gentle", [False, True])
def test_where_it_cannot_or_on_the_second_ctrl_c_the_ranks_are_interrupted(
    bench: Bench, gentle: bool
) -> None:
    def operate(channel: FakeChannel, request: Request) -> None:
        if request.operation == "verify":
            channel.finish(request)

    def on_interrupt() -> bool:
        if gentle:  # it believes that the ranks will end, they do not, and the user presses again
            bench.channel.happen(press_ctrl_c)
        return gentle

    def end(rank: int) -> None:
        request = next(r for r in bench.channel.requests if r.rank == rank)
        bench.channel.fail(request, "KeyboardInterrupt", "")

    bench.operate = operate
    bench.channel.on_interrupt = end
    bench.channel.happen(press_ctrl_c)
    with pytest.raises(CellInterruptedError) as caught:
        bench.runner.operate(BOTH, on_interrupt=on_interrupt)
    assert bench.channel.interrupted == [0, 1]
    assert not caught.value.cure
    assert bench.runner.state == "idle"


def test_a_rank_that_is_lost_ends_an_operation(bench: Bench) -> None:
    bench.operate = hang
    bench.channel.happen(lambda: bench.agent.exits.update({0: Exit(1)}))
    with pytest.raises(RankLostError, match="rank 0 on this host is gone"):
        bench.runner.operate(BOTH)
    assert bench.runner.state.startswith("failed: ")
