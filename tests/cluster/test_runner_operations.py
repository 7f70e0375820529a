"""How the runner ends what the user stops, and the ranks' own operations; without a process."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kernelkit.channel.fake import FakeChannel, Request
from kernelkit.cluster.runner import EVENT_MIME
from kernelkit.errors import (
    CellError,
    CellInterruptedError,
    KernelkitError,
    ModelShardError,
    RankLostError,
    RankStuckError,
    TransferError,
)
from kernelkit.launch.exits import Exit
from tests.cluster.bench import Bench, hang, press_ctrl_c, report

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


def test_ctrl_c_breaks_off_a_function_that_takes_its_time(bench: Bench) -> None:
    """The calls that wait in line behind it are not made any more."""

    def operate(channel: FakeChannel, request: Request) -> None:
        for _ in range(3 if request.operation == "go" else 0):
            channel.send(request, "display_data", {"data": {EVENT_MIME: {"event": "text"}}})
        if request.operation == "verify":
            channel.finish(request)

    def gently() -> bool:
        for request in list(bench.channel.requests):
            bench.channel.finish(request, value="stopped in step")
        return True

    calls = []

    def slow(rank: int, event: dict[str, Any]) -> None:
        calls.append(rank)
        press_ctrl_c()
        time.sleep(60)

    bench.operate = operate
    began_s = time.monotonic()
    answers = bench.runner.operate({0: ("go", {}), 1: ("go", {})}, on_event=slow, on_interrupt=gently)
    assert time.monotonic() - began_s < 10
    assert answers == {0: "stopped in step", 1: "stopped in step"}
    assert calls == [0]
    assert bench.runner.state == "idle"


def test_ctrl_c_breaks_off_a_function_that_looks_on_at_a_cell(bench: Bench) -> None:
    bench.play = hang
    bench.end_on_interrupt()
    calls = []

    def slow(outputs: Any, running: Any, places: Any) -> None:
        calls.append(running)
        press_ctrl_c()
        time.sleep(60)

    with pytest.raises(CellInterruptedError):
        bench.run(slow)
    assert len(calls) == 1
    assert bench.runner.state == "idle"


def test_a_function_that_raises_it_by_itself_breaks_the_request_off(bench: Bench) -> None:
    def raises(outputs: Any, running: Any, places: Any) -> None:
        raise KeyboardInterrupt

    bench.play = hang
    bench.end_on_interrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run(raises)


def test_a_rank_that_is_lost_ends_an_operation(bench: Bench) -> None:
    bench.operate = hang
    bench.channel.happen(lambda: bench.agent.exits.update({0: Exit(1)}))
    with pytest.raises(RankLostError, match="rank 0 on this host is gone"):
        bench.runner.operate(BOTH)
    assert bench.runner.state.startswith("failed: ")
