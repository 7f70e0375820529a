"""The runner's judgement, without a process: who is waited for, what an error is, what is still usable."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.channel.fake import FakeChannel, Request
from kernelkit.errors import (
    ClusterBusyError,
    ClusterFailedError,
    ConnectError,
    NoClusterError,
    RankError,
    RankLostError,
)
from kernelkit.launch.exits import Exit
from kernelkit.outputs import RankOutput
from tests.cluster.bench import Bench, hang, report

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


def test_agents_that_are_gone_without_a_word_end_the_cell(bench: Bench) -> None:
    bench.play = hang
    bench.channel.happen(lambda: setattr(bench.agent, "alive", False))
    with pytest.raises(RankLostError, match="the ranks were stopped"):
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
    assert bench.channel.interrupted == [1, 1]  # once more, in case the first came too early
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
