"""Chats and batches over real ranks: what they keep, what a stop leaves, and what they refuse."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Chat, Cluster, Generation, Generations, ShardedModel
from kernelkit.errors import ArgumentError, NoModelError, RankLostError
from kernelkit.generation import GenerationStoppedError, Progress
from kernelkit.generations import BatchStoppedError
from kernelkit.model.conversations import KEPT
from tests import waiting
from tests.rank import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(cluster: Cluster, folder: Path) -> ShardedModel:
    return cluster.load(str(folder))


def _held(cluster: Cluster) -> str:
    """How many caches each rank holds."""
    code = "from kernelkit.rank import state\nlen(state.caches)"
    values = {cluster.run(code)[rank].value_repr for rank in range(2)}
    assert len(values) == 1
    return str(values.pop())


def _anew(model: ShardedModel, chat: Chat, count: int, **settings: Any) -> Generation:
    """The answer to the first `count` messages, without what the ranks hold of them."""
    other = model.chat(**settings)
    other._messages = chat.messages[: count - 1]
    return other.send(chat.messages[count - 1]["content"])


def test_a_chat_goes_on_and_reads_only_what_is_new(model: ShardedModel) -> None:
    chat = model.chat(max_tokens=12)
    first = chat.send("hi")
    assert (first.cached_tokens, first.prompt_tokens) == (0, len("[user]hi[assistant]"))
    second = chat.send("and then?")
    assert second.cached_tokens == first.prompt_tokens + 12
    assert "of them kept" in second.summary
    assert second.tokens == _anew(model, chat, 3, max_tokens=12).tokens
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2
    assert chat.messages[3]["content"] == second.text
    assert second.text in repr(chat)
    assert Generation.from_dict(second.to_dict()) == second


def test_the_last_exchange_can_be_taken_back(model: ShardedModel) -> None:
    chat = model.chat(max_tokens=12)
    chat.send("hi")
    chat.send("wrong")
    assert chat.undo() == "wrong"
    answer = chat.send("right")
    assert answer.cached_tokens == len("[user]hi[assistant]") + 12 + len("[user]")
    assert answer.tokens == _anew(model, chat, 3, max_tokens=12).tokens
    chat.undo()
    chat.undo()
    assert chat.messages == []
    with pytest.raises(ArgumentError, match="nothing to undo"):
        chat.undo()


def test_another_system_message_is_read_with_the_whole_history(model: ShardedModel) -> None:
    chat = model.chat("be brief", max_tokens=8)
    chat.send("hi")
    chat.system = "be long"
    answer = chat.send("and?")
    assert answer.cached_tokens == len("[system]be ")
    assert chat.messages[0] == {"role": "system", "content": "be long"}


def test_memory_of_chats_is_given_back(cluster: Cluster, model: ShardedModel) -> None:
    gc.collect()
    model.generate("x", max_tokens=1)
    chats = [model.chat(max_tokens=1) for _ in range(KEPT + 2)]
    for chat in chats:
        chat.send("hi")
    assert _held(cluster) == str(KEPT)
    assert chats[0].send("still there?").cached_tokens == 0
    assert chats[-1].send("still there?").cached_tokens > 0
    chats[-1].clear()
    assert chats[-1].messages == []
    assert _held(cluster) == str(KEPT - 1)
    del chats, chat
    gc.collect()
    model.generate("x", max_tokens=1)
    assert _held(cluster) == "0"


def test_a_stop_in_mid_answer_keeps_the_chat(cluster: Cluster, model: ShardedModel) -> None:
    chat, started = model.chat(max_tokens=12), threading.Event()
    chat.send("hi")
    presser = waiting.ctrl_c_after(started)
    with pytest.raises(GenerationStoppedError) as caught:
        chat.send("on and on", max_tokens=100_000, on_text=lambda text: started.set())
    presser.join()
    partial = caught.value.partial
    assert chat.messages[-1]["content"] == partial.text
    going_on = chat.send("more")
    assert going_on.cached_tokens == partial.prompt_tokens + len(partial.tokens)
    assert going_on.tokens == _anew(model, chat, 5, max_tokens=12).tokens
    assert cluster.state == "idle"


def test_a_stop_breaks_off_a_function_that_takes_its_time(cluster: Cluster, model: ShardedModel) -> None:
    chat, started, ended, texts = model.chat(), threading.Event(), threading.Event(), []

    def slow(text: str) -> None:
        texts.append(text)
        started.set()
        time.sleep(60)

    def send() -> None:
        try:
            chat.send("on and on", max_tokens=100_000, on_text=slow)
        finally:
            ended.set()

    presser = waiting.ctrl_c_after(started, ended)
    began_s = time.monotonic()
    with pytest.raises(GenerationStoppedError) as caught:
        send()
    presser.join()
    assert time.monotonic() - began_s < 30
    assert len(texts) == 1
    assert chat.messages[-1]["content"] == caught.value.partial.text
    assert cluster.state == "idle"
    assert chat.send("more", max_tokens=2).cached_tokens > 0


def test_a_stop_while_the_prompt_is_read_takes_effect_there(cluster: Cluster, model: ShardedModel) -> None:
    chat, started = model.chat(max_tokens=4, prefill_step_size=2), threading.Event()
    said = "x" * 6000

    def look(progress: Progress) -> None:
        if progress.prompt_done:
            started.set()

    presser = waiting.ctrl_c_after(started)
    with pytest.raises(GenerationStoppedError) as caught:
        chat.send(said, on_progress=look)
    presser.join()
    assert caught.value.partial.tokens == []
    assert caught.value.partial.finish_reason == "stopped"
    assert chat.messages == []
    again = chat.send(said, prefill_step_size=2048)
    assert 0 < again.cached_tokens < again.prompt_tokens
    assert cluster.run("int(mx.distributed.all_sum(mx.array(1)).item())")[0].value_repr == "2"


def test_a_recovery_reads_the_history_anew(fresh: Cluster, folder: Path) -> None:
    chat = fresh.load(str(folder)).chat(max_tokens=6)
    chat.send("hi")
    with pytest.raises(RankLostError):
        fresh.run("import os\nos._exit(1)", ranks=[1])
    fresh.recover()
    answer = chat.send("still there?")
    assert answer.cached_tokens == 0
    assert answer.prompt_tokens > len("[user]hi[assistant][user]still there?[assistant]")
    assert chat.send("yes?").cached_tokens == answer.prompt_tokens + 6
    fresh.load(str(folder))
    with pytest.raises(NoModelError):
        chat.send("who is there?")
    assert len(chat) == 6


def test_a_batch_is_the_list_of_its_generations(model: ShardedModel) -> None:
    prompts = ["hello", "a longer prompt than the first", "x"]
    counts: list[tuple[list[int], int]] = []
    batch = model.generate(prompts, max_tokens=20, on_counts=lambda c, over: counts.append((list(c), over)))
    assert isinstance(batch, Generations)
    alone = [model.generate(prompt, max_tokens=20) for prompt in prompts]
    assert batch.tokens == [one.tokens for one in alone]
    assert batch.texts == [one.text for one in batch] == [one.text for one in alone]
    assert counts[-1] == ([20, 20, 20], 3)
    assert batch.token_count == 60
    assert batch.tokens_per_s == pytest.approx(60 / batch.elapsed_s)
    assert "3 prompts, 60 tokens" in repr(batch)
    assert Generation.from_dict(batch[1].to_dict()) == batch[1]


def test_a_batch_can_be_stopped(cluster: Cluster, model: ShardedModel) -> None:
    started = threading.Event()
    presser = waiting.ctrl_c_after(started)
    with pytest.raises(BatchStoppedError) as caught:
        model.generate(
            ["hello", "x"], max_tokens=100_000, on_counts=lambda c, over: started.set() if all(c) else None
        )
    presser.join()
    partial = caught.value.partial
    assert [one.finish_reason for one in partial] == ["stopped", "stopped"]
    assert all(one.tokens for one in partial)
    assert model.generate("hello", max_tokens=4).tokens == partial[0].tokens[:4]
    assert cluster.state == "idle"


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda model: model.generate("x", kv_bits=4, kv_group_size=32), "cannot be quantized"),
        (lambda model: model.generate("x", kv_bits=4, max_kv_size=100), "limited size cannot be quantized"),
        (lambda model: model.generate("x", kv_bits=7), "kv_bits"),
        (lambda model: model.generate("x", top_k=-1), "top_k"),
        (lambda model: model.generate("x", stop=[""]), "stop"),
        (lambda model: model.generate("x", raw=True, system="be brief"), "no place"),
        (lambda model: model.generate("x", topk=1), "no setting 'topk'"),
        (lambda model: model.generate([]), "no prompt"),
        (lambda model: model.generate(["x", ""]), "no prompt"),
        (lambda model: model.generate(["x"], kv_bits=4), "batch"),
        (lambda model: model.generate(["x"], max_kv_size=100), "batch"),
        (lambda model: model.chat(raw=True), "chat template"),
        (lambda model: model.chat().send(""), "no message"),
        (lambda model: model.chat().send("x", temp=-1), "temp"),
    ],
)
def test_what_cannot_be_is_refused_before(
    cluster: Cluster, model: ShardedModel, ask: Callable[[ShardedModel], Any], what: str
) -> None:
    with pytest.raises(ArgumentError, match=what):
        ask(model)
    assert cluster.state == "idle"
    assert model.generate("x", max_tokens=1).tokens
