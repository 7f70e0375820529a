"""The seam itself: when a request is over, and what an operation answered."""

from typing import Any

import pytest

from kernelkit.channel.base import Channel, Message, answer_of
from kernelkit.channel.fake import FakeChannel, Request
from kernelkit.errors import CellError, KernelkitError, ModelShardError, TransferError


@pytest.mark.parametrize(
    ("kind", "content", "ends"),
    [
        ("execute_reply", {"status": "ok"}, True),
        ("execute_reply", {"status": "error"}, True),
        ("status", {"execution_state": "idle"}, True),
        ("status", {"execution_state": "busy"}, False),
        ("stream", {"name": "stdout", "text": "idle"}, False),
        ("error", {"ename": "ValueError"}, False),
        ("display_data", {"data": {}}, False),
    ],
)
def test_a_request_is_closed_by_its_reply_and_by_idle(kind: str, content: dict[str, Any], ends: bool) -> None:
    assert Message(0, kind, "parent", content).ends_request is ends


def reply(answer: dict[str, Any]) -> dict[str, Any]:
    return {"status": "ok", "user_expressions": {"answer": answer}}


def json_answer(content: dict[str, Any]) -> dict[str, Any]:
    return reply({"status": "ok", "data": {"application/json": content}})


@pytest.mark.parametrize("value", [None, 0, "text", [1, {"a": None}]])
def test_an_answer_is_the_operations_value(value: Any) -> None:
    assert answer_of(0, json_answer({"value": value})) == value


@pytest.mark.parametrize("kind", [TransferError, ModelShardError])
def test_our_own_errors_keep_their_type_and_parts(kind: type[KernelkitError]) -> None:
    error = kind("what", expected="e", got="g", cure="c")
    with pytest.raises(kind) as caught:
        answer_of(1, json_answer({"error": error.to_dict()}))
    assert type(caught.value) is kind
    assert str(caught.value) == str(error)


def test_a_foreign_exception_names_rank_and_exception_and_ends_its_traceback() -> None:
    failed = {
        "status": "error",
        "ename": "KeyError",
        "evalue": "'x'",
        "traceback": ["1", "\x1b[31m2\x1b[0m", "3", "4"],
    }
    with pytest.raises(CellError, match="rank 3 failed: KeyError: 'x'") as caught:
        answer_of(3, reply(failed))
    assert caught.value.got == "2\n3\n4"


def test_a_request_that_failed_before_its_operation_ran_is_told_too() -> None:
    failed = {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
    with pytest.raises(CellError, match="rank 0 failed: KeyboardInterrupt"):
        answer_of(0, failed)


@pytest.mark.parametrize("content", [{"status": "ok"}, {"status": "aborted"}, {}])
def test_a_reply_without_an_answer_is_an_error(content: dict[str, Any]) -> None:
    with pytest.raises(CellError, match="no answer"):
        answer_of(0, content)


def test_the_fake_keeps_the_real_ones_promises() -> None:
    """The two messages of an end arrive in order, belong to the request, and answer as a rank would."""

    def play(channel: FakeChannel, request: Request) -> None:
        channel.stream(request, "hi\n")
        channel.finish(request, value=[1, 2])

    fake = FakeChannel(play)
    channel: Channel = fake
    request = channel.call(1, "status", {"a": 1}, [b"raw"])
    messages = channel.poll(0)
    assert [(m.rank, m.parent, m.ends_request) for m in messages] == [
        (1, request, False),
        (1, request, True),
        (1, request, True),
    ]
    assert answer_of(1, messages[1].content) == [1, 2]
    assert channel.poll(0) == []
    assert (fake.requests[0].operation, fake.requests[0].arguments, fake.requests[0].buffers) == (
        "status",
        {"a": 1},
        [b"raw"],
    )


def test_the_fake_refuses_as_a_rank_does() -> None:
    fake = FakeChannel(lambda channel, request: channel.refuse(request, TransferError("no", cure="c")))
    fake.call(0, "pull", {"name": "x"})
    with pytest.raises(TransferError, match="no"):
        answer_of(0, fake.poll(0)[0].content)


def test_a_fake_rank_without_an_answer_stays_silent() -> None:
    fake = FakeChannel()
    fake.answers[0, "status"] = {"doing": "idle"}
    assert fake.ask([0, 1], "status", {}, 0.1) == {0: {"doing": "idle"}}
    assert fake.complete(0, "x", 1, 0.1) is None
